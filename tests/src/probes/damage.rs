//! Flipped bits: a damaged pool gives an error or the right data; it never panics, hangs, dies or lies.
//!
//! The image holds files whose every block starts with a cookie, so that blocks of data can be told from metadata:
//! flips go into metadata only, as data carries no checksum. A list of names may only be wrong if `check` finds the
//! pool damaged.

use std::ops::Range;
use std::path::Path;

use daxcow::units::BLOCK_BYTES;
use daxcow::{CreateOptions, FileKind, FileOptions, OpenOptions, Pool};

use super::say;
use crate::fixture::{contents, file};
use crate::rng::{Rng, pattern};

const COOKIE: [u8; 16] = *b"daxcow test data";
/// Files of the image: path and blocks.
const FILES: [(&str, u64); 6] =
    [("/a", 3), ("/b", 40), ("/d/c", 1), ("/d/e/f", 700), ("/d/link", 3), ("/tail", 1)];
/// What is right to find in the root directory.
const NAMES: [&str; 4] = ["a", "b", "d", "tail"];

/// The contents of a file of the image.
fn content(path: &str, blocks: u64) -> Vec<u8> {
    let seed = path.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
    let mut bytes = Vec::new();
    for block in 0..blocks {
        bytes.extend_from_slice(&COOKIE);
        bytes.extend(pattern(seed + block, BLOCK_BYTES - COOKIE.len()));
    }
    bytes
}

/// Makes the pool that is damaged later. It is left open, as a member that was killed leaves it, or closed.
///
/// # Errors
/// What the pool said.
pub fn make_image(path: &Path) -> daxcow::Result<Pool> {
    let pool = Pool::create(path, &CreateOptions::new().size(24 << 20).sparse(true))?;
    pool.create_dir_all("/d/e")?;
    for (path, blocks) in FILES.iter().filter(|(path, _)| *path != "/d/link") {
        file(&pool, path).write_at(&content(path, *blocks), 0)?;
    }
    pool.hard_link("/a", "/d/link")?;
    pool.create_snapshot::<&str>("s", &[])?;
    pool.clone_tree("/b", "/d/clone")?;
    Ok(pool)
}

/// Where bits may be flipped: offsets of 8-byte words of metadata, those that hold something and some that do not.
fn targets(image: &[u8]) -> (Vec<usize>, Vec<usize>) {
    let (mut set, mut clear) = (Vec::new(), Vec::new());
    for (index, block) in image.chunks_exact(BLOCK_BYTES).enumerate() {
        if block.starts_with(&COOKIE) || block.iter().all(|&byte| byte == 0) {
            continue;
        }
        for (word, bytes) in block.chunks_exact(8).enumerate() {
            let offset = index * BLOCK_BYTES + word * 8;
            if bytes.iter().any(|&byte| byte != 0) {
                set.push(offset)
            } else {
                clear.push(offset)
            };
        }
    }
    (set, clear)
}

/// Opens copies of `image` at `pool`, one for each number of the range, each damaged in its own way.
pub(super) fn main(pool: &str, image: &str, seed: u64, range: Range<u64>) -> u8 {
    let image = std::fs::read(image).expect("the image");
    let (set, clear) = targets(&image);
    for number in range {
        let mut rng = Rng::new(seed.wrapping_mul(1_000_003) + number);
        let mut damaged = image.clone();
        let mut places = Vec::new();
        for _ in 0..1 + rng.below(3) {
            let offsets = if rng.one_in(4) { &clear } else { &set };
            let (at, bit) = (offsets[rng.index(offsets.len())] + rng.index(8), rng.below(8));
            damaged[at] ^= 1 << bit;
            places.push(format!("{at:#x}.{bit}"));
        }
        say(&format!("try {number}: bits {}", places.join(" ")));
        std::fs::write(pool, &damaged).expect("a copy of the image");
        match examine(Path::new(pool)) {
            Ok(answer) => say(&format!("done {number}: {answer}")),
            Err(lie) => {
                say(&format!("lie {number}: {lie}"));
                return 1;
            }
        }
    }
    0
}

/// Uses everything in a damaged pool. The error is a lie that the pool told.
fn examine(path: &Path) -> Result<String, String> {
    let pool = match Pool::open(path, &OpenOptions::new()) {
        Ok(pool) => pool,
        Err(error) => return Ok(format!("open: {:?}", error.kind())),
    };
    let clean = pool.check().map(|report| report.is_clean());
    let lie = |what: String| if matches!(clean, Ok(true)) { Err(what) } else { Ok(()) };
    let mut errors = 0;
    for top in ["", "/.snapshots/s"] {
        for (name, blocks) in FILES {
            let path = format!("{top}{name}");
            let opened = pool.open_file(&path, &FileOptions::new().read(true));
            match opened.and_then(|file| contents(&file)) {
                Ok(found) if found != content(if name == "/d/link" { "/a" } else { name }, blocks) => {
                    lie(format!("{path} reads wrong bytes"))?;
                }
                Ok(_) => {}
                Err(_) => errors += 1,
            }
        }
        match pool.read_dir(if top.is_empty() { "/" } else { top }) {
            Ok(entries) => {
                let names = entries.iter().map(|entry| entry.name.to_string_lossy());
                let names: Vec<_> = names.filter(|name| name != ".snapshots").collect();
                if names != NAMES {
                    lie(format!("{top}/ lists {names:?}"))?;
                }
            }
            Err(_) => errors += 1,
        }
    }
    errors += change(&pool);
    Ok(format!(
        "check {:?}, {errors} errors, closed {}",
        clean.map_err(|error| error.kind()),
        pool.close().is_ok()
    ))
}

/// Changes a damaged pool in every way; gives how many refused.
fn change(pool: &Pool) -> usize {
    let written = |path: &str| {
        let options = FileOptions::new().read(true).write(true).create(true);
        let file = pool.open_file(path, &options)?;
        file.write_at(&[1; 10_000], 5_000)?;
        file.set_len(4_000)?;
        file.append(&[2; 5_000]).map(drop)
    };
    let removed = |path: &str| match pool.metadata(path)?.kind {
        FileKind::File => pool.remove_file(path),
        FileKind::Directory => pool.remove_dir_all(path),
    };
    let results = [
        written("/new"),
        written("/b"),
        written("/d/e/f"),
        pool.clone_tree("/d", "/copy"),
        pool.rename("/a", "/tail"),
        pool.create_snapshot::<&str>("t", &[]).map(drop),
        pool.diff("/.snapshots/s", "/").map(drop),
        pool.delete_snapshot("s"),
        removed("/d"),
        removed("/b"),
        pool.snapshots().map(drop),
        pool.usage().map(drop),
        pool.info().map(drop),
        pool.sync(),
        pool.trim().map(drop),
        pool.check().map(drop),
    ];
    results.iter().filter(|result| result.is_err()).count()
}
