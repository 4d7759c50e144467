//! From figures to places on an axis, and where its ticks are.

/// An axis from `low` to `high`, over the places `start` to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
    start: f64,
    end: f64,
}

/// Beyond this ratio of the largest to the smallest figure an axis is logarithmic.
const LINEAR_UP_TO: f64 = 20.0;

impl Scale {
    /// For figures between `least` and `most`: from a round figure below them, or from zero where they are near each other.
    pub(super) fn of_figures(least: f64, most: f64, start: f64, end: f64) -> Scale {
        if least > 0.0 && most / least > LINEAR_UP_TO {
            // A little below, so that the least is seen.
            let room = least / 1.25;
            let steps = || fine_steps(room);
            let low = steps().rfind(|step| *step <= room).unwrap_or(least);
            let high = steps().find(|step| *step >= most).unwrap_or(most);
            Scale { low, high, logarithmic: true, start, end }
        } else {
            let most = if most > 0.0 { most } else { 1.0 };
            let step = step_of(most);
            Scale { low: 0.0, high: (most / step).ceil() * step, logarithmic: false, start, end }
        }
    }

    /// For the numbers of the cases, which are powers of something, or nearly so.
    pub(super) fn of_cases(first: f64, last: f64, start: f64, end: f64) -> Scale {
        let logarithmic = first > 0.0 && last / first > LINEAR_UP_TO / 2.0;
        Scale { low: first, high: last, logarithmic, start, end }
    }

    pub(super) fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Where a figure lies.
    pub(super) fn place(&self, figure: f64) -> f64 {
        let part = if self.logarithmic {
            (figure.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (figure - self.low) / (self.high - self.low)
        };
        self.start + part * (self.end - self.start)
    }

    /// Figures to be written at the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.high / self.low).log10();
            let seen = self.low * 0.9999..=self.high * 1.0001;
            let steps = fine_steps(self.low).filter(|step| seen.contains(step));
            // Where there are many decades, their beginnings are enough.
            return steps.filter(|step| decades <= 3.5 || is_power_of_ten(*step)).collect();
        }
        let step = step_of(self.high);
        let mut ticks = vec![self.low];
        while let Some(next) = ticks.last().map(|tick| tick + step).filter(|tick| *tick <= self.high * 1.0001)
        {
            ticks.push(next);
        }
        ticks
    }
}

/// 1, 2 and 5 times the powers of ten from that of `low` on, over 15 decades.
fn fine_steps(low: f64) -> impl DoubleEndedIterator<Item = f64> {
    let first = 10_f64.powf(low.log10().floor());
    (0..15).flat_map(move |decade| [1.0, 2.0, 5.0].map(|digit| first * digit * 10_f64.powi(decade)))
}

fn is_power_of_ten(figure: f64) -> bool {
    (figure.log10() - figure.log10().round()).abs() < 1e-6
}

/// A round step that divides 0 to `most` into some five parts.
fn step_of(most: f64) -> f64 {
    let decade = 10_f64.powf((most / 5.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|digit| digit * decade)
        .into_iter()
        .find(|step| most / step <= 6.0)
        .unwrap_or(most)
}

/// A figure at an axis: as short as it can be.
pub(super) fn label(figure: f64) -> String {
    match figure.abs() {
        size if size >= 1e6 => format!("{}M", trimmed(figure / 1e6)),
        size if size >= 1e4 => format!("{}k", trimmed(figure / 1e3)),
        _ => trimmed(figure),
    }
}

fn trimmed(figure: f64) -> String {
    let text = format!("{figure:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_holds_its_figures_and_is_logarithmic_where_they_are_far_apart() {
        let near = Scale::of_figures(3.0, 17.0, 0.0, 100.0);
        assert!(!near.is_logarithmic());
        assert_eq!(near.ticks(), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert!((near.place(10.0) - 50.0).abs() < 1e-9);
        let far = Scale::of_figures(0.3, 150.0, 0.0, 100.0);
        assert!(far.is_logarithmic());
        assert!(far.place(0.3) > 0.0 && far.place(150.0) < 100.0);
        assert!((far.place(0.2)).abs() < 1e-9);
        assert_eq!(far.ticks().len(), 10);
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([0.001, 0.5, 20.0, 50_000.0, 2e6].map(label), ["0.001", "0.5", "20", "50k", "2M"]);
    }
}
