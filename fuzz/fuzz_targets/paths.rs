//! Fuzzes paths of pools and in pools.
#![no_main]

daxcow_fuzz::target!(Paths);
