//! Without a fuzzer: the corpus that is kept in the tree, and random inputs that follow from a seed.

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::{Bench, Target};
use crate::rng::Rng;
use crate::source::root;

/// No input takes longer than this; a process that meets one that does ends, naming it.
const INPUT_MAX: Duration = Duration::from_secs(60);
const INPUT_BYTES_MAX: u64 = 400;

/// The corpus of a target, file by file.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn corpus(target: Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("fuzz/corpus").join(target.name());
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a file of the corpus"))).collect()
}

/// The input of a seed: random bytes, of which many are small.
#[must_use]
pub fn random_input(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let length = 8 + rng.below(INPUT_BYTES_MAX);
    let limit = if rng.one_in(2) { 256 } else { 24 };
    (0..length).map(|_| u8::try_from(rng.below(limit)).expect("a byte")).collect()
}

/// An input that went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What it drove.
    pub target: Target,
    /// Its seed, or its file.
    pub input: String,
    /// What went wrong.
    pub what: String,
}

/// Tries inputs one after the other, and ends the process when one hangs.
#[derive(Debug)]
pub struct Runner {
    bench: Bench,
    watchdog: Sender<Option<String>>,
    /// What went wrong so far.
    pub failures: Vec<Failure>,
    /// Inputs so far.
    pub inputs: u64,
}

impl Runner {
    /// A runner with a bench of its own.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it starts a thread")]
    pub fn new() -> Runner {
        let (watchdog, inputs) = channel::<Option<String>>();
        std::thread::spawn(move || {
            while let Ok(mut now) = inputs.recv() {
                while let Some(input) = now {
                    now = match inputs.recv_timeout(INPUT_MAX) {
                        Ok(next) => next,
                        Err(RecvTimeoutError::Disconnected) => return,
                        Err(RecvTimeoutError::Timeout) => {
                            eprintln!("{input} has been running for {INPUT_MAX:?}");
                            std::process::abort();
                        }
                    };
                }
            }
        });
        Runner { bench: Bench::new(), watchdog, failures: Vec::new(), inputs: 0 }
    }

    /// Tries one input.
    ///
    /// # Panics
    /// If the thread that watches is gone.
    pub fn try_input(&mut self, target: Target, name: &str, input: &[u8]) {
        let label = format!("{} {name}", target.name());
        self.watchdog.send(Some(label)).expect("the thread watches as long as this lives");
        let bench = std::panic::AssertUnwindSafe(&self.bench);
        let tried = std::panic::catch_unwind(|| bench.run(target, input));
        self.watchdog.send(None).expect("the thread watches as long as this lives");
        self.inputs += 1;
        let what = match tried {
            Ok(Ok(())) => return,
            Ok(Err(what)) => what,
            Err(_) => "a panic, which was printed above".into(),
        };
        self.failures.push(Failure { target, input: name.to_owned(), what });
    }

    /// Tries the corpus of a target.
    pub fn try_corpus(&mut self, target: Target) {
        for (path, input) in corpus(target) {
            self.try_input(target, &path.display().to_string(), &input);
        }
    }

    /// Tries random inputs of a target until `end`, beginning at `seed`; gives the next seed.
    pub fn try_random(&mut self, target: Target, mut seed: u64, end: Instant) -> u64 {
        while Instant::now() < end {
            self.try_input(target, &format!("seed {seed:#x}"), &random_input(seed));
            seed += 1;
        }
        seed
    }
}
