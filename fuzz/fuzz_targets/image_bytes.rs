//! Fuzzes a pool with patched bytes.
#![no_main]

daxcow_fuzz::target!(ImageBytes);
