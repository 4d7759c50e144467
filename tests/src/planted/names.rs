//! Inconsistencies of directories and inodes.

use super::{Bench, Finds, Mends};
use crate::anatomy::words::BLOCK;
use crate::anatomy::{Anatomy, Image, write};

fn problem(structure: &'static str, place: impl Into<String>, message: &'static str) -> Finds {
    Finds::Problem(structure, place.into(), message)
}

const LOST: &str = "/lost+found";

/// Plants them in a pool that was closed.
pub fn plant(bench: &mut Bench<'_>) {
    plant_entries(bench);
    plant_buckets(bench);
    plant_inodes(bench);
    plant_trees(bench);
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

fn plant_inodes(bench: &mut Bench<'_>) {
    let (tail, a, d) = (bench.inode("/tail"), bench.inode("/a"), bench.inode("/d"));
    let name = |inode: &crate::anatomy::Inode| format!("inode {}", inode.number);
    bench.plant(
        "too many links",
        problem("inode", name(&a), "expected 5 names, as its links say, found 2"),
        Mends::All,
        &[],
        |image| {
            write::set_links(image, &a, 5);
        },
    );
    bench.plant(
        "too few links",
        problem("inode", name(&a), "expected 1 names, as its links say, found 2"),
        Mends::All,
        &[],
        |image| {
            write::set_links(image, &a, 1);
        },
    );
    bench.plant("no links", problem("inode", name(&tail), "expected 0 names"), Mends::All, &[], |image| {
        write::set_links(image, &tail, 0);
    });
    bench.plant(
        "a damaged links word",
        problem("inode", name(&tail), "links word"),
        Mends::All,
        &[],
        |image| {
            image.set_word(tail.at + 8, 1);
        },
    );
    bench.plant(
        "a damaged size word",
        problem("inode", name(&tail), "size word"),
        Mends::Nothing,
        &["/tail"],
        |image| {
            image.set_word(tail.at + 24, 1);
        },
    );
    bench.plant(
        "a damaged kind word",
        problem("inode", name(&tail), "kind word"),
        Mends::All,
        &[],
        |image| {
            image.set_word(tail.at, 1);
        },
    );
    bench.plant(
        "a kind that does not exist",
        problem("inode", name(&tail), "kind word"),
        Mends::All,
        &[],
        |image| {
            write::set_kind(image, &tail, 7, false, tail.generation);
        },
    );
    bench.plant(
        "a damaged kind word of a directory",
        problem("inode", name(&d), "kind word"),
        Mends::All,
        &[],
        |image| {
            image.set_word(d.at, 1);
        },
    );
    bench.plant(
        "a wrong checksum of an inode",
        problem("inode", name(&tail), "crc"),
        Mends::All,
        &[],
        |image| {
            image.set_half(tail.at + 64, 1);
        },
    );
    bench.plant(
        "an inode of another number",
        problem("inode", name(&tail), "found inode 3"),
        Mends::All,
        &[],
        |image| {
            image.set_word(tail.at + 32, 3);
            write::seal_birth(image, tail.at);
        },
    );
    bench.plant(
        "a directory with a size",
        problem("directory", name(&d), "no size"),
        Mends::All,
        &[],
        |image| {
            write::set_size(image, &d, 4096);
        },
    );
    bench.plant("a time of change far in the future", Finds::Nothing, Mends::All, &[], |image| {
        image.set_word(tail.at + 72, u64::MAX);
    });
    let frozen = bench.inode("/.snapshots/part/a");
    bench.plant(
        "a writable file in a snapshot",
        problem("inode", name(&frozen), "expected read-only"),
        Mends::All,
        &[],
        |image| {
            write::set_kind(image, &frozen, 1, false, frozen.generation);
        },
    );
    bench.plant(
        "a file of a snapshot outside of snapshots",
        problem("inode", name(&tail), "expected writable"),
        Mends::All,
        &[],
        |image| {
            write::set_kind(image, &tail, 1, true, tail.generation);
        },
    );
    let table_size = bench.base.word((64 << 10) + 24) & ((1 << 48) - 1);
    bench.plant(
        "an inode table longer than its map",
        problem("inode table", "its size", "blocks"),
        Mends::Nothing,
        &[],
        |image| {
            let table =
                crate::anatomy::Inode { number: 0, at: 64 << 10, kind: 1, snapshot: false, generation: 1 };
            write::set_size(image, &table, table_size + 8192);
        },
    );
}

fn plant_trees(bench: &mut Bench<'_>) {
    let (tail, e, d) = (bench.entry("/tail"), bench.entry("/d/e"), bench.entry("/d"));
    let drop_name = |image: &mut Image, entry: &crate::anatomy::DirectoryEntry| {
        image.set_word(entry.bucket + 16, image.word(entry.bucket + 16) & !(1 << entry.slot));
    };
    let number = tail.inode;
    bench.plant(
        "a file without a name",
        problem("inode", format!("inode {number}"), "found 0"),
        Mends::All,
        &["/tail", LOST],
        |image| {
            drop_name(image, &tail);
        },
    );
    bench.plant(
        "a file without a name or links",
        problem("inode", format!("inode {number}"), "neither"),
        Mends::All,
        &["/tail"],
        |image| {
            let inode = crate::anatomy::Inode { number, at: 0, kind: 1, snapshot: false, generation: 0 };
            let at = Anatomy::of(image)
                .inodes
                .iter()
                .find(|found| found.number == number)
                .map_or(0, |found| found.at);
            write::set_links(image, &crate::anatomy::Inode { at, ..inode }, 0);
            drop_name(image, &tail);
        },
    );
    bench.plant(
        "a directory without a name",
        problem("inode", format!("inode {}", e.inode), "found 0"),
        Mends::All,
        &["/d/e", LOST],
        |image| {
            drop_name(image, &e);
        },
    );
    let (anatomy, snapshots) = (bench.anatomy.clone(), bench.entry("/.snapshots"));
    bench.plant(
        "directories that lead to each other",
        problem("inode", format!("inode {}", d.inode), "found 0"),
        Mends::All,
        &["/d", LOST],
        |image| {
            // `/d` moves into its own `/d/e`, beside `f`.
            let f = anatomy.entry("/d/e/f").cloned().unwrap_or_else(|| e.clone());
            assert!(
                write::add_name(
                    image,
                    &anatomy,
                    &crate::anatomy::DirectoryEntry { slot: f.slot, ..f.clone() },
                    b"up"
                ),
                "there is room"
            );
            let up = Anatomy::of(image).entries.into_iter().find(|entry| entry.name == b"up").unwrap_or(f);
            image.set_bytes(up.at(), &image.bytes(d.at(), 26));
            image.set_word(up.at() + 8, write::hash(&anatomy, b"up"));
            image.set_byte(up.at() + 24, 2);
            write::seal_name(image, up.at());
            drop_name(image, &d);
        },
    );
    bench.plant(
        "a directory below itself",
        problem("directory", "/d/e/up", "one name"),
        Mends::All,
        &["/d/e/up"],
        |image| {
            let f = anatomy.entry("/d/e/f").cloned().unwrap_or_else(|| e.clone());
            assert!(write::add_name(image, &anatomy, &f, b"up"), "there is room");
            let up = Anatomy::of(image).entries.into_iter().find(|entry| entry.name == b"up").unwrap_or(f);
            image.set_bytes(up.at(), &image.bytes(d.at(), 26));
            image.set_word(up.at() + 8, write::hash(&anatomy, b"up"));
            image.set_byte(up.at() + 24, 2);
            write::seal_name(image, up.at());
        },
    );
    bench.plant(
        "a pool without /.snapshots",
        problem("inode", "inode 2", "found 0"),
        Mends::All,
        &[],
        |image| {
            drop_name(image, &snapshots);
        },
    );
}
