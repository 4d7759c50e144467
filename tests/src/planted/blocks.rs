//! Inconsistencies of maps, reference counts, lanes and superblocks.

use daxcow::ErrorKind;

use super::{Bench, Finds, Mends};
use crate::anatomy::parts::{RUNTIME, SLOTS, SUPERBLOCKS, count, hint};
use crate::anatomy::words::{BLOCK, PRESENT, UNWRITTEN};
use crate::anatomy::{Image, write};

fn problem(structure: &'static str, place: impl Into<String>, message: &'static str) -> Finds {
    Finds::Problem(structure, place.into(), message)
}

fn newest(image: &Image) -> u64 {
    SUPERBLOCKS.into_iter().max_by_key(|at| image.word(at + 56)).unwrap_or(0)
}

/// Changes the superblock that counts.
fn superblock(image: &mut Image, field: u64, value: u64) {
    let at = newest(image);
    image.set_word(at + field, value);
    write::seal_superblock(image, at);
}

/// Plants them in a pool that was closed.
#[expect(clippy::too_many_lines, reason = "a table of rows")]
pub fn plant(bench: &mut Bench<'_>) {
    let (b, far) = (bench.inode("/b"), bench.inode("/d/e/f"));
    let data = bench.block("/b", 5);
    let free = (2560..4096).rev().find(|&block| bench.base.half(count(block)) == 0).unwrap_or(0);
    let shown = |block: u64| format!("block {block}");

    bench.plant("a count that is too high", Finds::Leak(shown(data), "found 9"), Mends::All, &[], |image| {
        image.set_half(count(data), 9);
    });
    let finds = problem("reference count", shown(data), "found 0");
    bench.plant("a count that is too low", finds, Mends::All, &[], |image| image.set_half(count(data), 0));
    let finds = Finds::Leak(shown(free), "expected 0, found 1");
    bench.plant("a count of a block that nobody owns", finds, Mends::All, &[], |image| {
        image.set_half(count(free), 1);
    });
    let (leaf, other) = (bench.node("/b", 5), bench.block("/d/c", 0));
    let finds = problem("reference count", shown(other), "expected at least");
    bench.plant("a block of another file in a map", finds, Mends::All, &["/b"], |image| {
        write::set_entry(image, leaf, 1, 5, other, PRESENT);
    });
    let bucket = bench.entry("/d/e").bucket / BLOCK;
    let finds = problem("cross-linked block", format!("of inode {}", b.number), "is not part of inode");
    bench.plant("a block of a directory in the map of a file", finds, Mends::All, &["/b"], |image| {
        write::set_entry(image, leaf, 1, 5, bucket, PRESENT);
        image.set_half(count(bucket), 2);
    });
    let table = bench.inode("/b").at / BLOCK;
    let finds = problem("cross-linked block", format!("of inode {}", b.number), "is not part of inode 0");
    bench.plant("a block of the inode table in the map of a file", finds, Mends::All, &["/b"], |image| {
        write::set_entry(image, leaf, 1, 5, table, PRESENT);
        image.set_half(count(table), 2);
    });
    let place = format!("{:#x}", leaf * BLOCK + 5 * 8);
    bench.plant(
        "wrong check bits in a map entry",
        problem("map entry", &place, "a checked word of level 0"),
        Mends::All,
        &["/b"],
        |image| image.set_word(leaf * BLOCK + 5 * 8, image.word(leaf * BLOCK + 5 * 8) ^ 1 << 50),
    );
    let flags = PRESENT | 4;
    bench.plant(
        "flags in a map entry that mean nothing",
        problem("map entry", &place, "a checked word of level 0"),
        Mends::All,
        &["/b"],
        |image| write::set_entry(image, leaf, 1, 5, data, flags),
    );
    for (what, block) in [
        ("an entry beyond the pool", 4096),
        ("an entry at the greatest block number", (1 << 40) - 1),
        ("an entry in the header area", 3),
        ("an entry in the count table", 2048 + 7),
    ] {
        let finds = problem("reference", &place, "a block inside a group of the pool");
        bench.plant(what, finds, Mends::All, &["/b"], |image| {
            write::set_entry(image, leaf, 1, 5, block, PRESENT);
        });
    }
    let (top, low) = (bench.base.word(far.at + 16) & ((1 << 40) - 1), bench.node("/d/e/f", 3));
    bench.plant(
        "a node that is its own child",
        problem("reference", format!("{:#x}", top * BLOCK + 8), "at level 2, as elsewhere"),
        Mends::All,
        &["/d/e/f"],
        |image| write::set_entry(image, top, 2, 1, top, PRESENT),
    );
    bench.plant(
        "a node that is data elsewhere",
        problem("reference", "", "as elsewhere"),
        Mends::All,
        &["/b"],
        |image| write::set_entry(image, leaf, 1, 5, low, PRESENT),
    );
    bench.plant(
        "a node that was never written",
        problem("map entry", format!("{:#x}", top * BLOCK), "a checked word of level 1"),
        Mends::All,
        &["/d/e/f"],
        |image| write::set_entry(image, top, 2, 0, low, PRESENT | UNWRITTEN),
    );
    bench.plant(
        "a root one level too high",
        problem("map entry", "", "level 1"),
        Mends::All,
        &["/b"],
        |image| {
            write::set_root(image, &b, leaf, 2, PRESENT);
        },
    );
    bench.plant(
        "a root of height 7",
        problem("inode", b_name(&b), "root word"),
        Mends::All,
        &["/b"],
        |image| {
            write::set_root(image, &b, leaf, 7, PRESENT);
        },
    );
    bench.plant(
        "wrong check bits in a root word",
        problem("inode", b_name(&b), "root word"),
        Mends::All,
        &["/b"],
        |image| image.set_word(b.at + 16, image.word(b.at + 16) ^ 1 << 63),
    );
    bench.plant(
        "a root beyond the pool",
        problem("reference", format!("{:#x}", b.at + 16), "a block inside a group"),
        Mends::All,
        &["/b"],
        |image| write::set_root(image, &b, 1 << 30, 1, PRESENT),
    );

    bench.plant(
        "more free blocks promised than there are",
        problem("number of free blocks", "runtime header", "at most"),
        Mends::All,
        &[],
        |image| superblock(image, 152, image.word(newest(image) + 152) + 1),
    );
    bench.plant(
        "a wrong number of inodes in use",
        problem("number of inodes in use", "runtime header", "found 7"),
        Mends::All,
        &[],
        |image| superblock(image, 160, 7),
    );
    bench.plant(
        "a hint of free blocks that is too low",
        problem("hint of free blocks", "block", "found 0"),
        Mends::All,
        &[],
        |image| image.set_bytes(hint(4000), &[0, 0]),
    );
    let refused = |kind, text| Finds::Refusal(kind, text);
    bench.plant(
        "superblocks that contradict each other",
        refused(ErrorKind::Corrupt, "its two copies"),
        Mends::Refused,
        &[],
        |image| superblock(image, 96, 1),
    );
    bench.plant(
        "two damaged superblocks",
        refused(ErrorKind::Corrupt, "crc"),
        Mends::Refused,
        &[],
        |image| SUPERBLOCKS.into_iter().for_each(|at| image.set_word(at + 72, 99)),
    );
    bench.plant("one damaged superblock", Finds::Nothing, Mends::All, &[], |image| {
        image.set_word(newest(image) + 72, 99);
    });
    for (what, field) in [("a feature that forbids opening", 32), ("a feature that forbids writing", 24)] {
        let finds = refused(ErrorKind::UnsupportedVersion, "features");
        bench.plant(what, finds, Mends::Refused, &[], |image| superblock(image, field, 1 << 17));
    }
    bench.plant("a feature that any version may ignore", Finds::Nothing, Mends::All, &[], |image| {
        superblock(image, 16, 1 << 17);
    });
    bench.plant(
        "an epoch that cannot be raised",
        refused(ErrorKind::Corrupt, "epoch"),
        Mends::Refused,
        &[],
        |image| {
            SUPERBLOCKS.into_iter().for_each(|at| {
                image.set_word(at + 72, u64::MAX);
                write::seal_superblock(image, at);
            })
        },
    );
    bench.plant("garbage in the runtime header", Finds::Nothing, Mends::All, &[], |image| {
        (0..64).for_each(|word| image.set_word(RUNTIME + word * 8, 0x5555_0001 + word));
    });
    bench.plant("garbage in the member slots", Finds::Nothing, Mends::All, &[], |image| {
        (0..256).for_each(|slot| image.set_bytes(SLOTS + slot * BLOCK, &[1; 2048]));
    });
    bench.plant("garbage in the lanes", Finds::Nothing, Mends::All, &[], |image| {
        (0..1024).for_each(|lane| image.set_bytes((2 << 20) + lane * BLOCK, &[7; 200]));
    });
    bench.plant(
        "a file that ends before the pool",
        refused(ErrorKind::Corrupt, "truncated"),
        Mends::Refused,
        &[],
        |image| {
            SUPERBLOCKS.into_iter().for_each(|at| {
                image.set_word(at + 64, 1 << 20);
                write::seal_superblock(image, at);
            });
        },
    );
}

