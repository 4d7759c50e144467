//! Operations drawn from the input, performed on a pool and on the model: the random tests, steered by what code they reach.

use super::Bench;
use crate::campaign::{Plan, replay_drawn};
use crate::generate::{Generator, Limits};
use crate::rng::Rng;

/// Operations of one input.
const STEPS_MAX: usize = 60;

/// Tries one input.
pub(super) fn run(bench: &Bench, input: &[u8]) -> Result<(), String> {
    let Some((&first, tape)) = input.split_first() else { return Ok(()) };
    let limits = Limits {
        members: 1 + usize::from(first & 1),
        write_max: 16 << 10,
        offset_max: 128 << 10,
        far: first & 2 != 0,
        alone: true,
    };
    let plan = Plan {
        steps: STEPS_MAX,
        pool_bytes: if first & 4 != 0 { 16 << 20 } else { 64 << 20 },
        may_run_out: first & 4 != 0,
        limits: limits.clone(),
        place: Some(bench.place.path().into()),
    };
    let generator = Generator::drawing(Rng::of_tape(tape), limits);
    replay_drawn(&plan, generator).map_err(|mismatch| mismatch.0)
}
