//! Steps: everything that a process does to a medium is counted, so that it can die or be stopped at any of them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static STEPS: AtomicU64 = AtomicU64::new(0);
static DIE_AT: OnceLock<AtomicU64> = OnceLock::new();
static STOP_AT: AtomicU64 = AtomicU64::new(u64::MAX);

fn deadline() -> &'static AtomicU64 {
    DIE_AT.get_or_init(|| {
        let variable = std::env::var("DAXCOW_SIM_DIE_AT_STEP").ok();
        AtomicU64::new(variable.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
    })
}

/// Steps that this process has taken.
#[must_use]
pub fn steps() -> u64 {
    STEPS.load(Ordering::SeqCst)
}

/// Ends the process by SIGKILL right before its step number `step`, counted from its start; `u64::MAX` for never.
pub fn die_at_step(step: u64) {
    deadline().store(step, Ordering::SeqCst);
}

/// Stops the process by SIGSTOP right before its step number `step`; it goes on when somebody continues it.
pub fn stop_at_step(step: u64) {
    STOP_AT.store(step, Ordering::SeqCst);
}

pub(super) fn step() {
    let number = STEPS.fetch_add(1, Ordering::SeqCst) + 1;
    if number >= deadline().load(Ordering::SeqCst) {
        die();
    }
    if number == STOP_AT.load(Ordering::SeqCst) {
        signal_self(libc::SIGSTOP);
    }
}

#[expect(unsafe_code, reason = "a process's own death or stop")]
fn signal_self(signal: libc::c_int) {
    // SAFETY: a signal to this process itself.
    unsafe { libc::kill(std::process::id().cast_signed(), signal) };
}

fn die() -> ! {
    loop {
        signal_self(libc::SIGKILL);
    }
}
