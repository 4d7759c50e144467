//! Files: reads, appends and overwrites from 64 B to 2 MiB, beside system calls and mappings of the same medium and the machine's
//! own floor.
//!
//! Whatever is read or overwritten lies at a random multiple of its size in a file of the same length on every side, all of whose
//! pages have been written before.
//!
//! | module | what it holds |
//! |---|---|
//! | `sides` | who reads and writes, and how |
//! | `stranger` | a program that takes part |

mod sides;
mod stranger;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::report::Sheet;
use crate::run::{Budget, Findings, Run, bytes};
use crate::turns::balanced;
use sides::{DURABLE, Sides, TOPICS, Topic};
use stranger::Stranger;

const SIZES: [usize; 9] = [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 2 << 20];

pub(crate) fn run(run: &Run) -> Result<Findings> {
    let sizes = run.effort().pick(&SIZES[2..5], &SIZES[..], &SIZES[..]);
    let len = run.effort().pick(4 << 20, 64 << 20, 256 << 20);
    let mut sides = Sides::new(run, len)?;
    let mut sheets: Vec<Sheet> = TOPICS
        .iter()
        .map(|topic| Sheet::times(topic.name, topic.title, "us per operation", "daxcow").along("bytes"))
        .collect();
    let stranger =
        run.beside().map(|(name, program, _)| Stranger::new(run, &name, program, len)).transpose()?;
    let strangers = |topic: &Topic| if topic.name == DURABLE { stranger.as_ref() } else { None };
    let steps: usize = TOPICS.iter().map(|topic| topic.sides.len() * sizes.len()).sum();
    run.expect(steps * run.rounds() as usize);
    for round in 0..run.rounds() {
        for (topic, sheet) in TOPICS.iter().zip(&mut sheets) {
            for &size in sizes {
                let all = topic.sides.len() + usize::from(strangers(topic).is_some());
                for index in balanced(round, all) {
                    let case = bytes(size as u64);
                    let budget = budget(run, size);
                    let (side, micros) = match (topic.sides.get(index), strangers(topic)) {
                        (Some((side, measure)), _) => {
                            run.step(&format!("{}, {case}, {side}", topic.name));
                            (*side, measure(&mut sides, size, budget))
                        }
                        (None, Some(stranger)) => (stranger.name.as_str(), stranger.measure(size, budget)),
                        (None, None) => continue,
                    };
                    let micros = micros.with_context(|| format!("{}, {case}, {side}", topic.title))?;
                    sheet.add_at(size as f64, &case, side, micros);
                }
            }
        }
    }
    let tables = sheets
        .into_iter()
        .zip(TOPICS)
        .map(|(sheet, topic)| sheet.finish(&topic.sides.iter().map(|(side, _)| *side).collect::<Vec<_>>()));
    let versions = run.beside().map(|(name, _, version)| (name, version.to_owned()));
    Ok(Findings {
        tables: tables.collect(),
        versions: versions.into_iter().collect(),
        notes: vec![
            format!("random places in files of {}, every page written before", bytes(u64::from(len))),
            "all of the pools has been written once before; tmpfs gives and takes pages as its files grow and are cut".to_owned(),
            "daxcow, durable: write_at returns when the data is flushed and fenced; append needs sync for its size".to_owned(),
            "tmpfs, durable: fdatasync, which has nothing to do on tmpfs; mmap: msync of the range, the same".to_owned(),
            "floor: copies to and from a mapping of a tmpfs file; non-temporal: stores around the cache and one sfence"
                .to_owned(),
            "copy-on-write: each write is the first one to its block since a snapshot; the other sides write in place: tmpfs has no copy on write"
                .to_owned(),
        ],
    })
}

/// As many operations for all sides, and no more than so long.
fn budget(run: &Run, size: usize) -> Budget {
    let all = run.effort().pick(1 << 20, 64 << 20, 1 << 30);
    let most = run.effort().pick(100, 20_000, 300_000);
    Budget {
        operations: (all / size as u64).clamp(16, most),
        time: Duration::from_millis(run.effort().pick(2, 15, 200)),
        clock: run.clock(),
    }
}
