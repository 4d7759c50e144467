//! SIGSEGV and SIGBUS: a fault on watched memory becomes an answer instead of the end of the process.
//!
//! Bad memory, a truncated file and a full file system raise SIGBUS on an access; the reservation around a mapping, and
//! everything in a forked child, raises SIGSEGV. Three parties are asked in turn:
//!
//! 1. Routines written with [`recovery_entry!`]: the instruction pointer moves to their end, where they say that they
//!    faulted. They are asked only if the address lies in watched memory: a caller's bad buffer stays a crash.
//! 2. The handlers of the watches that hold the address.
//! 3. The handler that was there before ours, called as the kernel would have called it.
//!
//! Architecture invariant: everything reachable from `on_signal` is async-signal-safe: no locks, no heap.
#![expect(unsafe_code, reason = "signal handlers for SIGSEGV and SIGBUS")]

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;
use std::sync::{Once, OnceLock};

use super::registry::{Registry, Row};

/// A fault as the kernel told it.
pub(crate) struct Fault {
    /// The address that could not be accessed.
    pub(crate) address: usize,
    /// `SIGSEGV` or `SIGBUS`.
    pub(crate) signal: libc::c_int,
    /// Whether it was a store. False where the architecture does not say.
    pub(crate) write: bool,
}

/// Asked about a fault on its memory; true if the access may be tried again. Must be async-signal-safe.
pub(crate) type Handler = fn(&Fault) -> bool;

/// Memory whose faults are ours, until this is dropped.
pub(crate) struct Watch {
    row: Row<7>,
}

impl Watch {
    /// The addresses from the first to the last unit that [`mark`] marked of it.
    pub(crate) fn marked(&self) -> Option<(usize, usize)> {
        let word = |column: usize| self.row.words()[column].load(Ordering::Acquire);
        let to = word(MARKED_TO);
        (to != 0).then(|| (usize::MAX - word(MARKED_FROM), to))
    }

    /// The largest unit that was marked of its slack; 0 at first.
    pub(crate) fn slack_mark(&self) -> usize {
        self.row.words()[SLACK_MARK].load(Ordering::Acquire)
    }
}

/// The columns of a watch.
const START: usize = 0;
const LEN: usize = 1;
/// Bytes beyond the length where the handler is asked too.
const SLACK: usize = 2;
/// 0 for none.
const HANDLER: usize = 3;
/// What is missing of the first marked address to the highest of all, so that 0 stands for none.
const MARKED_FROM: usize = 4;
const MARKED_TO: usize = 5;
const SLACK_MARK: usize = 6;

static WATCHES: Registry<7> = Registry::new();
static INSTALL: Once = Once::new();
static BEFORE_SEGV: OnceLock<libc::sigaction> = OnceLock::new();
static BEFORE_BUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Watches `len` bytes from `start`: recoverable routines may fault there, and `handler` is asked about other faults, there
/// and in the `slack` bytes after.
pub(crate) fn watch(start: NonNull<u8>, len: usize, slack: usize, handler: Option<Handler>) -> Watch {
    INSTALL.call_once(|| {
        for (signal, before) in [(libc::SIGSEGV, &BEFORE_SEGV), (libc::SIGBUS, &BEFORE_BUS)] {
            if let Err(error) = install(signal, before) {
                tracing::error!(signal, %error, "sigaction failed: lost memory will end the process");
            }
        }
    });
    let handler = handler.map_or(0, |handler| handler as usize);
    Watch { row: WATCHES.insert([start.as_ptr() as usize, len, slack, handler, 0, 0, 0]) }
}

/// Marks all watches with a handler that share a byte with the `unit` bytes at `start`, or whose slack does. Async-signal-safe.
pub(crate) fn mark(start: usize, unit: usize) {
    let shares = |from: usize, len: usize| from < start + unit && start < from + len;
    WATCHES.any(|row, words| {
        if row[HANDLER] != 0 && shares(row[START], row[LEN]) {
            // Whoever finds the end finds the start.
            words[MARKED_FROM].fetch_max(usize::MAX - start, Ordering::SeqCst);
            words[MARKED_TO].fetch_max(start + unit, Ordering::SeqCst);
        } else if row[HANDLER] != 0 && shares(row[START] + row[LEN], row[SLACK]) {
            words[SLACK_MARK].fetch_max(unit, Ordering::SeqCst);
        }
        false
    });
}

