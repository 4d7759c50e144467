//! Deaths at every step: one process works and ends itself at a chosen step, others work on, and what is left is judged.
//!
//! | module | what |
//! |---|---|
//! | [`script`] | what the process does that is to die |
//! | [`shared`] | a page of counters that outlives the processes that write it, and a histogram of waits |
//! | [`template`] | a pool that is laid down anew for each death |
//! | [`survivor`] | what the others do meanwhile, each operation timed |
//! | [`death`] | one death and its judgement |
//! | [`campaign`] | all deaths of all scripts, or a sample of them |
//!
//! A step is every store, flush and fence, every change of a lock, mark, counter or other volatile word, and every wait on
//! and wake of a futex (see `daxcow::sim`). All of this runs in one process with one thread, which forks: some hundred deaths a
//! second. It must not be called from a test's own process, but from `worker deaths`.

pub mod campaign;
pub mod death;
pub mod script;
pub mod shared;
pub mod survivor;
pub mod template;

use std::time::Duration;

use crate::rng::parse_number;

/// The process that forks all others: `arguments` are `sample COUNT SEED` or `all SECONDS SEED`. Gives the exit code.
#[must_use]
pub fn main(arguments: &[String]) -> u8 {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [how, amount, seed] = words.as_slice() else { return 2 };
    let (Some(amount), Some(seed)) = (parse_number(amount), parse_number(seed)) else { return 2 };
    let effort = match *how {
        "sample" => campaign::Effort::Sample(amount),
        "all" => campaign::Effort::Everything(Duration::from_secs(amount)),
        _ => return 2,
    };
    match campaign::run(effort, seed) {
        Ok((tally, line)) => {
            println!("{line}");
            u8::from(!tally.failures.is_empty())
        }
        Err(what) => {
            eprintln!("{what}");
            2
        }
    }
}
