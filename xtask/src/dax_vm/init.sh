#!/bin/sh
# The first process of the guest: loads modules, mounts the devices, runs the plan, and powers off.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /tmp /var/tmp /mnt/ext4 /mnt/xfs /mnt/virtio
mount -t tmpfs shm /dev/shm
while read -r module; do
    insmod "/modules/$module" || echo "guest: module $module cannot be loaded"
done < /modules/list
# The kernel numbers them as it likes: three block devices and one DAX device.
tries=0
while [ $tries -lt 100 ] && [ "$(ls /dev | grep -cE '^(pmem[0-9]+|dax[0-9.]+)$')" -lt 4 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
for name in ext4 xfs virtio; do
    device=$(findfs "LABEL=$name")
    type=$name
    [ $name = virtio ] && type=ext4
    mount -t $type -o dax=always "$device" "/mnt/$name" ||
        echo "guest: $name cannot be mounted with dax=always"
done
export DEVDAX="$(ls /dev/dax* | head -n 1)"
# Faults under emulation are slow, and not to be called hung.
echo 0 > /proc/sys/kernel/hung_task_timeout_secs 2>/dev/null
echo "guest: ready"
sh /plan
umount /mnt/ext4 /mnt/xfs /mnt/virtio
echo "guest: end"
poweroff -f
