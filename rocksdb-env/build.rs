//! Compiles the FileSystem against the headers of the RocksDB that the crate `librocksdb-sys` links.

use std::env;
use std::path::{Path, PathBuf};

#[path = "cpp/compile.rs"]
mod compile;
#[path = "cpp/headers.rs"]
mod headers;

fn main() {
    println!("cargo::rerun-if-env-changed=ROCKSDB_LIB_DIR");
    // With this set the crate links the RocksDB of the system instead of compiling its own.
    let include = if env::var_os("ROCKSDB_LIB_DIR").is_some() {
        headers::of_the_system()
    } else {
        let sources = env::var_os("DEP_ROCKSDB_CARGO_MANIFEST_DIR").map(PathBuf::from);
        let sources = sources.expect("librocksdb-sys says where its sources are");
        sources.join("rocksdb/include")
    };
    headers::check(&include);
    let cpp = Path::new("cpp");
    let mut sources = vec![
        "handles.cc",
        "readers.cc",
        "writers.cc",
        "logger.cc",
        "file_system.cc",
        "names.cc",
        "address.cc",
        "env.cc",
    ];
    if !declares(&include, "rocksdb_write_buffer_manager_destroy") {
        sources.push("before_8_2.cc");
    }
    let mut sources: Vec<PathBuf> = sources.iter().map(|name| cpp.join(name)).collect();
    if env::var_os("CARGO_FEATURE_CALLS").is_some() {
        println!("cargo::rerun-if-changed=preload/tests/contract.cc");
        for calls in ["tests/requests/calls.cc", "tests/contract/called.cc"] {
            println!("cargo::rerun-if-changed={calls}");
            sources.push(calls.into());
        }
    }
    compile::compile("daxcow_rocksdb_fs", cpp, &include, &sources);
}

/// Whether RocksDB's C API has a function of this name.
fn declares(include: &Path, function: &str) -> bool {
    let text = std::fs::read_to_string(include.join("rocksdb/c.h")).unwrap_or_default();
    text.contains(function)
}