/// Whether `[start, start + len)` shares a byte with what is marked of a watch, or a unit with slack that is marked.
pub(crate) fn is_marked(start: usize, len: usize) -> bool {
    let in_slack = |from: usize, to: usize, unit: usize| {
        unit != 0 && from / unit * unit < start + len && start < to.next_multiple_of(unit)
    };
    WATCHES.any(|row, words| {
        // The end first, and the start as it is now: it is marked first.
        let to = row[MARKED_TO];
        let from = usize::MAX - words[MARKED_FROM].load(Ordering::Acquire);
        let end = row[START] + row[LEN];
        to != 0 && from < start + len && start < to || in_slack(end, end + row[SLACK], row[SLACK_MARK])
    })
}

/// Keeps signals that are meant for the program away from the calling thread, which is one of ours.
pub(crate) fn block_signals() {
    let mut set = empty_action().sa_mask;
    // SAFETY: `set` is a signal set for the call to fill.
    unsafe { libc::sigfillset(&raw mut set) };
    for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT] {
        // SAFETY: `set` is an initialised signal set.
        unsafe { libc::sigdelset(&raw mut set, fault) };
    }
    // SAFETY: as above; only this thread's mask changes.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
}

fn install(signal: libc::c_int, before: &OnceLock<libc::sigaction>) -> io::Result<()> {
    // Ours can run as soon as it is set, so the earlier one is noted first.
    let mut old = empty_action();
    // SAFETY: `old` is a valid struct for the call to fill; nothing is changed.
    if unsafe { libc::sigaction(signal, ptr::null(), &raw mut old) } != 0 {
        return Err(io::Error::last_os_error());
    }
    before.get_or_init(|| old);
    let mut ours = empty_action();
    ours.sa_sigaction = on_signal as *const () as usize;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `on_signal` has the three arguments that SA_SIGINFO promises and is async-signal-safe.
    match unsafe { libc::sigaction(signal, &raw const ours, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn empty_action() -> libc::sigaction {
    // SAFETY: all fields are integers, bit sets and an optional function, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: errno is a thread's own; what was interrupted must find it unchanged.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the pointer is valid for this thread.
    let saved = unsafe { errno.read() };
    if !resolve(signal, info, context) {
        chain(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { errno.write(saved) };
}

/// Whether the interrupted code may go on.
fn resolve(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) -> bool {
    if is_sent(info) {
        return false;
    }
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
    let details = unsafe { &*info };
    // SAFETY: the kernel raised the signal for a fault, so it carries an address.
    let address = unsafe { details.si_addr() } as usize;
    let holds = |row: &[usize; 7]| address.wrapping_sub(row[START]) < row[LEN] + row[SLACK];
    if !WATCHES.any(|row, _| holds(&row)) {
        return false;
    }
    if recovery::divert(context) {
        return true;
    }
    let fault = Fault { address, signal, write: recovery::is_store(context) };
    WATCHES.any(|row, _| {
        if !holds(&row) || row[HANDLER] == 0 {
            return false;
        }
        // SAFETY: rows are only inserted by `watch`, whose column of that name is 0 or a `Handler`.
        let handler = unsafe { std::mem::transmute::<usize, Handler>(row[HANDLER]) };
        handler(&fault)
    })
}

/// Whether a process sent the signal, rather than the kernel for a fault.
fn is_sent(info: *mut libc::siginfo_t) -> bool {
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
    unsafe { (*info).si_code <= 0 }
}

/// Does what would have happened without us.
fn chain(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = if signal == libc::SIGBUS { &BEFORE_BUS } else { &BEFORE_SEGV };
    let Some(before) = before.get() else { return restore_default(signal, info) };
    match before.sa_sigaction {
        libc::SIG_DFL => restore_default(signal, info),
        // The kernel lets nobody ignore a fault; a signal that was sent may be ignored.
        libc::SIG_IGN if is_sent(info) => {}
        libc::SIG_IGN => restore_default(signal, info),
        handler => call(before, handler, signal, info, context),
    }
}

/// Lets the default action happen: the access faults again on return; a signal that was sent is sent again.
fn restore_default(signal: libc::c_int, info: *mut libc::siginfo_t) {
    let default = empty_action();
    // SAFETY: an all-zero action is SIG_DFL with an empty mask.
    unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
    if is_sent(info) {
        // SAFETY: raising a signal in this thread is always allowed; it is delivered when the handler returns.
        unsafe { libc::raise(signal) };
    }
}

fn call(
    before: &libc::sigaction,
    handler: usize,
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    if before.sa_flags & libc::SA_RESETHAND != 0 {
        let default = empty_action();
        // SAFETY: as in `restore_default`.
        unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
    }
    let mut mask = before.sa_mask;
    if before.sa_flags & libc::SA_NODEFER != 0 {
        unblock(signal);
    } else {
        // SAFETY: `mask` is an initialised signal set.
        unsafe { libc::sigaddset(&raw mut mask, signal) };
    }
    // SAFETY: `mask` is an initialised signal set; the mask of the interrupted code returns with the signal frame.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, ptr::null_mut()) };
    if before.sa_flags & libc::SA_SIGINFO != 0 {
        type Full = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
        // SAFETY: the earlier action says by SA_SIGINFO that its handler takes these arguments.
        let handler = unsafe { std::mem::transmute::<usize, Full>(handler) };
        handler(signal, info, context);
    } else {
        // SAFETY: without SA_SIGINFO a handler takes the signal's number.
        let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler) };
        handler(signal);
    }
}

fn unblock(signal: libc::c_int) {
    let mut set = empty_action().sa_mask;
    // SAFETY: `set` is an empty signal set.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    // SAFETY: `set` is an initialised signal set.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut()) };
}

/// The last line of a recoverable `asm!` block. Between its labels `2:` and `3:` every instruction may fault; a fault
/// jumps to `3:`. The block sets a register to 1 before `2:` and to 0 right before `3:`, and so says what happened.
#[cfg(target_arch = "x86_64")]
macro_rules! recovery_entry {
    () => {
        ".pushsection daxcow_recovery, \"aR\", @progbits\n.balign 4\n.long 2b - .\n.long 3b - .\n.popsection"
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use recovery_entry;

#[cfg(target_arch = "x86_64")]
mod recovery {
    //! The table that `recovery_entry!` writes, and the registers of the interrupted code.

    /// Where a recoverable stretch of code begins and ends, each relative to its own place.
    #[repr(C)]
    struct Entry {
        start: i32,
        end: i32,
    }

    unsafe extern "C" {
        // The linker defines both for a section whose name is an identifier.
        static __start_daxcow_recovery: [Entry; 0];
        static __stop_daxcow_recovery: [Entry; 0];
    }

    /// Moves the interrupted code to its recovery address if it has one.
    pub(super) fn divert(context: *mut libc::c_void) -> bool {
        let pointer = register(context, libc::REG_RIP);
        // SAFETY: the kernel passes a valid, aligned register.
        let at = unsafe { pointer.read() }.cast_unsigned();
        let Some(target) = usize::try_from(at).ok().and_then(target) else { return false };
        let Ok(target) = i64::try_from(target) else { return false };
        // SAFETY: the register is restored from here when the handler returns; `target` is a label of the same routine.
        unsafe { pointer.write(target) };
        true
    }

    /// Bit 1 of the page fault's error code.
    pub(super) fn is_store(context: *mut libc::c_void) -> bool {
        // SAFETY: the kernel passes a valid, aligned register.
        (unsafe { register(context, libc::REG_ERR).read() }) & 2 != 0
    }

    fn register(context: *mut libc::c_void, index: libc::c_int) -> *mut i64 {
        let context = context.cast::<libc::ucontext_t>();
        let index = usize::try_from(index).unwrap_or(0);
        // SAFETY: an SA_SIGINFO handler gets a valid ucontext_t.
        let registers = unsafe { &raw mut (*context).uc_mcontext.gregs };
        registers.cast::<i64>().wrapping_add(index)
    }

    fn target(at: usize) -> Option<usize> {
        let mut entry = (&raw const __start_daxcow_recovery).cast::<Entry>();
        let stop = (&raw const __stop_daxcow_recovery).cast::<Entry>();
        while entry < stop {
            // SAFETY: `entry` is one of the table's entries: between its two ends, at whole steps.
            let place = unsafe { &raw const (*entry).start };
            // SAFETY: as above.
            let start = absolute(place, unsafe { place.read() });
            // SAFETY: as above.
            let place = unsafe { &raw const (*entry).end };
            // SAFETY: as above.
            let end = absolute(place, unsafe { place.read() });
            if (start..end).contains(&at) {
                return Some(end);
            }
            // SAFETY: at most one past the last entry.
            entry = unsafe { entry.add(1) };
        }
        None
    }

    fn absolute(place: *const i32, relative: i32) -> usize {
        let relative = isize::try_from(relative).unwrap_or(0);
        (place as usize).wrapping_add_signed(relative)
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod recovery {
    //! Without routines in assembler there is nothing to recover.

    pub(super) fn divert(_: *mut libc::c_void) -> bool {
        false
    }

    pub(super) fn is_store(_: *mut libc::c_void) -> bool {
        false
    }
}