fn b_name(inode: &crate::anatomy::Inode) -> String {
    format!("inode {}", inode.number)
}

/// Plants what only a pool that was left open can hold.
pub fn plant_left_open(bench: &mut Bench<'_>) {
    let refused = Finds::Refusal(ErrorKind::Corrupt, "lane record");
    for (what, place) in [
        ("a transaction that names a superblock", 64),
        ("a transaction that names a lane", 2 << 20),
        ("a transaction that names a count", count(2700)),
        ("a transaction that names what lies beyond the pool", 1 << 40),
        ("a transaction that names half a word", 3000 * BLOCK + 4),
    ] {
        bench.plant(what, refused.clone(), Mends::All, &[], |image| {
            write::set_lane(image, 3, 1, &[(place, 0x1234)]);
        });
    }
    let (b, leaf) = (bench.inode("/b"), bench.node("/b", 5));
    let place = leaf * BLOCK + 5 * 8;
    bench.plant(
        "wrong check bits in a map entry of a pool left open",
        Finds::Problem("map entry", format!("{place:#x}"), "a checked word of level 0"),
        Mends::All,
        &["/b"],
        |image| image.set_word(place, 77),
    );
    bench.plant(
        "wrong check bits in the root word of a pool left open",
        Finds::Problem("inode", b_name(&b), "root word"),
        Mends::All,
        &["/b"],
        |image| image.set_word(b.at + 16, 78),
    );
    bench.plant(
        "a wrong size word in a pool left open",
        Finds::Problem("inode", b_name(&b), "size word"),
        Mends::Nothing,
        &["/b"],
        |image| image.set_word(b.at + 24, 79),
    );
}
