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
    fn figures_have_three_digits_or_thousands() {
        assert_eq!([1.234, 12.34, 123.4, 1234.5].map(figure), ["1.23", "12.3", "123", "1234"]);
        assert_eq!([12_345.0, 1_234_567.0].map(figure), ["12 345", "1 234 567"]);
        assert_eq!(figure(0.01234), "0.01");
    }
}
