//! Deaths at every step: one process works and ends itself at a chosen step, others work on, and what is left is judged.
//!
//! | module | what |
//! |---|---|
//! | [`script`] | what the process does that is to die |
//! | [`shared`] | a page of counters that outlives the processes that write it, and a histogram of waits |
//! | [`template`] | a pool that is laid down anew for each death |
//! | [`survivor`] | what the others do meanwhile, each operation timed |
//! | [`death`] | one death and its judgement |
//! | [`stop`] | one member that is stopped, and what others can do meanwhile |
//! | [`crowd`] | more processes than there are slots |
//! | [`campaign`] | all deaths of all scripts, or a sample of them |
//!
//! A step is every store, flush and fence, every change of a lock, mark, counter or other volatile word, and every wait on
//! and wake of a futex (see `daxcow::sim`). All of this runs in one process with one thread, which forks: some hundred deaths a
//! second. It must not be called from a test's own process, but from `worker deaths`.

pub mod campaign;
pub mod crowd;
pub mod death;
pub mod replaced;
pub mod script;
pub mod shared;
pub mod stop;
pub mod survivor;
pub mod template;

use std::time::Duration;

use crate::rng::parse_number;

/// The process that forks all others: `arguments` are `sample COUNT SEED`, `all SECONDS SEED PART PARTS`, `stops COUNT SEED`,
/// `crowd` or `replaced`. Gives the exit code.
#[must_use]
pub fn main(arguments: &[String]) -> u8 {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.as_slice() == ["crowd"] {
        return death::said(death::Scene::new().and_then(|scene| crowd::crowd(&scene)));
    }
    if words.as_slice() == ["replaced"] {
        return death::said(death::Scene::new().and_then(|scene| replaced::replaced(&scene)).map(|seen| {
            println!("{seen:?}");
        }));
    }
    let numbers: Option<Vec<u64>> = words.iter().skip(1).map(|word| parse_number(word)).collect();
    let how = words.first().copied().unwrap_or_default();
    let (effort, seed) = match (how, numbers.as_deref()) {
        ("sample", Some(&[deaths, seed])) => (campaign::Effort::Sample(deaths), seed),
        ("all", Some(&[seconds, seed, part, parts])) if parts > 0 => {
            let as_index = |number| usize::try_from(number).unwrap_or(usize::MAX);
            let (part, parts) = (as_index(part), as_index(parts));
            (campaign::Effort::Everything { time: Duration::from_secs(seconds), part, parts }, seed)
        }
        ("stops", Some(&[stops, seed])) => return death::said(campaign::stops(stops, seed)),
        _ => return 2,
    };
    match campaign::run(effort, seed) {
        Ok((tally, lines)) => {
            lines.iter().for_each(|line| println!("{line}"));
            u8::from(!tally.failures.is_empty())
        }
        Err(what) => {
            eprintln!("{what}");
            2
        }
    }
}
