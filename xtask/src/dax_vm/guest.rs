//! The virtual machine: one QEMU process under plain emulation, whose serial line is read line by line. Killing it is the
//! power cut: what the files behind the NVDIMMs hold is what the next boot finds.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::initramfs;
use super::nvdimm::{self, Device};
use super::packages::Packages;

/// What all boots of a campaign have in common.
pub(super) struct Machine<'a> {
    pub(super) packages: &'a Packages,
    pub(super) initramfs: &'a [u8],
    /// Where the files behind the devices lie, and what is made for a boot.
    pub(super) folder: PathBuf,
}

/// A running guest; it is killed when this is dropped.
pub(super) struct Guest {
    emulator: Child,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    deadline: Instant,
    /// All that was said, for messages.
    said: Vec<String>,
}

/// What came over the serial line.
pub(super) enum Heard {
    /// A line, without what ends it.
    Line(String),
    /// Nothing for as long as was waited.
    Nothing,
    /// The guest is gone, or takes longer than it may.
    End,
}

impl Machine<'_> {
    /// Fresh files behind all devices.
    pub(super) fn make_devices(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        for device in Device::ALL {
            nvdimm::make(self.packages, &self.folder, device).with_context(|| format!("{device:?}"))?;
        }
        Ok(())
    }

    /// Boots a guest that runs `script` and may take so long.
    pub(super) fn boot(&self, script: &str, limit: Duration) -> anyhow::Result<Guest> {
        let initrd = self.folder.join("initrd");
        std::fs::write(&initrd, [self.initramfs, &initramfs::plan(script)].concat())?;
        let mut command = self.packages.command("qemu-system-x86_64");
        for folder in ["usr/share/qemu", "usr/share/seabios"].map(|name| self.packages.path(name)) {
            if folder.is_dir() {
                command.arg("-L").arg(folder);
            }
        }
        command.args(["-machine", "q35,nvdimm=on,accel=tcg", "-cpu", "max", "-smp", "2"]);
        command.args(["-m", "1G,slots=4,maxmem=8G", "-nodefaults", "-no-user-config", "-no-reboot"]);
        command.args(["-display", "none", "-serial", "stdio"]);
        for (number, device) in Device::ALL.into_iter().enumerate() {
            let path = self.path(device);
            let memory = format!(
                "memory-backend-file,id=m{number},share=on,mem-path={},size={}",
                path.display(),
                nvdimm::SIZE
            );
            let shown = match device {
                Device::VirtioPmem => format!("virtio-pmem-pci,id=n{number},memdev=m{number}"),
                _ => format!("nvdimm,id=n{number},memdev=m{number},unarmed=off"),
            };
            command.args(["-object", &memory, "-device", &shown]);
        }
        let kernel = format!("boot/vmlinuz-{}", self.packages.kernel_version()?);
        command.arg("-kernel").arg(self.packages.path(&kernel)).arg("-initrd").arg(&initrd);
        command.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=unstable"]);
        let emulator = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        Guest::hearing(emulator.context("qemu-system-x86_64")?, limit)
    }

    fn path(&self, device: Device) -> PathBuf {
        self.folder.join(device.name())
    }

    /// The folder of the files, for whoever looks into a failure.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Guest {
    fn hearing(mut emulator: Child, limit: Duration) -> anyhow::Result<Guest> {
        let output = emulator.stdout.take().context("the serial line is piped")?;
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let deadline = Instant::now() + limit;
        Ok(Guest { emulator, lines, reader: Some(reader), deadline, said: Vec::new() })
    }

    /// The next line, waited for until `until`.
    pub(super) fn hear(&mut self, until: Instant) -> Heard {
        let until = until.min(self.deadline);
        match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.said.push(line.clone());
                Heard::Line(line)
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < self.deadline => Heard::Nothing,
            Err(RecvTimeoutError::Timeout) => {
                self.said.push("(the guest took longer than it may)".into());
                Heard::End
            }
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    /// The next line, however long it takes; none at the end.
    pub(super) fn line(&mut self) -> Option<String> {
        match self.hear(self.deadline) {
            Heard::Line(line) => Some(line),
            Heard::Nothing | Heard::End => None,
        }
    }

    /// The power cut. Gives what had been said and not yet heard.
    pub(super) fn cut(mut self) -> Vec<String> {
        self.kill();
        self.lines.try_iter().collect()
    }

    /// The last lines that were heard.
    pub(super) fn last_words(&self) -> String {
        let from = self.said.len().saturating_sub(40);
        self.said[from..].join("\n")
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        self.emulator.kill().ok();
        self.emulator.wait().ok();
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}
