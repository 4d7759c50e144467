//! Short operation sequences that cover every public operation that changes a pool.

use crate::op::{Op, OpenHow, Span};

/// Bytes in the pool of a sequence.
pub const POOL_BYTES: u64 = 16 << 20;

const HOW: OpenHow = OpenHow { write: true, create: true, create_new: false, truncate: false };

const TRUNCATE: OpenHow = OpenHow { write: true, create: true, create_new: false, truncate: true };

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
    let rename = |from, to| vec![Op::Rename { member: 0, from: path(from), to: path(to) }];
    let snapshot = |name, paths: &[&str]| {
        vec![Op::Snapshot { member: 0, name: path(name), paths: paths.iter().map(|at| path(at)).collect() }]
    };
    let rollback = |force| vec![Op::Rollback { member: 0, name: path("s"), force }];
    let remove = |name| Op::RemoveFile { member: 0, path: path(name) };
    let clone = |target, source, offset, len| {
        vec![Op::CloneRange { target, source, source_offset: 0, span: span(offset, len) }]
    };
    vec![
        ("create", vec![open(5, "/d/made")]),
        ("create by truncating", vec![Op::Open { slot: 6, member: 0, path: path("/own"), how: TRUNCATE }]),
        ("make a file without a name", vec![Op::OpenUnnamed { slot: 7, member: 0 }, write(7, 0, 5000, 16)]),
        ("write a block in place", vec![write(3, 0, 4096, 11)]),
        ("write unaligned, in place", vec![write(0, 3000, 3000, 17)]),
        ("write unaligned, shared", vec![write(1, 1000, 6000, 12)]),
        ("write into a hole", vec![write(1, 20_000, 3000, 18)]),
        ("write past the end", vec![write(0, 20_000, 100, 13)]),
        ("append", vec![Op::Append { slot: 0, len: 5000, seed: 14 }, Op::Sync { slot: 0 }]),
        ("append and not sync", vec![Op::Append { slot: 0, len: 3000, seed: 19 }]),
        ("truncate down", vec![Op::SetLen { slot: 1, len: 5000 }]),
        ("truncate down and up", vec![Op::SetLen { slot: 0, len: 100 }, Op::SetLen { slot: 0, len: 9000 }]),
        ("truncate within a block", vec![Op::SetLen { slot: 0, len: 8500 }]),
        ("truncate up", vec![Op::SetLen { slot: 0, len: 50_000 }]),
        ("allocate", vec![Op::Allocate { slot: 3, span: span(4096, 20_000), keep_size: false }]),
        (
            "allocate and write there",
            vec![Op::Allocate { slot: 3, span: span(0, 30_000), keep_size: true }, write(3, 9000, 5000, 23)],
        ),
        ("zero", vec![Op::ZeroRange { slot: 1, span: span(100, 9000) }]),
        ("punch", vec![Op::PunchHole { slot: 1, span: span(4096, 40_000) }]),
        ("clone a range", clone(0, 1, 4096, 12_288)),
        ("clone a range onto the end", clone(3, 0, 8192, 8192)),
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
                Op::Snapshot { member: 0, name: "v".into(), paths: vec!["/equal".into()] },
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
        (
            "batch filled by another thread",
            vec![
                Op::BatchOpen { slot: 3 },
                Op::BatchWriteElsewhere { slot: 3, span: span(50, 9000), seed: 24 },
                Op::BatchCommit { slot: 3 },
                Op::BatchClose { slot: 3 },
            ],
        ),
        (
            "batch discarded",
            vec![
                Op::BatchOpen { slot: 0 },
                Op::BatchWrite { slot: 0, span: span(0, 9000), seed: 25 },
                Op::BatchDiscard { slot: 0 },
                Op::BatchClose { slot: 0 },
            ],
        ),
        (
            "store through a mapping, in place",
            vec![Op::MapStore { slot: 0, span: span(3000, 3000), seed: 51 }],
        ),
        (
            "store through a mapping, shared and into a hole",
            vec![
                Op::MapStore { slot: 1, span: span(1000, 6000), seed: 52 },
                Op::MapStore { slot: 1, span: span(20_000, 3000), seed: 53 },
            ],
        ),
        (
            "name two files that have none",
            vec![
                Op::OpenUnnamed { slot: 7, member: 0 },
                write(7, 0, 5000, 54),
                Op::OpenUnnamed { slot: 9, member: 0 },
                write(9, 4096, 100, 55),
                Op::Link { files: vec![(7, path("/d/one")), (9, path("/two"))] },
            ],
        ),
        ("make a directory", vec![Op::CreateDir { member: 0, path: path("/e") }]),
        ("make directories", vec![Op::CreateDirAll { member: 0, path: path("/d/a/b") }]),
        ("remove a directory", vec![Op::RemoveDir { member: 0, path: path("/e") }]),
        ("remove a directory tree", vec![Op::RemoveDirAll { member: 0, path: path("/d") }]),
        ("unlink while open", vec![remove("/own"), write(0, 0, 100, 15)]),
        ("unlink the last name", vec![Op::Close { slot: 0 }, remove("/own")]),
        ("unlink a shared file", vec![Op::Close { slot: 1 }, remove("/shared")]),
        ("rename", rename("/own", "/d/other")),
        ("rename over", rename("/own", "/d/file")),
        ("rename over within a directory", rename("/own", "/new")),
        ("rename a directory", rename("/d", "/e")),
        ("link", vec![Op::HardLink { member: 0, existing: path("/own"), new: path("/d/link") }]),
        ("clone a tree", vec![Op::CloneTree { member: 0, from: path("/d"), to: path("/e") }]),
        ("clone a file", vec![Op::CloneTree { member: 0, from: path("/own"), to: path("/d/copy") }]),
        ("snapshot", snapshot("t", &["/d", "/own"])),
        ("snapshot of all", snapshot("u", &[])),
        ("copy a directory of many files", many_files()),
        ("delete a snapshot", vec![Op::DeleteSnapshot { member: 0, name: path("s") }]),
        ("receive all", vec![Op::Receive { member: 0, name: path("s"), parent: None, to: path("r") }]),
        (
            "receive what is new",
            snapshot("w", &[])
                .into_iter()
                .chain([Op::Receive { member: 0, name: path("w"), parent: Some(path("s")), to: path("x") }])
                .collect(),
        ),
        (
            "give up a receive",
            vec![Op::ReceiveHalf { member: 0, name: path("s") }, Op::AbortReceives { member: 0 }],
        ),
        ("roll back", rollback(true)),
        (
            "roll back with nothing open",
            [0, 1, 2, 3].map(|slot| Op::Close { slot }).into_iter().chain(rollback(false)).collect(),
        ),
        ("view", vec![Op::View { slot: 0, span: span(0, 4096) }, write(0, 0, 5000, 26), Op::DropViews]),
        (
            "lock",
            vec![
                Op::AnotherHandle { slot: 8, of: 0 },
                Op::Lock { slot: 8, index: 2, exclusive: true },
                Op::SharedMemory { slot: 8 },
                Op::Unlock { slot: 8, index: 2 },
                Op::Close { slot: 8 },
            ],
        ),
        ("grow", vec![Op::Grow { member: 0, bytes: 2 << 20 }]),
        ("trim", vec![Op::Trim { member: 0 }]),
        ("sync", vec![Op::PoolSync { member: 0 }]),
        ("close and open", vec![Op::Reopen]),
        ("repair", vec![Op::Repair]),
    ]
}

