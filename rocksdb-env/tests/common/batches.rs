//! Batches that are numbered, from which what a database holds after a crash can be told: all of some first batches, whole,
//! and nothing else.

use std::path::Path;

use daxcow_tests::rng::{Rng, pattern};
use rocksdb::{DB, IteratorMode, Options, WriteBatch, WriteOptions};

/// Each batch changes both families alike.
pub(crate) const FAMILIES: [&str; 2] = ["one", "two"];
/// So many batches stay; each one drops the one so far behind it.
const KEPT: u64 = 1000;
/// In each family: the number of the last batch.
const LAST: &[u8] = b"last";

/// The keys and values of a batch, the same in both families.
fn batch(number: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rng = Rng::new(number);
    let pair = |part| {
        let len = rng.index(if number.is_multiple_of(50) { 5000 } else { 300 });
        (format!("{number:010}-{part}").into_bytes(), pattern(number * 8 + part, len))
    };
    (0..=number % 5).map(pair).collect()
}

/// Opens, or makes, a database with both families.
pub(crate) fn open(options: &Options, path: &Path) -> Result<DB, String> {
    let path = daxcow_rocksdb::path(path).map_err(|error| format!("{error:?}"))?;
    let families = FAMILIES.map(|name| (name, options.clone()));
    DB::open_cf_with_opts(options, path, families).map_err(|error| format!("opening: {error}"))
}

/// Opens a snapshot of one in place.
pub(crate) fn open_read_only(options: &Options, path: &Path) -> Result<DB, String> {
    let path = daxcow_rocksdb::path(path).map_err(|error| format!("{error:?}"))?;
    let families = FAMILIES.map(|name| (name, options.clone()));
    DB::open_cf_with_opts_for_read_only(options, path, families, false)
        .map_err(|error| format!("opening a snapshot: {error}"))
}

/// Writes batch `number`.
pub(crate) fn write(database: &DB, number: u64, sync: bool) -> Result<(), rocksdb::Error> {
    let mut writes = WriteBatch::default();
    for name in FAMILIES {
        let family = database.cf_handle(name).expect("the family is there");
        batch(number).iter().for_each(|(key, value)| writes.put_cf(family, key, value));
        if let Some(old) = number.checked_sub(KEPT) {
            writes.delete_range_cf(family, format!("{old:010}"), format!("{:010}", old + 1));
        }
        writes.put_cf(family, LAST, number.to_le_bytes());
    }
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    database.write_opt(writes, &options)
}

/// The number of the last batch.
///
/// # Errors
/// Where the database does not hold what there is after that batch, and nothing else, or the families disagree.
pub(crate) fn last(database: &DB) -> Result<u64, String> {
    let one = last_of(database, FAMILIES[0])?;
    let two = last_of(database, FAMILIES[1])?;
    if one == two { Ok(one) } else { Err(format!("the families disagree: {one} and {two}")) }
}

fn last_of(database: &DB, name: &str) -> Result<u64, String> {
    let failed = |error: rocksdb::Error| format!("{name}: {error}");
    let family = database.cf_handle(name).ok_or("a family is gone")?;
    let number = match database.get_cf(family, LAST).map_err(failed)? {
        None => 0,
        Some(bytes) => u64::from_le_bytes(bytes.try_into().map_err(|bytes| format!("{name}: {bytes:?}"))?),
    };
    let first = (number + 1).saturating_sub(KEPT).max(1);
    let mut expected: Vec<_> = (first..=number).flat_map(batch).collect();
    if number > 0 {
        expected.push((LAST.to_vec(), number.to_le_bytes().to_vec()));
    }
    let mut expected = expected.into_iter();
    for pair in database.iterator_cf(family, IteratorMode::Start) {
        let (key, value) = pair.map_err(failed)?;
        let wanted = expected.next();
        if wanted.as_ref().is_none_or(|wanted| *wanted.0 != *key || *wanted.1 != *value) {
            let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
            let wanted = wanted.map_or_else(|| "nothing".to_owned(), |(key, _)| text(&key));
            return Err(format!(
                "{name}: {} of {} bytes where {wanted} is to be, up to batch {number}",
                text(&key),
                value.len()
            ));
        }
    }
    match expected.next() {
        None => Ok(number),
        Some((key, _)) => Err(format!("{name}: no {} up to batch {number}", String::from_utf8_lossy(&key))),
    }
}
