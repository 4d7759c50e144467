//! Compiles the FileSystem against the system's RocksDB, whose headers and shared library are all it needs.

use std::path::{Path, PathBuf};

#[path = "../cpp/compile.rs"]
mod compile;
#[path = "../cpp/headers.rs"]
mod headers;

fn main() {
    let include = headers::of_the_system();
    headers::check(&include);
    let cpp = Path::new("../cpp");
    let own = PathBuf::from("cpp/preload.cc");
    println!("cargo::rerun-if-changed={}", own.display());
    let shared =
        ["handles.cc", "readers.cc", "writers.cc", "logger.cc", "file_system.cc", "names.cc", "address.cc"];
    let sources: Vec<PathBuf> = shared.iter().map(|name| cpp.join(name)).chain([own]).collect();
    compile::compile("daxcow_rocksdb_preload", cpp, &include, &sources);
    println!("cargo::rustc-link-lib=dylib=rocksdb");
}
