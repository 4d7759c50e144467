//! The progress bar of a long copy: on a terminal only, and only once it has taken a moment.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a copy must take before the bar is shown.
const SHOWN_AFTER: Duration = Duration::from_millis(500);

const TEMPLATE: &str = "{bar:40} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";

/// Counts the bytes of a copy.
pub(crate) struct Bar {
    bar: ProgressBar,
    start: Instant,
    is_shown: Cell<bool>,
}

impl Bar {
    /// Whether standard error is a terminal.
    pub(crate) fn can_be_seen() -> bool {
        io::stderr().is_terminal()
    }

    /// A bar where one can be seen and was not declined; its length is told later.
    pub(crate) fn unless(quiet: bool) -> Bar {
        if quiet || !Bar::can_be_seen() { Bar::hidden() } else { Bar::new(0) }
    }

    /// A bar for `total` bytes.
    pub(crate) fn new(total: u64) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Bar { bar, start: Instant::now(), is_shown: Cell::new(false) }
    }

    /// A bar that is never shown.
    pub(crate) fn hidden() -> Bar {
        Bar { bar: ProgressBar::hidden(), start: Instant::now(), is_shown: Cell::new(true) }
    }

    /// `bytes` of `total` are done.
    pub(crate) fn set(&self, bytes: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(bytes);
        self.show();
    }

    /// `bytes` more are done.
    pub(crate) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.show();
    }

    fn show(&self) {
        if self.start.elapsed() >= SHOWN_AFTER && !self.is_shown.replace(true) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Takes the bar off the screen.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
