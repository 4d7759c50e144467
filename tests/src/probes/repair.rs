//! A repair that ends at a chosen step of the persistence layer.

use daxcow::sim::{die_at_step, steps};

use super::say;

/// Repairs the pool, dying at a step of that. Who lives to the end says how many there were.
pub(super) fn main(pool: &str, step: u64) -> u8 {
    let start = steps();
    die_at_step(start.saturating_add(step));
    let repaired = daxcow::Pool::repair(pool, &daxcow::OpenOptions::new());
    die_at_step(u64::MAX);
    say(&format!("steps {}", steps() - start));
    u8::from(repaired.is_err())
}
