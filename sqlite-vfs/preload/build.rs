//! Lets the library be built beside programs that link SQLite statically.
//!
//! Where one of those is built in the same call of cargo, the features that it asks of `daxcow-sqlite` are on for this library too, and the
//! linker meets a whole SQLite, with functions of the names that this library defines. Ours come first and win; nothing refers to
//! the rest of that SQLite, and the linker drops it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,--allow-multiple-definition");
}
