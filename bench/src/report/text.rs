//! A report as Markdown: its conditions, then a table for each group of cases.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement};

use crate::report::{Better, Report, Spread, Table};

impl Report {
    /// The report as people read it.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        let mut line = |what: &str, value: &str| text += &format!("- {what}: {value}\n");
        line("command", &self.command);
        line("begun", &date(self.started));
        for (what, value) in self.machine.lines() {
            line(what, &value);
        }
        let time = self.seconds.map_or_else(String::new, |seconds| format!(", {seconds:.0} s in all"));
        line("rounds", &format!("{}{time}", self.rounds));
        line("clock", &self.clock);
        for note in &self.notes {
            line("note", note);
        }
        for table in &self.tables {
            text += &format!("\n## {}\n\n{}\n", table.title, table.to_text());
        }
        text
    }
}

impl Table {
    /// One line for each side of each case.
    pub(crate) fn to_text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
        let verb = match self.better {
            Better::Lower => "is faster",
            Better::Higher => "does more",
        };
        let mut header = vec![
            self.axis.clone().unwrap_or_else(|| "case".to_owned()),
            "side".to_owned(),
            format!("{}, median", self.unit),
            "min to max".to_owned(),
        ];
        if let Some(reference) = &self.reference {
            header.extend([format!("{reference} {verb}, times"), "min to max".to_owned()]);
        }
        table.set_header(header);
        for row in &self.rows {
            for (index, cell) in row.cells.iter().enumerate() {
                let case = if index == 0 { row.case.clone() } else { String::new() };
                let (median, ends) = middle_and_ends(cell.spread);
                let mut line = vec![case, cell.side.clone(), median, ends];
                if self.reference.is_some() {
                    let (median, ends) = cell.ratio.map_or_else(Default::default, middle_and_ends);
                    line.extend([median, ends]);
                }
                table.add_row(line);
            }
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }
}

fn middle_and_ends(spread: Spread) -> (String, String) {
    (figure(spread.median), format!("{} to {}", figure(spread.min), figure(spread.max)))
}

/// Seconds since 1970 as day and minute.
fn date(seconds: u64) -> String {
    let (days, minutes) = (seconds / 86_400, seconds / 60 % 1_440);
    // Years begin in March, so that the day that may be missing is their last; 400 of them have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = 400 * era + year + next;
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// Three digits that count, large numbers with their thousands apart.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if size < 10.0 {
        format!("{value:.2}")
    } else if size < 100.0 {
        format!("{value:.1}")
    } else if size < 10_000.0 {
        format!("{value:.0}")
    } else {
        let digits = format!("{value:.0}");
        let mut apart = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                apart.push(' ');
            }
            apart.push(digit);
        }
        apart
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let seconds = [0, 951_782_399, 951_782_400, 1_709_251_199, 1_795_441_380, 4_107_542_399];
        let expected = [
            "1970-01-01 00:00 UTC",
            "2000-02-28 23:59 UTC",
            "2000-02-29 00:00 UTC",
            "2024-02-29 23:59 UTC",
            "2026-11-23 13:43 UTC",
            "2100-02-28 23:59 UTC",
        ];
        assert_eq!(seconds.map(date), expected);
    }

    #[test]
    fn figures_have_three_digits_or_thousands() {
        assert_eq!([1.234, 12.34, 123.4, 1234.5].map(figure), ["1.23", "12.3", "123", "1234"]);
        assert_eq!([12_345.0, 1_234_567.0].map(figure), ["12 345", "1 234 567"]);
        assert_eq!(figure(0.01234), "0.01");
    }
}
