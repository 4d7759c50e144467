//! What the process does that is to die: the operations of the crash tests, and what changes nothing that lasts, such as
//! locks, views and memberships.

use daxcow::{FileOptions, LockMode, OpenOptions, Pool, Result};

use crate::op::Op;
use crate::sequences::alphabet;

/// Something that leaves every file as it was.
type Visit = fn(&Pool) -> Result<()>;

/// What one victim does.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it is called.
    pub name: String,
    /// Operations, in step with the model.
    pub ops: Vec<Op>,
    /// What comes after them.
    pub visit: Option<Visit>,
    /// It replaces or holds everything in the pool, also what survivors have made.
    pub of_all: bool,
    /// It needs every file closed, or the pool to itself: whoever works beside it would have some open.
    pub alone: bool,
}

/// All scripts.
#[must_use]
pub fn scripts() -> Vec<Script> {
    let operations = alphabet().into_iter().map(|(name, ops)| {
        let of_all = ops.iter().any(|op| match op {
            Op::Snapshot { paths, .. } => paths.is_empty(),
            Op::Rollback { .. } => true,
            _ => false,
        });
        let alone = ops.iter().any(|op| matches!(op, Op::Rollback { force: false, .. } | Op::Repair));
        Script { name: name.to_owned(), ops, visit: None, of_all, alone }
    });
    let visits: [(&str, Visit); 7] = [
        ("advisory locks", locks),
        ("views", views),
        ("shared memory", shared_memory),
        ("handles", handles),
        ("a file without a name", unnamed),
        ("another membership", membership),
        ("looking around", look),
    ];
    let visits = visits.into_iter().map(|(name, visit)| Script {
        name: name.to_owned(),
        ops: vec![],
        visit: Some(visit),
        of_all: false,
        alone: false,
    });
    operations.chain(visits).collect()
}

/// Two scripts, one after the other.
#[must_use]
pub fn joined(first: &Script, second: &Script) -> Script {
    Script {
        name: format!("{}, then {}", first.name, second.name),
        ops: first.ops.iter().chain(&second.ops).cloned().collect(),
        visit: second.visit,
        of_all: first.of_all || second.of_all,
        alone: first.alone || second.alone,
    }
}

fn writable() -> FileOptions {
    FileOptions::new().read(true).write(true)
}

fn locks(pool: &Pool) -> Result<()> {
    let file = pool.open_file("/own", &writable())?;
    for mode in [LockMode::Shared, LockMode::Exclusive] {
        file.try_lock(3, mode)?;
        file.lock_state(3)?;
    }
    file.try_lock(4, LockMode::Exclusive)?;
    file.unlock(3)
}

fn views(pool: &Pool) -> Result<()> {
    let file = pool.open_file("/own", &writable())?;
    let first = file.view(0, 4096)?;
    let second = file.view(4096, 4096)?;
    drop(first);
    drop(second);
    file.view(0, 4096).map(drop)
}

fn shared_memory(pool: &Pool) -> Result<()> {
    let file = pool.open_file("/own", &writable())?;
    let memory = file.shared_memory()?;
    memory.region(0, 32 << 10, true)?;
    memory.region(1, 32 << 10, true)?;
    memory.users()?;
    memory.detach(false)?;
    file.shared_memory()?.detach(true)
}

fn handles(pool: &Pool) -> Result<()> {
    let file = pool.open_file("/d/file", &writable())?;
    let again = file.another_handle();
    drop(file);
    drop(again);
    pool.open_file("/own", &writable()).map(drop)
}

fn unnamed(pool: &Pool) -> Result<()> {
    let file = pool.open_unnamed()?;
    file.write_at(&[7; 20_000], 0)?;
    file.set_len(5000)
}

fn membership(pool: &Pool) -> Result<()> {
    let other = Pool::open(pool.path(), &OpenOptions::new())?;
    other.open_file("/own", &writable())?.view(0, 4096)?;
    other.close()
}

fn look(pool: &Pool) -> Result<()> {
    pool.info()?;
    pool.usage()?;
    pool.trim()?;
    pool.check().map(drop)
}
