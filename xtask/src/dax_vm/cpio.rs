//! Archives that the kernel unpacks as its first file system: the "newc" form of cpio, as `initramfs` documentation has it.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// An archive in the making. Its bytes may be put behind those of another one.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: Vec<String>,
}

/// What an entry is, as the upper bits of its mode.
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

impl Archive {
    /// A folder, with those above it.
    pub(super) fn folder(&mut self, name: &str) {
        if name.is_empty() || self.folders.iter().any(|known| known == name) {
            return;
        }
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above);
        }
        self.folders.push(name.to_owned());
        self.entry(name, FOLDER, &[]);
    }

    /// A file that can be run.
    pub(super) fn file(&mut self, name: &str, contents: &[u8]) {
        self.folder(name.rsplit_once('/').map_or("", |(above, _)| above));
        self.entry(name, PROGRAM, contents);
    }

    /// A file with the contents of one of the host's.
    pub(super) fn copy(&mut self, name: &str, from: &Path) -> anyhow::Result<()> {
        let contents = fs::read(from).with_context(|| from.display().to_string())?;
        self.file(name, &contents);
        Ok(())
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, name: &str, to: &str) {
        self.folder(name.rsplit_once('/').map_or("", |(above, _)| above));
        self.entry(name, LINK, to.as_bytes());
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// A header of 13 hexadecimal numbers, the name, the contents; both padded to four bytes.
    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let name_len = name.len() + 1;
        let header = [
            u64::from(self.entries), // inode
            u64::from(mode),
            0, // user
            0, // group
            1, // links
            0, // time
            contents.len() as u64,
            0, // the device it lies on, two numbers
            0,
            0, // the device it is, two numbers
            0,
            name_len as u64,
            0, // checksum, unused in this form
        ];
        self.bytes.extend_from_slice(b"070701");
        for number in header {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
