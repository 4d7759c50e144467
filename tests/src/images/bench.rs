//! A pool file that crash images are put into one after the other.
//!
//! Only pages that may differ from what the file holds are written: those in which the image differs from the base of its
//! run, those in which the image before did, and those that whoever opened the file has stored to since, or could have
//! through a pointer.

use std::collections::BTreeSet;
use std::fs::File as HostFile;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use daxcow::sim::{Image, Page, Tape};
use daxcow::units::BLOCK_SIZE;

use crate::place::Place;

const ZEROS: Page = [0; 4096];

/// The file and what it holds.
pub struct Bench {
    place: Place,
    host: HostFile,
    /// What was put there last.
    held: Image,
    /// Pages that have been stored to since.
    dirty: BTreeSet<u64>,
    bytes: u64,
}

impl Bench {
    /// A new file that holds `image`.
    ///
    /// # Errors
    /// What the host says.
    pub fn new(image: &Image) -> io::Result<Bench> {
        let place = Place::new();
        let host = HostFile::options().read(true).write(true).create_new(true).open(place.pool())?;
        let mut bench =
            Bench { place, host, held: image.clone(), dirty: BTreeSet::new(), bytes: image.len() };
        bench.write_whole(image)?;
        Ok(bench)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.pool()
    }

    /// Makes it hold `image`, and be `bytes` long.
    ///
    /// # Errors
    /// What the host says.
    pub fn load(&mut self, image: &Image, bytes: u64) -> io::Result<()> {
        if !image.shares_base(&self.held) {
            self.write_whole(image)?;
        }
        let held = std::mem::replace(&mut self.held, image.clone());
        let mut pages = std::mem::take(&mut self.dirty);
        pages.extend(held.changed().chain(image.changed()).map(|(page, _)| page));
        self.set_len(image.len().max(bytes))?;
        for page in pages.into_iter().filter(|page| page * BLOCK_SIZE < self.bytes) {
            self.host.write_all_at(image.page(page), page * BLOCK_SIZE)?;
        }
        Ok(())
    }

    fn write_whole(&mut self, image: &Image) -> io::Result<()> {
        self.host.set_len(0)?;
        self.bytes = 0;
        self.set_len(image.len())?;
        self.dirty.clear();
        self.held = image.clone();
        for page in (0..image.len() / BLOCK_SIZE).filter(|&page| *image.page(page) != ZEROS) {
            self.host.write_all_at(image.page(page), page * BLOCK_SIZE)?;
        }
        Ok(())
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        // Somebody may have made it longer.
        if bytes != self.bytes || bytes != self.host.metadata()?.len() {
            self.host.set_len(bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Has `open` do something with pools at its path, all of which it opens itself and lets go of.
    pub fn watch<T>(&mut self, open: impl FnOnce(&Path) -> T) -> T {
        self.watch_with(&Tape::of_pages(), open)
    }

    /// As [`Bench::watch`], on a tape of the caller's.
    pub fn watch_with<T>(&mut self, tape: &Tape, open: impl FnOnce(&Path) -> T) -> T {
        let path = self.path();
        let answer = tape.during(|| open(&path));
        let touched = tape.touched();
        self.dirty.extend(touched.changed_from(&self.held));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{new_pool, put};
    use daxcow::{OpenOptions, Pool};

    /// Whatever was done to the file, loading an image gives that image.
    #[test]
    fn a_loaded_image_is_what_the_file_holds() {
        let place = Place::new();
        let pool = new_pool(&place, 16);
        put(&pool, "/f", &[7; 9000]);
        pool.close().expect("the pool closes");
        let base = Image::new(std::fs::read(place.pool()).expect("the file"));
        let mut bench = Bench::new(&base).expect("a bench");
        let tape = Tape::new(base.clone());
        bench.watch_with(&tape, |path| {
            let pool = Pool::open(path, &OpenOptions::new()).expect("it opens");
            put(&pool, "/g", &[9; 70_000]);
            pool.grow(18 << 20).expect("it grows");
            pool.trim().expect("free blocks go");
            pool.abandon();
        });
        let recording = tape.take().expect("a recording");
        let mut replay = recording.replay(daxcow::sim::Unit::Line);
        replay.advance_to(recording.entries().len() / 2);
        let half = replay.image_where(&mut |_| daxcow::sim::Arrival::Whole);
        for (image, bytes) in [(&base, base.len()), (&half, 18 << 20), (&base, base.len())] {
            bench.load(image, bytes).expect("it loads");
            let mut expected = image.to_vec();
            expected.resize(usize::try_from(bytes.max(image.len())).expect("it fits"), 0);
            assert!(std::fs::read(bench.path()).expect("the file") == expected);
            bench.watch(|path| {
                let pool = Pool::open(path, &OpenOptions::new()).expect("it opens");
                put(&pool, "/f", &[1; 100]);
            });
        }
    }
}
