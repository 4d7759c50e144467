//! Events on standard error, for programs and libraries that set up no listener of their own.
//!
//! The crate describes what it does in `tracing` events; iomap's begin and end have the target `daxcow::iomap` and the level
//! TRACE. Who listens to `tracing` already gets them anyway.

use std::str::FromStr;

use tracing_subscriber::filter::LevelFilter;

/// The variable that asks for events: a level (`error`, `warn`, `info`, `debug`, `trace`), or `1` for all of them.
pub const VARIABLE: &str = "DAXCOW_TRACE";

/// Shows events on standard error if the environment asks for them and nobody in this process listens yet. May be called
/// any number of times.
pub fn listen_from_env() {
    let Some(wanted) = std::env::var_os(VARIABLE) else { return };
    let level = match wanted.to_str() {
        Some("" | "0") => return,
        Some("1") => LevelFilter::TRACE,
        text => text.and_then(|text| LevelFilter::from_str(text).ok()).unwrap_or(LevelFilter::TRACE),
    };
    let listener = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .finish();
    // Whoever was first hears them.
    drop(tracing::subscriber::set_global_default(listener));
}
