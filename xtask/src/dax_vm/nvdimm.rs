//! The files behind the guest's NVDIMMs. A namespace without labels, as QEMU makes them, becomes one of a kind by an info block:
//!
//! ```text
//!   0        4 KiB         8 KiB      2 MiB
//!   | unused | info block  | unused   | file system, or what the DAX device shows ...
//! ```
//!
//! The block is `struct nd_pfn_sb` of the kernel's drivers/nvdimm/pfn.h. Without it the device has no DAX: ext4 refuses
//! `dax=always`, and XFS goes without it in silence.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::packages::{Packages, output};

const DATA_OFFSET: u64 = 2 << 20;
const INFO_OFFSET: u64 = 4 << 10;
const CHECKSUM_AT: usize = 4088;
/// XFS is not made smaller.
pub(super) const SIZE: u64 = 1 << 30;

/// What a device shows to the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Device {
    /// An NVDIMM with ext4.
    Ext4,
    /// An NVDIMM with XFS.
    Xfs,
    /// An NVDIMM that is a character device.
    DevDax,
    /// A virtio-pmem device with ext4.
    VirtioPmem,
}

impl Device {
    /// All of them.
    pub(super) const ALL: [Device; 4] = [Device::Ext4, Device::Xfs, Device::DevDax, Device::VirtioPmem];

    /// The label of its file system, by which the guest finds it, the name of its folder under `/mnt`, and of its file on the host.
    pub(super) fn name(self) -> &'static str {
        match self {
            Device::Ext4 => "ext4",
            Device::Xfs => "xfs",
            Device::DevDax => "devdax",
            Device::VirtioPmem => "virtio",
        }
    }

    /// Where a pool lies in the guest.
    pub(super) fn pool(self) -> String {
        match self {
            // As the guest's first process has found it.
            Device::DevDax => "$DEVDAX".into(),
            _ => format!("/mnt/{}/cut.pool", self.name()),
        }
    }

    /// What the info block begins with; a virtio-pmem device has none.
    fn signature(self) -> Option<&'static [u8; 16]> {
        match self {
            Device::Ext4 | Device::Xfs => Some(b"NVDIMM_PFN_INFO\0"),
            Device::DevDax => Some(b"NVDIMM_DAX_INFO\0"),
            Device::VirtioPmem => None,
        }
    }
}

/// Makes a fresh file for `device` in `folder`, with an empty file system.
pub(super) fn make(packages: &Packages, folder: &Path, device: Device) -> anyhow::Result<PathBuf> {
    let path = folder.join(device.name());
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    file.set_len(SIZE)?;
    let offset = if device.signature().is_some() { DATA_OFFSET } else { 0 };
    if let Some(signature) = device.signature() {
        file.write_all_at(&info_block(signature, device), INFO_OFFSET)?;
    }
    let blocks = (SIZE - offset) >> 12;
    match device {
        Device::DevDax => {}
        Device::Ext4 | Device::VirtioPmem => {
            let mut command = packages.command("mkfs.ext4");
            command
                .args(["-q", "-F", "-b", "4096", "-L", device.name(), "-E"])
                .arg(format!("offset={offset}"));
            output(command.arg(&path).arg(blocks.to_string()))?;
        }
        Device::Xfs => {
            // It knows no offset.
            let image = folder.join("xfs.image");
            File::create(&image)?.set_len(SIZE - offset)?;
            output(
                packages
                    .command("mkfs.xfs")
                    .args(["-q", "-f", "-m", "reflink=1", "-L", device.name()])
                    .arg(&image),
            )?;
            copy_data(&File::open(&image)?, &file, offset)?;
            std::fs::remove_file(&image)?;
        }
    }
    Ok(path)
}

/// Copies what is not zero.
fn copy_data(from: &File, to: &File, offset: u64) -> anyhow::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = from.read_at(&mut chunk, at)?;
        if read == 0 {
            return Ok(());
        }
        if chunk[..read].iter().any(|&byte| byte != 0) {
            to.write_all_at(&chunk[..read], offset + at)?;
        }
        at += read as u64;
    }
}

/// The info block of a namespace whose page structures lie in memory.
fn info_block(signature: &[u8; 16], device: Device) -> Vec<u8> {
    let mut block = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, signature);
    // Any identity of its own; that of the namespace above, at 32, is zero where there are no labels.
    put(16, format!("daxcow {:9}", device.name()).as_bytes());
    put(52, &1_u16.to_le_bytes()); // major version, after the flags
    put(54, &4_u16.to_le_bytes()); // minor version
    put(56, &DATA_OFFSET.to_le_bytes());
    put(64, &((SIZE - DATA_OFFSET) >> 12).to_le_bytes()); // pages
    put(72, &1_u32.to_le_bytes()); // mode: page structures in memory
    put(84, &(2_u32 << 20).to_le_bytes()); // alignment, after the two paddings at the start and the end
    put(88, &4096_u32.to_le_bytes()); // page size
    put(92, &64_u16.to_le_bytes()); // bytes of a page structure
    let checksum = fletcher64(&block);
    block[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    block
}

/// Over 32-bit words, as the kernel's `nd_fletcher64`.
fn fletcher64(block: &[u8]) -> u64 {
    let (mut low, mut high) = (0_u32, 0_u64);
    for word in block.chunks_exact(4) {
        low = low.wrapping_add(u32::from_le_bytes(word.try_into().unwrap_or_default()));
        high = high.wrapping_add(u64::from(low)) & u64::from(u32::MAX);
    }
    high << 32 | u64::from(low)
}
