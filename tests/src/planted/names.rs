//! Inconsistencies of directories: entries and buckets.

use super::{Bench, Finds, Mends};
use crate::anatomy::words::BLOCK;
use crate::anatomy::{Anatomy, Image, write};

pub(super) fn problem(structure: &'static str, place: impl Into<String>, message: &'static str) -> Finds {
    Finds::Problem(structure, place.into(), message)
}

pub(super) const LOST: &str = "/lost+found";

/// Plants them in a pool that was closed.
pub fn plant(bench: &mut Bench<'_>) {
    plant_entries(bench);
    plant_buckets(bench);
}

/// A name whose fields `change` changes.
fn renamed(
    bench: &mut Bench<'_>,
    what: &'static str,
    path: &'static str,
    finds: Finds,
    touches: &'static [&'static str],
    change: impl FnOnce(&mut Image, u64),
) {
    let at = bench.entry(path).at();
    bench.plant(what, finds, Mends::All, touches, |image| {
        change(image, at);
        write::seal_name(image, at);
    });
}

fn plant_entries(bench: &mut Bench<'_>) {
    let entry = "directory entry";
    let free = bench.anatomy.inodes.iter().map(|inode| inode.number).max().unwrap_or(0) + 3;
    renamed(
        bench,
        "a name that leads to a free inode",
        "/tail",
        problem(entry, "/tail", "which is free"),
        &["/tail", LOST],
        |image, at| {
            image.set_word(at, free);
        },
    );
    renamed(
        bench,
        "a name that leads beyond the inode table",
        "/tail",
        problem(entry, "/tail", "which is free"),
        &["/tail", LOST],
        |image, at| {
            image.set_word(at, 1 << 39);
        },
    );
    renamed(
        bench,
        "a name of another generation",
        "/tail",
        problem(entry, "/tail", "of generation 77"),
        &["/tail", LOST],
        |image, at| {
            image.set_half(at + 16, 77);
        },
    );
    renamed(
        bench,
        "a name that calls a file a directory",
        "/tail",
        problem(entry, "/tail", "expected Directory"),
        &["/tail", LOST],
        |image, at| {
            image.set_byte(at + 25, 2);
        },
    );
    renamed(
        bench,
        "a wrong hash",
        "/tail",
        problem(entry, "/tail", "the hash of its name"),
        &[],
        |image, at| {
            image.set_word(at + 8, 12345);
        },
    );
    renamed(
        bench,
        "a name with a slash",
        "/tail",
        problem(entry, "a/b", "a name that a path can hold"),
        &["/tail", LOST],
        |image, at| {
            image.set_bytes(at + 24, &[3]);
            image.set_bytes(at + 26, b"a/b\0");
        },
    );
    let tail = bench.entry("/tail").at();
    bench.plant(
        "a name with a wrong checksum",
        problem(entry, format!("{tail:#x}"), "a checked entry"),
        Mends::All,
        &["/tail", LOST],
        |image| {
            image.set_byte(tail + 27, b'X');
        },
    );
    let (a, anatomy) = (bench.entry("/a"), bench.anatomy.clone());
    bench.plant(
        "a name that is there twice",
        problem(entry, "/tail", "one entry of the name"),
        Mends::All,
        &["/a", "/d/link", "/tail", LOST],
        |image| {
            assert!(write::add_name(image, &anatomy, &a, b"tail"), "the root has room");
        },
    );
    let e = bench.entry("/d/e");
    bench.plant(
        "a directory with two names",
        problem("directory", "/d/again", "one name"),
        Mends::All,
        &["/d/e", "/d/again"],
        |image| {
            assert!(write::add_name(image, &anatomy, &e, b"again"), "there is room");
        },
    );
    // Another bucket of the split directory, into which a name is moved.
    let (many, seven) = (bench.inode("/many").number, bench.entry("/many/7"));
    let other =
        anatomy.entries.iter().find(|entry| entry.directory == many && entry.bucket != seven.bucket).cloned();
    let other = other.unwrap_or_else(|| seven.clone());
    bench.plant(
        "a name in the block of another hash",
        problem(entry, "/many/7", "the block of its hash"),
        Mends::All,
        &[],
        |image| {
            let bytes = image.bytes(seven.at(), 64);
            let occupied = image.word(other.bucket + 16);
            let slot = (1..64).find(|slot| occupied >> slot & 1 == 0).unwrap_or(63);
            image.set_bytes(other.bucket + 64 * slot, &bytes);
            image.set_word(other.bucket + 16, occupied | 1 << slot);
            image.set_word(seven.bucket + 16, image.word(seven.bucket + 16) & !(1 << seven.slot));
        },
    );
    let long = bench.entry("/.snapshots/part");
    bench.plant(
        "a bit where no name begins",
        problem(entry, "in /.snapshots", "a checked entry"),
        Mends::All,
        &[],
        |image| {
            image.set_word(long.bucket + 16, image.word(long.bucket + 16) | 1 << 40);
        },
    );
}

fn plant_buckets(bench: &mut Bench<'_>) {
    let block = "directory block";
    let root = bench.entry("/a").bucket;
    bench.plant(
        "a wrong magic in a directory",
        problem(block, format!("{root:#x}"), "header"),
        Mends::All,
        &[],
        |image| {
            image.set_half(root, 0);
        },
    );
    bench.plant(
        "a wrong index in a directory block",
        problem(block, format!("{root:#x}"), "header"),
        Mends::All,
        &[],
        |image| {
            image.set_word(root + 8, 5);
        },
    );
    bench.plant(
        "a name in the slot of the header",
        problem(block, format!("{:#x}", root + 16), "no name in the header"),
        Mends::All,
        &[],
        |image| {
            image.set_word(root + 16, image.word(root + 16) | 1);
        },
    );
    bench.plant(
        "a split word that means nothing",
        problem(block, format!("{:#x}", root + 24), "split word"),
        Mends::All,
        &[],
        |image| {
            image.set_word(root + 24, 99);
        },
    );
    let many = bench.inode("/many");
    let top = Anatomy::block(bench.base, &many, 0).unwrap_or(0) * BLOCK;
    bench.plant(
        "a split directory that says it is not",
        problem(block, format!("{:#x}", top + 24), "split word"),
        Mends::All,
        &[],
        |image| {
            image.set_word(top + 24, 0);
        },
    );
    let seven = bench.entry("/many/7");
    let (place, _) = (1..=16)
        .filter_map(|index| Anatomy::map_word(bench.base, &many, index, 0))
        .find(|(place, _)| bench.base.word(*place) & ((1 << 40) - 1) == seven.bucket / BLOCK)
        .unwrap_or((0, 0));
    bench.plant(
        "a split directory that lacks a block",
        problem(block, "of /many/", "a block of names"),
        Mends::All,
        &["/many", LOST],
        |image| {
            image.set_word(place, 0);
        },
    );
    bench.plant(
        "a damaged entry in the map of a directory",
        problem("map entry", format!("{place:#x}"), "a checked word"),
        Mends::All,
        &["/many", LOST],
        |image| {
            image.set_word(place, 55);
        },
    );
}
