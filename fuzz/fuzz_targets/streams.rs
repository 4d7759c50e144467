//! Fuzzes streams of snapshots, received.
#![no_main]

daxcow_fuzz::target!(Streams);
