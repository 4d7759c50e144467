//! Locks and shared memory between handles, members of one process, and processes that are killed.

mod fixture;
mod locks;
mod shared_memory;
