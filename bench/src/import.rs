//! Reports of what scripts have measured: lines of case, side and figure, one for each round.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::args::Import;
use crate::machine::Machine;
use crate::report::{Report, Sheet, Table};
use crate::run;

pub(crate) fn run(import: &Import) -> Result<()> {
    let text = fs::read_to_string(&import.measured)
        .with_context(|| format!("read {}", import.measured.display()))?;
    let table = table(import, &text)?;
    let rounds = table.rows.iter().flat_map(|row| &row.cells).map(|cell| cell.samples.len()).max();
    let mut machine = Machine::new(&import.medium, &import.flush)?;
    machine.versions.remove("sqlite (in this process)");
    for library in &import.library {
        let (name, version) = library.split_once(' ').context("--library wants a name and a version")?;
        machine.versions.insert(name.to_owned(), version.to_owned());
    }
    let report = Report {
        name: import.name.clone(),
        title: import.title.clone(),
        command: import.command.clone(),
        started: run::seconds_since_1970()?,
        seconds: None,
        clock: "as the notes say".to_owned(),
        rounds: rounds.map(u32::try_from).transpose()?.unwrap_or_default(),
        machine,
        notes: import.note.clone(),
        tables: vec![table],
    };
    println!("{}", report.to_text());
    fs::create_dir_all(&import.out).with_context(|| format!("make {}", import.out.display()))?;
    let written = report.write(&import.out)?;
    println!("{} files in {}", written.len(), import.out.display());
    Ok(())
}

fn table(import: &Import, text: &str) -> Result<Table> {
    let mut sheet = Sheet::new("all", &import.title, &import.unit, import.better, &import.reference);
    if let Some(axis) = &import.axis {
        sheet = sheet.along(axis);
    }
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split('\t').collect();
        let [case, side, figure] = words[..] else {
            bail!(
                "line {} has {} words where case, side and figure should be: {line}",
                index + 1,
                words.len()
            );
        };
        let figure: f64 =
            figure.parse().with_context(|| format!("line {}: {figure} is no number", index + 1))?;
        if import.axis.is_some() {
            let size: u64 =
                case.parse().with_context(|| format!("line {}: {case} is no size in bytes", index + 1))?;
            sheet.add_at(size as f64, &run::bytes(size), side, figure);
        } else {
            sheet.add(case, side, figure);
        }
    }
    let order: Vec<&str> =
        std::iter::once(&import.reference).chain(&import.side).map(String::as_str).collect();
    Ok(sheet.finish(&order))
}
