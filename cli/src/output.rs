//! What goes to standard output and standard error, and the exit status.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::size;

/// How a command ended. The numbers are part of the documented interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// All was done.
    Success,
    /// Something was not; standard error says what.
    Failure,
    /// `snapshot diff` found differences.
    Findings,
    /// `check` repaired all damage it found. These three are fsck's.
    Repaired,
    /// `check` found damage, and it is still there.
    DamageLeft,
    /// `check` could not do its work.
    NotChecked,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        match status {
            Status::Success => ExitCode::SUCCESS,
            Status::Failure => ExitCode::from(1),
            Status::Findings => ExitCode::from(3),
            Status::Repaired => ExitCode::from(1),
            Status::DamageLeft => ExitCode::from(4),
            Status::NotChecked => ExitCode::from(8),
        }
    }
}

/// The options of commands that print something a script may want.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print sizes as plain numbers of bytes
    #[arg(long, short = 'b')]
    bytes: bool,
}

impl Format {
    /// Prints `value` as JSON, or what `text` makes.
    ///
    /// # Errors
    /// Standard output cannot be written, or `text` fails.
    pub(crate) fn print(self, value: &impl Serialize, text: impl FnOnce() -> Result<String>) -> Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? + "\n" } else { text()? };
        print(text)
    }

    /// Whether JSON is wanted.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// `bytes` as the user wants to read it.
    pub(crate) fn size(self, bytes: u64) -> String {
        if self.bytes { bytes.to_string() } else { size::format(bytes) }
    }
}

/// Writes `text` to standard output, unbuffered beyond this call.
///
/// # Errors
/// Standard output cannot be written; a closed pipe is told apart by the caller.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref())?;
    stdout.flush()?;
    Ok(())
}

/// Whether `error` says that nobody reads our output any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes `daxcow: error` to standard error.
pub(crate) fn report(error: &anyhow::Error) {
    warn(&sentence(error));
}

/// Writes `daxcow: message` to standard error. Where that is closed nobody can be told.
pub(crate) fn warn(message: &str) {
    writeln!(io::stderr(), "daxcow: {message}").ok();
}

/// The causes of an error, outermost first. A [`daxcow::Error`] tells its own cause, so the chain ends there.
fn sentence(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let part = cause.to_string();
        // The backend may have named the same path already.
        if parts.last().is_some_and(|outer| part.starts_with(&format!("{outer}: "))) {
            parts.pop();
        }
        parts.push(part);
        if cause.is::<daxcow::Error>() {
            break;
        }
    }
    parts.join(": ")
}

/// Does `act` to each of `items`; a failure is reported and the rest still done.
///
/// # Errors
/// Nobody reads our output any more.
pub(crate) fn for_each<T>(items: &[T], mut act: impl FnMut(&T) -> Result<()>) -> Result<Status> {
    let mut status = Status::Success;
    for item in items {
        match act(item) {
            Err(error) if is_broken_pipe(&error) => return Err(error),
            Err(error) => {
                report(&error);
                status = Status::Failure;
            }
            Ok(()) => {}
        }
    }
    Ok(status)
}

/// A path for people: control characters and what is not UTF-8 are shown as escapes.
pub(crate) fn shown(path: impl AsRef<Path>) -> String {
    let mut text = String::new();
    for character in path.as_ref().to_string_lossy().chars() {
        if character.is_control() { text.extend(character.escape_default()) } else { text.push(character) }
    }
    text
}

/// Rows in aligned columns, two spaces apart, under `heading`; the columns numbered in `right` are set right.
pub(crate) fn columns<const N: usize>(heading: [&str; N], right: &[usize], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(heading);
    table.add_rows(rows);
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_a_path_once_and_a_cause_once() {
        let cause = io::Error::from_raw_os_error(2);
        let error = daxcow::Error::os("open", cause).at("/p/q");
        let error = anyhow::Error::from(error).context("/p/q");
        assert_eq!(sentence(&error), "/p/q: open: No such file or directory (os error 2)");
    }

    #[test]
    fn shown_escapes_what_would_move_the_cursor() {
        assert_eq!(shown("a\nb\u{1b}[2Jc"), "a\\nb\\u{1b}[2Jc");
    }
}
