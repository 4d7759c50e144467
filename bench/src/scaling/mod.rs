//! Scaling: two threads and two processes beside one, and how costs grow with files, fragments, directories and snapshots.
//!
//! | module | what it holds |
//! |---|---|
//! | `beside` | threads and processes |
//! | `growth` | what grows |

mod beside;
mod growth;

use anyhow::Result;

pub(crate) use beside::{Site, Work, work};

use crate::run::{Findings, Run};

pub(crate) fn run(run: &Run) -> Result<Findings> {
    let mut findings = Findings {
        tables: beside::run(run)?.into(),
        notes: vec![
            "two threads or processes on a machine of two processors: what else runs there takes from the second".to_owned(),
            "each worker of daxcow has read, written or appended as much once before, so that the pages are in its mapping"
                .to_owned(),
            "separate: a file, or a directory, for each; shared: one for both".to_owned(),
        ],
        ..Findings::default()
    };
    growth::run(run, &mut findings)?;
    Ok(findings)
}
