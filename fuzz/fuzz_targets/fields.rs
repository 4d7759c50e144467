//! Fuzzes a pool with changed fields and mended checksums.
#![no_main]

daxcow_fuzz::target!(Fields);
