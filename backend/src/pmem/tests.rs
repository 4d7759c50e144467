//! The region on tmpfs and on a disk: what each access does, and what becomes of lost memory.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::*;
use crate::error::ErrorKind;
use crate::units::PoolOffset;

/// A file of `len` bytes below `directory`, unlinked when dropped.
struct Scratch {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Scratch {
    fn new(directory: &str, len: u64) -> Scratch {
        let directory = tempfile::tempdir_in(directory).unwrap();
        let path = directory.path().join("pool");
        File::create(&path).unwrap().set_len(len).unwrap();
        Scratch { path, _directory: directory }
    }

    fn open(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.path).unwrap()
    }

    fn map(&self, options: MapOptions) -> Region {
        Region::map(self.open(), &self.path, options).unwrap()
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

fn options() -> MapOptions {
    MapOptions { dax: medium::Dax::Auto, flush: medium::FlushMode::On, access: Access::ReadWrite }
}

#[test]
fn lost_memory_is_an_error_for_every_access() {
    let scratch = Scratch::new("/dev/shm", 1 << 20);
    let region = scratch.map(options());
    let place = PoolOffset(512 << 10);
    drop(region.write(place, &[7; 4096]).unwrap());
    scratch.open().set_len(4096).unwrap();
    let mut buffer = [0; 1000];
    let kinds = [
        region.read(place, &mut buffer).err(),
        region.read(place, &mut buffer[..10]).err(),
        region.write(place, &buffer).err(),
        region.write(place, &buffer[..9]).err(),
        region.zero(place, 4096).err(),
        region.copy(PoolOffset(0), place, 4096).err(),
        region.copy(place, PoolOffset(0), 4096).err(),
        region.equal(place, PoolOffset(0), 4096).err(),
        region.is_zero(place, 4096).err(),
        region.load(place).err(),
        region.load_u32(place).err(),
        region.store_u64(place, 1).err(),
        region.cas_u32(place, 0, 1).err(),
        region.cas_u64(place, 0, 1).err(),
        region.add_u64(place, 1).err(),
        region.or_u64(place, 1).err(),
        region.fence(region.flush_range(place, 64)).err(),
    ];
    for (index, error) in kinds.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("access {index} succeeded on lost memory"));
        assert_eq!(error.kind(), ErrorKind::MediaError, "access {index}: {error}");
    }
    assert_eq!(region.load(PoolOffset(0)).unwrap(), 0);
    assert!(scratch.path().exists());
}

#[test]
fn what_is_written_is_read() {
    let scratch = Scratch::new("/dev/shm", 1 << 20);
    let region = scratch.map(options());
    let bytes: Vec<u8> = (0..5000_u32).map(|i| (i % 251) as u8).collect();
    for at in [0, 1, 63, 64, 65, 4095] {
        for len in [0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 4096, 4999] {
            drop(region.zero(PoolOffset(0), 16384).unwrap());
            drop(region.write(PoolOffset(at), &bytes[..len]).unwrap());
            let mut back = vec![1; 16384];
            region.read(PoolOffset(0), &mut back).unwrap();
            let (at, end) = (at as usize, at as usize + len);
            assert_eq!(back[at..end], bytes[..len], "at {at} len {len}");
            assert!(
                back[..at].iter().chain(&back[end..]).all(|&b| b == 0),
                "at {at} len {len}: bytes outside"
            );
        }
    }
}
