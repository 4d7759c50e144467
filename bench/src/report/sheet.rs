//! Collects samples while a benchmark runs, and makes a table of them.

use crate::report::{Better, Cell, Row, Spread, Table};

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Sheet {
    name: String,
    title: String,
    unit: String,
    better: Better,
    reference: Option<String>,
    axis: Option<String>,
    cases: Vec<Case>,
}

#[derive(Debug)]
struct Case {
    name: String,
    at: Option<f64>,
    sides: Vec<(String, Vec<f64>)>,
}

impl Sheet {
    /// A table of times in `unit`, to be compared with `reference`.
    pub(crate) fn times(name: &str, title: &str, unit: &str, reference: &str) -> Sheet {
        Sheet::new(name, title, unit, Better::Lower, reference)
    }

    /// A table of operations a second.
    pub(crate) fn rates(name: &str, title: &str, unit: &str, reference: &str) -> Sheet {
        Sheet::new(name, title, unit, Better::Higher, reference)
    }

    /// A table of figures; an empty reference is none.
    pub(crate) fn new(name: &str, title: &str, unit: &str, better: Better, reference: &str) -> Sheet {
        Sheet {
            name: name.to_owned(),
            title: title.to_owned(),
            unit: unit.to_owned(),
            better,
            reference: (!reference.is_empty()).then(|| reference.to_owned()),
            axis: None,
            cases: Vec::new(),
        }
    }

    /// The rows differ by a number, which this names.
    pub(crate) fn along(mut self, axis: &str) -> Sheet {
        self.axis = Some(axis.to_owned());
        self
    }

    /// The figure of one round, for a case that has no number.
    pub(crate) fn add(&mut self, case: &str, side: &str, sample: f64) {
        self.put(case, None, side, sample);
    }

    /// The figure of one round, for the case at `at` on the axis.
    pub(crate) fn add_at(&mut self, at: f64, case: &str, side: &str, sample: f64) {
        self.put(case, Some(at), side, sample);
    }

    fn put(&mut self, case: &str, at: Option<f64>, side: &str, sample: f64) {
        let found = self.cases.iter().position(|known| known.name == case);
        let index = found.unwrap_or_else(|| {
            self.cases.push(Case { name: case.to_owned(), at, sides: Vec::new() });
            self.cases.len() - 1
        });
        let Some(known) = self.cases.get_mut(index) else { return };
        match known.sides.iter_mut().find(|(name, _)| name == side) {
            Some((_, samples)) => samples.push(sample),
            None => known.sides.push((side.to_owned(), vec![sample])),
        }
    }

    /// The table, its sides in the order of `order`, others after them.
    pub(crate) fn finish(self, order: &[&str]) -> Table {
        let rank = |side: &str| order.iter().position(|known| *known == side).unwrap_or(order.len());
        let rows = self
            .cases
            .into_iter()
            .map(|mut case| {
                case.sides.sort_by_key(|(side, _)| rank(side));
                let reference = case.sides.iter().find(|(side, _)| Some(side) == self.reference.as_ref());
                let reference = reference.map(|(_, samples)| samples.clone());
                let cells = case.sides.iter().filter_map(|(side, samples)| {
                    let against = reference.as_ref().filter(|_| Some(side) != self.reference.as_ref());
                    Some(Cell {
                        side: side.clone(),
                        samples: samples.clone(),
                        spread: Spread::of(samples)?,
                        ratio: against.and_then(|reference| ratio(reference, samples, self.better)),
                    })
                });
                Row { at: case.at, cells: cells.collect(), case: case.name }
            })
            .collect();
        Table {
            name: self.name,
            title: self.title,
            unit: self.unit,
            better: self.better,
            reference: self.reference,
            axis: self.axis,
            rows,
        }
    }
}

/// How many times better `reference` is: in each round where both have a figure, otherwise of the medians.
fn ratio(reference: &[f64], other: &[f64], better: Better) -> Option<Spread> {
    let one = |reference: f64, other: f64| match better {
        Better::Lower => other / reference,
        Better::Higher => reference / other,
    };
    if reference.len() == other.len() {
        let ratios: Vec<f64> = reference.iter().zip(other).map(|(&a, &b)| one(a, b)).collect();
        return Spread::of(&ratios);
    }
    let of_medians = one(Spread::of(reference)?.median, Spread::of(other)?.median);
    Spread::of(&[of_medians])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_means_that_the_reference_is_better() {
        let mut times = Sheet::times("t", "t", "us", "a");
        let mut rates = Sheet::rates("r", "r", "1/s", "a");
        for sheet in [&mut times, &mut rates] {
            for (a, b) in [(2.0, 4.0), (1.0, 4.0), (2.0, 6.0)] {
                sheet.add("x", "b", b);
                sheet.add("x", "a", a);
            }
        }
        let ratio_of = |table: &Table| table.rows[0].cells[1].ratio.map(|ratio| ratio.median);
        let (times, rates) = (times.finish(&["a"]), rates.finish(&["a"]));
        assert_eq!(times.sides(), ["a", "b"]);
        assert_eq!(ratio_of(&times), Some(3.0));
        assert_eq!(ratio_of(&rates), Some(1.0 / 3.0));
        assert_eq!(times.rows[0].cells[0].ratio, None);
    }
}
