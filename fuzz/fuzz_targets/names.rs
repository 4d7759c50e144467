//! Fuzzes names as SQLite and RocksDB give them to their adapters.
#![no_main]

daxcow_fuzz::target!(Names);
