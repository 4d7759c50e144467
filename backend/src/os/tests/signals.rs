//! Faults that are not ours go where they went before.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{again, role};
use crate::os::fault;

static SEEN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn before(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the handler was installed with SA_SIGINFO.
    let details = unsafe { &*info };
    // SAFETY: the signal came with an address.
    let address = unsafe { details.si_addr() } as usize;
    let expected = signal == libc::SIGSEGV && address == 16 && SEEN.load(Ordering::SeqCst) == 0;
    // SAFETY: ends the process from a handler.
    unsafe { libc::_exit(if expected { 42 } else { 43 }) };
}

extern "C" fn count(_: libc::c_int) {
    SEEN.fetch_add(1, Ordering::SeqCst);
}

fn install(handler: usize, flags: libc::c_int) {
    // SAFETY: all fields are integers, bit sets and an optional function, for which zero is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the handlers of this file take what their flags promise.
    assert_eq!(unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()) }, 0);
}

fn watch_something() -> fault::Watch {
    fault::watch(std::ptr::NonNull::from(&SEEN).cast(), 8, 0, None)
}

fn fault_at_16() {
    // SAFETY: none: the fault is what is tested.
    unsafe { std::ptr::without_provenance::<u8>(16).read_volatile() };
}

#[test]
fn an_earlier_handler_gets_the_faults_that_are_not_ours() {
    if role().is_some() {
        install(before as *const () as usize, libc::SA_SIGINFO);
        let _watch = watch_something();
        fault_at_16();
        return;
    }
    let name = "os::tests::signals::an_earlier_handler_gets_the_faults_that_are_not_ours";
    assert_eq!(again(name, Path::new("child")).wait().unwrap().code(), Some(42));
}

#[test]
fn a_signal_that_was_sent_reaches_an_earlier_handler_and_the_process_goes_on() {
    if role().is_some() {
        install(count as *const () as usize, 0);
        let _watch = watch_something();
        for _ in 0..3 {
            // SAFETY: sends a signal to this thread.
            unsafe { libc::raise(libc::SIGSEGV) };
        }
        assert_eq!(SEEN.load(Ordering::SeqCst), 3);
        install(libc::SIG_DFL, 0);
        return;
    }
    let name =
        "os::tests::signals::a_signal_that_was_sent_reaches_an_earlier_handler_and_the_process_goes_on";
    assert!(again(name, Path::new("child")).wait().unwrap().success());
}

#[test]
fn without_an_earlier_handler_a_fault_and_a_sent_signal_end_the_process() {
    use std::os::unix::process::ExitStatusExt;
    match role().as_deref() {
        None => {}
        Some(kind) => {
            install(libc::SIG_DFL, 0);
            let _watch = watch_something();
            if kind == "fault" {
                fault_at_16();
            }
            // SAFETY: sends a signal to this thread.
            unsafe { libc::raise(libc::SIGSEGV) };
            return;
        }
    }
    let name = "os::tests::signals::without_an_earlier_handler_a_fault_and_a_sent_signal_end_the_process";
    for kind in ["fault", "sent"] {
        let status = again(name, Path::new(kind)).wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGSEGV), "{kind}: {status}");
    }
}
