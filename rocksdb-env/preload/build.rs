//! Compiles the FileSystem against the system's RocksDB, whose headers are all it needs.

use std::env;
use std::path::{Path, PathBuf};

#[path = "../cpp/compile.rs"]
mod compile;

const MISSING: &str = "the headers of RocksDB are not there: install librocksdb-dev (Debian, Ubuntu) or rocksdb-devel \
(Fedora), or set ROCKSDB_INCLUDE_DIR and ROCKSDB_LIB_DIR to where RocksDB's headers and its shared library are";

fn main() {
    for name in ["ROCKSDB_INCLUDE_DIR", "ROCKSDB_LIB_DIR"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let include = match env::var_os("ROCKSDB_INCLUDE_DIR").map(PathBuf::from) {
        Some(include) => {
            if let Some(libraries) = env::var_os("ROCKSDB_LIB_DIR").map(PathBuf::from) {
                println!("cargo::rustc-link-search=native={}", libraries.display());
            }
            include
        }
        None => installed(),
    };
    assert!(include.join("rocksdb/file_system.h").exists(), "{MISSING}");
    let cpp = Path::new("../cpp");
    let own = Path::new("cpp/preload.cc");
    let shared =
        ["handles.cc", "readers.cc", "writers.cc", "file_system.cc", "address.cc"].map(|name| cpp.join(name));
    let sources: Vec<&Path> = shared.iter().map(PathBuf::as_path).chain([own]).collect();
    compile::compile("daxcow_rocksdb_preload", cpp, &include, &sources);
    println!("cargo::rerun-if-changed={}", own.display());
    println!("cargo::rustc-link-lib=dylib=rocksdb");
}

/// Where the system's package has the headers.
fn installed() -> PathBuf {
    let found = pkg_config::Config::new().atleast_version("7.8").cargo_metadata(false).probe("rocksdb");
    if let Ok(library) = found {
        for path in &library.link_paths {
            println!("cargo::rustc-link-search=native={}", path.display());
        }
        let with_headers = |include: &&PathBuf| include.join("rocksdb/file_system.h").exists();
        if let Some(include) = library.include_paths.iter().find(with_headers) {
            return include.clone();
        }
    }
    PathBuf::from("/usr/include")
}
