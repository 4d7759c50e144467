//! System calls that fail when a test says so: this program's own definitions of the C library's functions.
//!
//! The linker takes the program's definition of a function before the C library's, for the backend and the standard
//! library alike, so that what runs here is the code that is shipped. A call that is not to fail goes on to the C library.
//! Only calls of the thread that asked for it fail.
#![expect(unsafe_code, reason = "functions of the C library, by their own names")]

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The calls that can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    Msync,
    Fdatasync,
    Fsync,
    Mmap,
    Madvise,
    Fallocate,
    Ftruncate,
    Open,
    Fcntl,
    Fstatfs,
    Read,
    Futex,
}

thread_local! {
    static ARMED: Cell<Option<(Call, u64, c_int)>> = const { Cell::new(None) };
}

/// From here on the `nth` call of this kind by this thread, counted from 1, fails with `errno`.
pub(crate) fn arm(call: Call, nth: u64, errno: c_int) {
    ARMED.set(Some((call, nth, errno)));
}

/// No call fails any more; whether one has.
pub(crate) fn disarm() -> bool {
    ARMED.take().is_none()
}

/// Whether this call is the one to fail; errno is set then.
fn fails(call: Call) -> bool {
    match ARMED.get() {
        Some((armed, 1, errno)) if armed == call => {
            ARMED.set(None);
            // SAFETY: the function has no preconditions.
            let place = unsafe { libc::__errno_location() };
            // SAFETY: errno is this thread's own.
            unsafe { place.write(errno) };
            true
        }
        Some((armed, left, errno)) if armed == call => {
            ARMED.set(Some((armed, left - 1, errno)));
            false
        }
        _ => false,
    }
}

/// The C library's own function.
fn real(name: &'static std::ffi::CStr, known: &AtomicUsize) -> usize {
    let found = known.load(Ordering::Relaxed);
    if found != 0 {
        return found;
    }
    // SAFETY: the name is a C string; the next definition after this program's is the C library's.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) } as usize;
    assert!(found != 0, "the C library has no {name:?}");
    known.store(found, Ordering::Relaxed);
    found
}

macro_rules! intercept {
    ($($call:ident: $name:ident($($argument:ident: $type:ty),*) -> $answer:ty, $failure:expr, $when:expr;)*) => {$(
        /// # Safety
        /// As the function of this name.
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($($argument: $type),*) -> $answer {
            static REAL: AtomicUsize = AtomicUsize::new(0);
            if $when && fails(Call::$call) {
                return $failure;
            }
            let name = match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => std::process::abort(),
            };
            let function = real(name, &REAL);
            // SAFETY: the C library's function of this name takes these arguments; on this ABI a variadic one takes them in
            // the same places.
            let function = unsafe {
                std::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $answer>(function)
            };
            // SAFETY: the caller keeps the function's contract.
            unsafe { function($($argument),*) }
        }
    )*};
}

intercept! {
    Msync: msync(start: *mut c_void, len: usize, flags: c_int) -> c_int, -1, true;
    Fdatasync: fdatasync(file: c_int) -> c_int, -1, true;
    Fsync: fsync(file: c_int) -> c_int, -1, true;
    Mmap: mmap(start: *mut c_void, len: usize, protection: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void,
        libc::MAP_FAILED, true;
    Mmap: mmap64(start: *mut c_void, len: usize, protection: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void,
        libc::MAP_FAILED, true;
    Madvise: madvise(start: *mut c_void, len: usize, advice: c_int) -> c_int, -1, true;
    Fallocate: fallocate(file: c_int, mode: c_int, offset: i64, len: i64) -> c_int, -1, true;
    Ftruncate: ftruncate64(file: c_int, len: i64) -> c_int, -1, true;
    Open: open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, -1, true;
    Open: open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, -1, true;
    Fcntl: fcntl(file: c_int, command: c_int, argument: usize) -> c_int, -1, true;
    Fstatfs: fstatfs(file: c_int, answer: *mut c_void) -> c_int, -1, true;
    Read: read(file: c_int, into: *mut c_void, len: usize) -> isize, -1, true;
    Futex: syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long, -1,
        number == libc::SYS_futex;
}
