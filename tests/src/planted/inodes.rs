//! Inconsistencies of inodes, and of the trees that names make of them.

use super::names::{LOST, problem};
use super::{Bench, Finds, Mends};
use crate::anatomy::{Anatomy, Image, write};

/// Plants them in a pool that was closed.
pub fn plant(bench: &mut Bench<'_>) {
    plant_inodes(bench);
    plant_trees(bench);
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
