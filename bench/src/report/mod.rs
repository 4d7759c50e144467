//! What was measured: samples of sides in cases, their medians and spread, and how the sides compare.
//!
//! | module | what it does |
//! |---|---|
//! | `sheet` | collects samples and makes a table of them |
//! | `text` | a report as text for people |
//! | `files` | a report as JSON and plots |
//! | `plot` | tables as pictures |
//!
//! A *case* is what was done, a *side* who did it, a *sample* the figure of one round. One side of each table is the
//! *reference*; the ratio of another side says how many times better the reference is, so above 1 the reference wins.

mod files;
mod plot;
mod sheet;
mod text;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

pub(crate) use sheet::Sheet;

/// Which figures are the good ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// Times, sizes.
    Lower,
    /// Operations a second.
    Higher,
}

/// The middle and the ends of some samples.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of some samples; nothing of none.
    pub(crate) fn of(samples: &[f64]) -> Option<Spread> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let lower = if sorted.len().is_multiple_of(2) { *sorted.get(middle - 1)? } else { upper };
        Some(Spread { median: f64::midpoint(lower, upper), min: *sorted.first()?, max: *sorted.last()? })
    }
}

/// One side in one case.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) side: String,
    /// One figure for each round.
    pub(crate) samples: Vec<f64>,
    pub(crate) spread: Spread,
    /// How many times better the reference is, round by round; nothing for the reference, and where it has no figure.
    pub(crate) ratio: Option<Spread>,
}

/// One case.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    /// Where the case stands on the axis of the table.
    pub(crate) at: Option<f64>,
    pub(crate) cells: Vec<Cell>,
}

/// Cases that belong together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    /// For file names: lower case, digits, hyphens.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    /// The side that the others are compared with; nothing where they do different things.
    pub(crate) reference: Option<String>,
    /// What changes from row to row, where that is a number.
    pub(crate) axis: Option<String>,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    /// The sides in the order in which they first appear.
    pub(crate) fn sides(&self) -> Vec<&str> {
        let mut sides: Vec<&str> = Vec::new();
        for cell in self.rows.iter().flat_map(|row| &row.cells) {
            if !sides.contains(&cell.side.as_str()) {
                sides.push(&cell.side);
            }
        }
        sides
    }
}

/// Everything one run found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The command that makes this report again.
    pub(crate) command: String,
    /// Seconds since 1970.
    pub(crate) started: u64,
    /// How long it all took, where that is known.
    pub(crate) seconds: Option<f64>,
    /// What time was counted.
    pub(crate) clock: String,
    pub(crate) rounds: u32,
    pub(crate) machine: Machine,
    /// What was measured under which conditions, and what was left out and why.
    pub(crate) notes: Vec<String>,
    pub(crate) tables: Vec<Table>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
    }
}
