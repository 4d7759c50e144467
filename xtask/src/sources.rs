//! `loc` and `format-hash`: what concerns the source text.

use std::fs;

use anyhow::Context;
use daxcow_tests::source::{FORMAT_HASH_LABEL, Source, files, format_hash, root};

/// The folders that are counted.
const FOLDERS: [&str; 7] = ["backend", "sqlite-vfs", "rocksdb-env", "cli", "bench", "tests", "xtask"];

/// Lines of one folder.
#[derive(Default)]
struct Lines {
    files: usize,
    code: usize,
    tests: usize,
    comments: usize,
}

impl Lines {
    fn add(&mut self, source: &Source) {
        let product = source.without_tests();
        self.files += 1;
        self.code += code_lines(product);
        self.tests += code_lines(&source.text[product.len()..]);
        self.comments += source.text.lines().filter(|line| is_comment(line)).count();
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn code_lines(text: &str) -> usize {
    text.lines().filter(|line| !line.trim().is_empty() && !is_comment(line)).count()
}

/// Prints the lines of Rust and C by folder: code, unit tests within the files, comments; blank lines are not counted.
pub(crate) fn count_lines() {
    println!("{:<24} {:>6} {:>8} {:>10} {:>9}", "folder", "files", "code", "unit tests", "comments");
    let mut total = Lines::default();
    let existing = FOLDERS.iter().filter(|folder| root().join(folder).is_dir());
    for folder in existing {
        let mut lines = Lines::default();
        ["rs", "c", "h", "cc"]
            .iter()
            .flat_map(|extension| files(folder, extension))
            .for_each(|source| lines.add(&source));
        print_line(folder, &lines);
        total.files += lines.files;
        total.code += lines.code;
        total.tests += lines.tests;
        total.comments += lines.comments;
    }
    print_line("all", &total);
}

fn print_line(folder: &str, lines: &Lines) {
    println!("{folder:<24} {:>6} {:>8} {:>10} {:>9}", lines.files, lines.code, lines.tests, lines.comments);
}

/// Replaces the hash in docs/format.md by the present one.
pub(crate) fn write_format_hash() -> anyhow::Result<()> {
    let path = root().join("docs/format.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, after) = text
        .split_once(FORMAT_HASH_LABEL)
        .with_context(|| format!("{} has no line `{FORMAT_HASH_LABEL}HASH`", path.display()))?;
    let after = after.trim_start_matches(|letter: char| letter.is_ascii_hexdigit());
    let hash = format_hash();
    fs::write(&path, format!("{before}{FORMAT_HASH_LABEL}{hash}{after}"))?;
    println!("{}: {FORMAT_HASH_LABEL}{hash}", path.display());
    Ok(())
}
