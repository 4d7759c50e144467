//! What a directory of the host and one in a pool answered to the same questions, `question: answer` a line.

/// What was asked, the answer of the posix FileSystem, ours.
type Difference = (&'static str, &'static str, &'static str);

/// Where the posix FileSystem falls short.
const BETTER: [Difference; 11] = [
    // It takes a read of nothing at a place within the file for an error.
    ("copied, Read of nothing within", "5.9 io path", "ok"),
    // It asks the file system for a generation, and tmpfs has none.
    ("copied, the unique id stays", "no", "yes"),
    ("in place, the unique id stays", "no", "yes"),
    // Nothing has to be fetched: saying so spares RocksDB a buffer.
    ("in place, Prefetch", "3.0 not-supported", "ok"),
    ("Truncate by name", "3.0 not-supported", "ok"),
    ("truncated by name", "7 bytes content", "3 bytes con"),
    ("Truncate up", "3.0 not-supported", "ok"),
    ("zeros", "7 bytes content", "6 bytes con000"),
    ("Truncate missing", "3.0 not-supported", "5.9 io path"),
    ("NewDirectory of a file", "ok", "5.0 io"),
    ("GetUniqueId of a directory", "none", "some"),
];

/// Where that of 7.8 does, and that of 11.8 does not any more.
const BETTER_THAN_OLD: [Difference; 2] = [
    ("GetWriteLifeTimeHint", "0", "2"),
    // The size of the valid data, as the contract says.
    ("GetFileSize of a reopened file", "0", "5"),
];

/// That both answered the same, but for what the pool does better.
pub(crate) fn assert_same(pool: &str, host: &str) {
    let mut better = BETTER.to_vec();
    let mut worse = Vec::new();
    assert_eq!(host.lines().count(), pool.lines().count());
    for (ours, theirs) in pool.lines().zip(host.lines()) {
        let (what, answer) = ours.split_once(": ").expect("a line is a question and an answer");
        let (_, posix) = theirs.split_once(": ").expect("a line is a question and an answer");
        let difference = (what, posix, answer);
        if answer == posix || BETTER_THAN_OLD.contains(&difference) {
            continue;
        }
        match better.iter().position(|&known| known == difference) {
            Some(known) => drop(better.remove(known)),
            None => worse.push(difference),
        }
    }
    assert!(worse.is_empty(), "asked, the host's answer, the pool's: {worse:#?}");
    assert!(better.is_empty(), "no longer different: {better:?}");
}
