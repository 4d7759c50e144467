//! Short operation sequences that cover every public operation that changes a pool.

use crate::op::{Op, OpenHow, Span};

/// Bytes in the pool of a sequence.
pub const POOL_BYTES: u64 = 16 << 20;

const HOW: OpenHow = OpenHow { write: true, create: true, create_new: false, truncate: false };

fn open(slot: usize, path: &str) -> Op {
    Op::Open { slot, member: 0, path: path.into(), how: HOW }
}

fn write(slot: usize, offset: u64, len: u64, seed: u64) -> Op {
    Op::Write { slot, span: Span { offset, len }, seed }
}

/// What makes the pool that every sequence starts from: a file of its own, one shared with a clone and a snapshot, a hole, a directory.
#[must_use]
pub fn before() -> Vec<Op> {
    vec![
        open(0, "/own"),
        write(0, 0, 9000, 1),
        open(1, "/shared"),
        write(1, 0, 12_288, 2),
        write(1, 40_960, 5000, 3),
        Op::CloneTree { member: 0, from: "/shared".into(), to: "/clone".into() },
        Op::CreateDir { member: 0, path: "/d".into() },
        open(2, "/d/file"),
        write(2, 100, 100, 4),
        Op::Snapshot { member: 0, name: "s".into(), paths: vec![] },
        open(3, "/new"),
        write(3, 0, 4096, 5),
        Op::PoolSync { member: 0 },
    ]
}

/// The alphabet: each a name and the operations that belong together.
#[must_use]
pub fn alphabet() -> Vec<(&'static str, Vec<Op>)> {
    let span = |offset, len| Span { offset, len };
    let batch = |slot| {
        vec![
            Op::BatchOpen { slot },
            Op::BatchWrite { slot, span: span(10, 5000), seed: 21 },
            Op::BatchWrite { slot, span: span(20_480, 4096), seed: 22 },
            Op::BatchSetLen { slot, len: 30_000 },
            Op::BatchCommit { slot },
            Op::BatchClose { slot },
        ]
    };
    let large_batch = {
        let mut ops = vec![Op::BatchOpen { slot: 1 }];
        ops.extend((0..60).map(|page| Op::BatchWrite {
            slot: 1,
            span: span(page * 8192, 700),
            seed: 30 + page,
        }));
        ops.extend([Op::BatchCommit { slot: 1 }, Op::BatchClose { slot: 1 }]);
        ops
    };
    let two_batches = vec![
        Op::BatchOpen { slot: 0 },
        Op::BatchOpen { slot: 1 },
        Op::BatchWrite { slot: 0, span: span(0, 6000), seed: 41 },
        Op::BatchWrite { slot: 1, span: span(0, 6000), seed: 42 },
        Op::CommitBatches { slots: vec![0, 1], unlink: Some("/d/file".into()) },
    ];
    let path = |path: &str| path.to_owned();
    vec![
        ("create", vec![open(5, "/d/made")]),
        ("write a block in place", vec![write(3, 0, 4096, 11)]),
        ("write unaligned, shared", vec![write(1, 1000, 6000, 12)]),
        ("write past the end", vec![write(0, 20_000, 100, 13)]),
        ("append", vec![Op::Append { slot: 0, len: 5000, seed: 14 }, Op::Sync { slot: 0 }]),
        ("truncate down", vec![Op::SetLen { slot: 1, len: 5000 }]),
        ("truncate down and up", vec![Op::SetLen { slot: 0, len: 100 }, Op::SetLen { slot: 0, len: 9000 }]),
        ("allocate", vec![Op::Allocate { slot: 3, span: span(4096, 20_000), keep_size: false }]),
        ("zero", vec![Op::ZeroRange { slot: 1, span: span(100, 9000) }]),
        ("punch", vec![Op::PunchHole { slot: 1, span: span(4096, 40_000) }]),
        (
            "clone a range",
            vec![Op::CloneRange { target: 0, source: 1, source_offset: 0, span: span(4096, 12_288) }],
        ),
        (
            "dedupe a range",
            vec![
                open(4, "/equal"),
                write(4, 0, 12_288, 2),
                Op::PoolSync { member: 0 },
                Op::DedupeRange { target: 4, source: 1, source_offset: 0, span: span(0, 12_288) },
            ],
        ),
        (
            "dedupe everything",
            vec![
                open(4, "/equal"),
                write(4, 0, 12_288, 2),
                Op::Snapshot { member: 0, name: "u".into(), paths: vec!["/equal".into()] },
                Op::Dedupe { member: 0 },
            ],
        ),
        (
            "defragment",
            vec![
                write(1, 4096, 4096, 16),
                Op::PoolSync { member: 0 },
                Op::Defragment { slot: 1, span: span(0, 1 << 20) },
            ],
        ),
        ("replace contents", vec![Op::ReplaceContents { target: 0, with: 1 }]),
        ("batch", batch(0)),
        ("batch on a shared file", batch(1)),
        ("batch larger than a log", large_batch),
        ("two batches and an unlink", two_batches),
        ("make a directory", vec![Op::CreateDir { member: 0, path: path("/e") }]),
        ("remove a directory tree", vec![Op::RemoveDirAll { member: 0, path: path("/d") }]),
        ("unlink while open", vec![Op::RemoveFile { member: 0, path: path("/own") }, write(0, 0, 100, 15)]),
        (
            "unlink the last name",
            vec![Op::Close { slot: 0 }, Op::RemoveFile { member: 0, path: path("/own") }],
        ),
        ("rename", vec![Op::Rename { member: 0, from: path("/own"), to: path("/d/other") }]),
        ("rename over", vec![Op::Rename { member: 0, from: path("/own"), to: path("/d/file") }]),
        ("rename a directory", vec![Op::Rename { member: 0, from: path("/d"), to: path("/e") }]),
        ("link", vec![Op::HardLink { member: 0, existing: path("/own"), new: path("/d/link") }]),
        ("clone a tree", vec![Op::CloneTree { member: 0, from: path("/d"), to: path("/e") }]),
        (
            "snapshot",
            vec![Op::Snapshot { member: 0, name: path("t"), paths: vec![path("/d"), path("/own")] }],
        ),
        ("delete a snapshot", vec![Op::DeleteSnapshot { member: 0, name: path("s") }]),
        ("roll back", vec![Op::Rollback { member: 0, name: path("s"), force: true }]),
        ("grow", vec![Op::Grow { member: 0, bytes: 2 << 20 }]),
    ]
}