/// A directory of more files than a block of the inode table holds, one of them with two names; a snapshot and a clone of it.
fn many_files() -> Vec<Op> {
    let clone = |from: &str, to: String| Op::CloneTree { member: 0, from: from.into(), to };
    let mut ops: Vec<Op> = (0..16).map(|file| clone("/own", format!("/d/{file}"))).collect();
    ops.push(Op::HardLink { member: 0, existing: "/d/3".into(), new: "/d/three".into() });
    ops.push(Op::Snapshot { member: 0, name: "many".into(), paths: vec!["/d".into()] });
    ops.push(clone("/d", "/e".into()));
    ops
}

/// The public operation of the backend that an operation performs; nothing for what only looks.
#[must_use]
pub fn public_name(op: &Op) -> Option<&'static str> {
    Some(match op {
        Op::CreateDir { .. } => "Pool::create_dir",
        Op::CreateDirAll { .. } => "Pool::create_dir_all",
        Op::RemoveDir { .. } => "Pool::remove_dir",
        Op::RemoveDirAll { .. } => "Pool::remove_dir_all",
        Op::RemoveFile { .. } => "Pool::remove_file",
        Op::Rename { .. } => "Pool::rename",
        Op::HardLink { .. } => "Pool::hard_link",
        Op::Link { .. } => "Pool::link",
        Op::CloneTree { .. } => "Pool::clone_tree",
        Op::Open { .. } => "Pool::open_file",
        Op::OpenUnnamed { .. } => "Pool::open_unnamed",
        Op::Snapshot { .. } => "Pool::create_snapshot",
        Op::DeleteSnapshot { .. } => "Pool::delete_snapshot",
        Op::Rollback { .. } => "Pool::rollback",
        Op::Receive { .. } | Op::ReceiveHalf { .. } => "Pool::receive",
        Op::AbortReceives { .. } => "Pool::abort_receive",
        Op::Grow { .. } => "Pool::grow",
        Op::Trim { .. } => "Pool::trim",
        Op::PoolSync { .. } => "Pool::sync",
        Op::CommitBatches { .. } => "Pool::commit_batches",
        Op::Reopen => "Pool::open",
        Op::Repair => "Pool::repair",
        Op::AnotherHandle { .. } => "File::another_handle",
        Op::Write { .. } => "File::write_at",
        Op::Append { .. } => "File::append",
        Op::SetLen { .. } => "File::set_len",
        Op::Allocate { .. } => "File::allocate",
        Op::ZeroRange { .. } => "File::zero_range",
        Op::PunchHole { .. } => "File::punch_hole",
        Op::Sync { .. } => "File::sync",
        Op::CloneRange { .. } => "File::clone_range",
        Op::DedupeRange { .. } => "File::dedupe_range",
        Op::Dedupe { .. } => "Pool::dedupe",
        Op::Defragment { .. } => "File::defragment",
        Op::ReplaceContents { .. } => "File::replace_contents",
        Op::View { .. } => "File::view",
        Op::MapStore { .. } => "File::map_mut",
        Op::Lock { .. } => "File::try_lock",
        Op::Unlock { .. } => "File::unlock",
        Op::SharedMemory { .. } => "File::shared_memory",
        Op::BatchOpen { .. } => "File::batch",
        Op::BatchWrite { .. } | Op::BatchWriteElsewhere { .. } => "Batch::write_at",
        Op::BatchSetLen { .. } => "Batch::set_len",
        Op::BatchCommit { .. } => "Batch::commit",
        Op::BatchDiscard { .. } => "Batch::discard",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{alphabet, before};
    use crate::model::Model;
    use crate::model::apply::Expected;

    #[test]
    fn every_letter_does_something_and_one_is_refused() {
        let mut model = Model::default();
        before().iter().for_each(|op| drop(model.apply(op)));
        for (name, ops) in alphabet() {
            let mut model = model.clone();
            for op in ops {
                assert!(!model.is_void(&op), "{name}: {op:?} does nothing");
                let refused = matches!(model.apply(&op), Expected::Refused(_));
                assert_eq!(refused, name == "remove a directory", "{name}: {op:?}");
            }
        }
    }
}
