//! The unsafe system calls the crate needs, each behind a safe and small interface.
//!
//! | module | what |
//! |---|---|
//! | `registry` | a lock-free list that signal and fork handlers may read |
//! | `fork` | noticing that this process is a forked child; actions run in the child |
//! | `per_process` | statics that begin anew in a forked child |
//! | `fault` | SIGSEGV and SIGBUS: recovery of the `pmem` routines, watches, chaining |
//! | `mmap` | a reserved stretch of address space and what is mapped into it |
//! | `pager` | faults on mappings of ours, served by threads outside the signal handler |
//! | `lock` | byte locks on an open file description of their own |
//! | `futex` | waiting for a word in shared memory |
//! | `file` | statfs, fallocate, identity of a file |
//! | `process` | boot id, names and states of processes, clock |
//!
//! Architecture invariant: nothing here knows of pools, blocks or formats.

pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod lock;
pub(crate) mod mmap;
pub(crate) mod pager;
pub(crate) mod per_process;
pub(crate) mod process;
pub(crate) mod registry;

#[cfg(test)]
mod tests;
