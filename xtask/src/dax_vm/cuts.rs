//! Power cuts: a writer on each device, all in one guest that is killed at a random moment, also while it recovers. The next boot
//! judges what each pool holds: all that was acknowledged over the serial line, nothing torn.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use daxcow_tests::rng::Rng;

use super::Tally;
use super::guest::{Guest, Heard, Machine};
use super::nvdimm::Device;

/// More operations than a writer performs before the cut.
const OPERATIONS: u64 = 1_000_000;
/// The time that a boot may take until all writers write.
const LIMIT: Duration = Duration::from_secs(300);
/// The longest that writers write, in milliseconds.
const WRITING_MAX: u64 = 4000;
/// The longest that a guest is left at judging and recovering, in milliseconds, where the cut is to come then.
const RECOVERING_MAX: u64 = 1500;

/// What is known of the pool of each device, by its name.
#[derive(Default)]
struct Known {
    /// The last operation that was acknowledged, or that was found.
    acknowledged: BTreeMap<String, u64>,
}

/// Cuts the power while `more` says so of the number of cuts made, and judges once more at the end.
pub(super) fn run(
    machine: &Machine<'_>,
    seed: u64,
    more: impl Fn(u64) -> bool,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    machine.make_devices()?;
    let mut rng = Rng::new(seed);
    let mut known = Known::default();
    let failed_before = tally.failures;
    while tally.failures == failed_before {
        let last = !more(tally.cuts);
        let mut guest = machine.boot(&script(&known, seed, last)?, LIMIT)?;
        tally.boots += 1;
        let early = !last && tally.cuts > 0 && rng.one_in(4);
        let writing = watch(&mut guest, &mut known, early.then(|| rng.below(RECOVERING_MAX)), tally);
        if last || tally.failures > failed_before {
            break;
        }
        if writing {
            let until = Instant::now() + Duration::from_millis(rng.below(WRITING_MAX));
            while let Heard::Line(line) = guest.hear(until) {
                known.hear(&line, tally);
            }
        }
        tally.cuts += 1;
        guest.cut().iter().for_each(|line| known.hear(line, tally));
    }
    if tally.failures > failed_before {
        println!(
            "seed {seed}, cut {}: what the devices hold is in {}",
            tally.cuts,
            machine.folder().display()
        );
    }
    Ok(())
}

/// A writer on each device, in the background; the last time they judge and write nothing.
fn script(known: &Known, seed: u64, last: bool) -> anyhow::Result<String> {
    let mut script = String::new();
    for device in Device::ALL {
        let (name, pool) = (device.name(), device.pool());
        // Nothing acknowledged: the power may have gone while the pool was made.
        let role = if known.acknowledged.contains_key(name) { "open" } else { "create" };
        let operations = if last { 0 } else { OPERATIONS };
        writeln!(script, "/bin/worker power {role} {name} {pool} {seed} {operations} 2>&1 &")?;
    }
    writeln!(script, "wait")?;
    Ok(script)
}

/// Listens until all writers have said what they found, or for `early` milliseconds after the first said so. Whether all write.
fn watch(guest: &mut Guest, known: &mut Known, early: Option<u64>, tally: &mut Tally) -> bool {
    let mut judged = 0;
    let far = Instant::now() + LIMIT;
    let mut until = far;
    while judged < Device::ALL.len() {
        match guest.hear(until) {
            Heard::Line(line) => {
                judged += usize::from(line.starts_with("state "));
                if line == "guest: ready"
                    && let Some(milliseconds) = early
                {
                    until = Instant::now() + Duration::from_millis(milliseconds);
                }
                known.hear(&line, tally);
            }
            Heard::Nothing if until < far => return false,
            Heard::Nothing | Heard::End => {
                tally.failures += 1;
                println!("a guest did not come to write:\n{}", guest.last_words());
                return false;
            }
        }
    }
    true
}

impl Known {
    fn hear(&mut self, line: &str, tally: &mut Tally) {
        let mut words = line.split(' ');
        let (word, name) = (words.next(), words.next().unwrap_or_default());
        let number = words.next().and_then(|number| number.parse().ok());
        match (word, number) {
            (Some("ack"), Some(number)) => {
                self.acknowledged.insert(name.to_owned(), number);
                tally.acknowledged += 1;
            }
            (Some("state"), Some(found)) => {
                let acknowledged = self.acknowledged.get(name).copied().unwrap_or(0);
                eprintln!("{name}: {acknowledged} operations were acknowledged, {found} are there");
                if found < acknowledged {
                    tally.failures += 1;
                    println!("{name}: {acknowledged} operations were acknowledged, only {found} are there");
                }
            }
            (Some("failed"), _) | (Some("guest:"), None)
                if !line.starts_with("guest: ready") && line != "guest: end" =>
            {
                tally.failures += 1;
                println!("{line}");
            }
            _ => {}
        }
    }
}
