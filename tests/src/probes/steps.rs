//! A member that performs a sequence and kills itself at a chosen step of the persistence layer: a store, a flush, a
//! fence, or a change of a lock or counter.
//!
//! It says `armed` when the pool is prepared, waits for a line, and says `done` after each operation. If it lives to the
//! end, it says how many steps there were.

use std::path::Path;

use daxcow::CreateOptions;
use daxcow::sim::{die_at_step, steps};

use super::say;
use crate::sequences::{POOL_BYTES, alphabet, before};
use crate::session::{Session, Setup};

pub(super) fn main(pool: &str, sequence: &str, step: u64) -> u8 {
    let Some((_, ops)) = alphabet().into_iter().find(|(name, _)| *name == sequence) else { return 2 };
    let setup = Setup { pool: Path::new(pool).into(), members: 1, base: String::new(), may_run_out: false };
    let options = CreateOptions::new().size(POOL_BYTES).sparse(true);
    let mut session = Session::create(setup, &options).expect("a new pool");
    before().iter().for_each(|op| session.step(op).expect("the preparation succeeds"));
    say("armed");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the test gives the word");
    let start = steps();
    die_at_step(start.saturating_add(step));
    for op in ops {
        session.step(&op).expect("the sequence succeeds");
        say("done");
    }
    drop(session);
    say(&format!("steps {}", steps() - start));
    0
}

/// Repairs the pool, dying at a step of that. Who lives to the end says how many there were.
pub(super) fn repair(pool: &str, step: u64) -> u8 {
    let start = steps();
    die_at_step(start.saturating_add(step));
    let repaired = daxcow::Pool::repair(pool, &daxcow::OpenOptions::new());
    die_at_step(u64::MAX);
    say(&format!("steps {}", steps() - start));
    u8::from(repaired.is_err())
}
