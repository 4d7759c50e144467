//! What all targets have in common: one bench a process, and a panic where a driver names what went wrong.

pub use daxcow_tests::fuzz::{Bench, Target};
pub use libfuzzer_sys::fuzz_target;

/// The target that drives `Target::$which`.
#[macro_export]
macro_rules! target {
    ($which:ident) => {
        static BENCH: std::sync::LazyLock<$crate::Bench> = std::sync::LazyLock::new($crate::Bench::new);

        $crate::fuzz_target!(|input: &[u8]| {
            if let Err(what) = BENCH.run($crate::Target::$which, input) {
                panic!("{what}");
            }
        });
    };
}
