//! The pools that inputs damage. They lie in `fuzz/bases` in their small form, so that an input means the same bytes everywhere;
//! `cargo xtask fuzz-bases` makes them anew when the format changes.

use std::path::{Path, PathBuf};

use daxcow::{CreateOptions, Pool};

use crate::anatomy::{Anatomy, Image};
use crate::fixture::{file, snapshot};
use crate::place::Place;
use crate::source::root;

/// How a base was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Closed.
    Closed,
    /// Left open, as a member that was killed leaves it.
    Open,
    /// Left open with an unlinked open file, a batch in the making and a view: ledgers and orphans.
    Busy,
    /// Closed, with nothing in it.
    Empty,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Closed, Kind::Open, Kind::Busy, Kind::Empty];

    const fn name(self) -> &'static str {
        match self {
            Kind::Closed => "closed",
            Kind::Open => "open",
            Kind::Busy => "busy",
            Kind::Empty => "empty",
        }
    }

    fn path(self) -> PathBuf {
        root().join("fuzz/bases").join(format!("{}.packed", self.name()))
    }
}

/// A pool to damage.
#[derive(Clone, Debug)]
pub struct Base {
    /// How it was left.
    pub kind: Kind,
    /// Its bytes.
    pub image: Image,
    /// What it consists of.
    pub anatomy: Anatomy,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Bases(Vec<Base>);

impl Bases {
    /// Reads those of the tree.
    ///
    /// # Panics
    /// If one is missing or spoilt.
    #[must_use]
    pub fn load() -> Bases {
        let load = |kind: Kind| {
            let path = kind.path();
            let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let image = Image::unpack(&packed).unwrap_or_else(|| panic!("{}: no image", path.display()));
            Base { kind, anatomy: Anatomy::of(&image), image }
        };
        Bases(Kind::ALL.into_iter().map(load).collect())
    }

    /// The base that a number chooses: mostly the ones with something in them.
    #[must_use]
    pub fn choose(&self, number: u8) -> &Base {
        const ORDER: [usize; 8] = [0, 1, 0, 1, 2, 1, 0, 3];
        &self.0[ORDER[usize::from(number) % ORDER.len()]]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Base> {
        self.0.iter()
    }
}

/// Makes the bases anew and writes them to the tree.
///
/// # Errors
/// What the pool or the host said.
pub fn write_to_tree() -> Result<(), Box<dyn std::error::Error>> {
    for kind in Kind::ALL {
        let image = make(kind)?;
        std::fs::create_dir_all(kind.path().parent().unwrap_or(Path::new(".")))?;
        std::fs::write(kind.path(), image.pack())?;
    }
    Ok(())
}

/// Files of the bases with their blocks.
const FILES: [(&str, u64); 5] = [("/a", 3), ("/b", 20), ("/d/c", 1), ("/d/e/f", 514), ("/tail", 1)];
/// Names of the directory that is split.
const MANY: u32 = 90;

/// Makes one.
///
/// # Errors
/// What the pool or the host said.
pub fn make(kind: Kind) -> Result<Image, Box<dyn std::error::Error>> {
    let place = Place::new();
    let pool = Pool::create(place.pool(), &CreateOptions::new().size(16 << 20).sparse(true))?;
    if kind == Kind::Empty {
        pool.close()?;
        return Ok(Image::load(&place.pool())?);
    }
    fill(&pool)?;
    if kind == Kind::Closed {
        pool.close()?;
        return Ok(Image::load(&place.pool())?);
    }
    let held = file(&pool, "/b");
    let unlinked = file(&pool, "/unlinked");
    unlinked.write_at(b"no name", 5000)?;
    let mut batch = held.batch()?;
    let mut view = None;
    if kind == Kind::Busy {
        pool.remove_file("/unlinked")?;
        batch.write_at(b"batch", 9000)?;
        view = held.view(0, 4096)?;
        let locked = held.try_lock(3, daxcow::LockMode::Shared)?;
        held.shared_memory()?.region(0, 32 << 10, true)?;
        assert!(locked, "nobody else holds it");
    }
    let image = Image::load(&place.pool())?;
    drop((view, batch, unlinked));
    Ok(image)
}

fn fill(pool: &Pool) -> daxcow::Result<()> {
    pool.create_dir_all("/d/e")?;
    for (path, blocks) in FILES {
        let file = file(pool, path);
        for block in 0..blocks {
            file.write_at(format!("daxcow test data {path} {block}").as_bytes(), block * 4096)?;
        }
    }
    // A tree of height 3 with few blocks, blocks never written, and a hole at the end.
    let tall = file(pool, "/tall");
    tall.write_at(b"far", 3 << 30)?;
    tall.allocate(1 << 20, 20_000, true)?;
    tall.set_len(5 << 30)?;
    pool.hard_link("/a", "/d/link")?;
    pool.create_dir("/many")?;
    for number in 0..MANY {
        drop(file(pool, &format!("/many/{number}")));
    }
    pool.clone_tree("/b", "/d/clone")?;
    snapshot(pool, "s");
    pool.create_snapshot("part", &["/d/e", "/a"])?;
    file(pool, "/b").write_at(b"after the snapshot", 4096)?;
    file(pool, "/d/e/f").write_at(b"after the snapshot", 513 * 4096)
}
