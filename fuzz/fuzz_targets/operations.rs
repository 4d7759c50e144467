//! Fuzzes operations on a pool and on the model.
#![no_main]

daxcow_fuzz::target!(Operations);
