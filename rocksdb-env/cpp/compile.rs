//! Compiles the C++ FileSystem against the headers of the RocksDB that it will be linked with. Part of two build scripts.

use std::path::{Path, PathBuf};

/// Compiles `sources` and links them as `name`. `include` holds the directory `rocksdb` of headers.
pub(crate) fn compile(name: &str, cpp: &Path, include: &Path, sources: &[PathBuf]) {
    println!("cargo::rerun-if-changed={}", cpp.display());
    let mut build = cc::Build::new();
    build.cpp(true).std("c++20").flag_if_supported("-Wno-unused-parameter");
    build.include(cpp).include(include).files(sources);
    for define in ["NDEBUG", "OS_LINUX", "ROCKSDB_PLATFORM_POSIX", "ROCKSDB_LIB_IO_POSIX"] {
        build.define(define, None);
    }
    // Some releases use its types without including it.
    build.flag("-include").flag("cstdint");
    build.compile(name);
}
