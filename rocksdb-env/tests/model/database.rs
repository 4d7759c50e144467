//! A database and what can be done to it: the same code for the one in the pool and the one on the host.

use std::path::Path;
use std::sync::Arc;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BoundColumnFamily, DBRawIteratorWithThreadMode, DBWithThreadMode, Env, IngestExternalFileOptions,
    MergeOperands, MultiThreaded, Options, SstFileWriter, WriteBatch, WriteOptions,
};

use crate::step::Change;

type Db = DBWithThreadMode<MultiThreaded>;
pub(crate) type Pairs = Vec<(Box<[u8]>, Box<[u8]>)>;
/// All that a database holds, by family.
pub(crate) type Content = Vec<(String, Pairs)>;

/// An open database.
pub(crate) struct Database {
    db: Db,
    options: Options,
    pub(crate) families: Vec<String>,
}

fn append(_key: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let mut value = existing.unwrap_or_default().to_vec();
    for operand in operands {
        value.extend_from_slice(operand);
    }
    Some(value)
}

/// What both databases are opened with.
pub(crate) fn options(env: &Env) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_env(env);
    options.set_merge_operator_associative("append", append);
    // Small, so that there are many files soon.
    options.set_write_buffer_size(64 << 10);
    options.set_target_file_size_base(64 << 10);
    options.set_max_bytes_for_level_base(256 << 10);
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_keep_log_file_num(2);
    options
}

fn default_only() -> Vec<String> {
    vec!["default".to_owned()]
}

impl Database {
    /// Opens what is at `path` with the families it has, or makes it.
    pub(crate) fn open(options: &Options, path: impl AsRef<Path>, lies_at: &Path) -> Database {
        let families = Db::list_cf(options, lies_at).unwrap_or_else(|_| default_only());
        let with_options = families.iter().map(|name| (name, options.clone()));
        let db = Db::open_cf_with_opts(options, path, with_options).expect("the database opens");
        Database { db, options: options.clone(), families: sorted(families) }
    }

    /// Opens what is at `path` and must not be written.
    pub(crate) fn open_read_only(options: &Options, path: impl AsRef<Path>, lies_at: &Path) -> Database {
        let families = Db::list_cf(options, lies_at).expect("the families are listed");
        let with_options = families.iter().map(|name| (name, options.clone()));
        let db = Db::open_cf_with_opts_for_read_only(options, path, with_options, false);
        Database { db: db.expect("the database opens"), options: options.clone(), families: sorted(families) }
    }

    fn family(&self, number: usize) -> Arc<BoundColumnFamily<'_>> {
        self.db.cf_handle(&self.families[number]).expect("the family is there")
    }

    pub(crate) fn write(&self, changes: &[Change], sync: bool) {
        let mut batch = WriteBatch::default();
        for change in changes {
            match change {
                Change::Put(family, key, value) => batch.put_cf(&self.family(*family), key, value),
                Change::Merge(family, key, value) => batch.merge_cf(&self.family(*family), key, value),
                Change::Delete(family, key) => batch.delete_cf(&self.family(*family), key),
                Change::DeleteRange(family, from, to) => {
                    batch.delete_range_cf(&self.family(*family), from, to);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch, &options).expect("write");
    }

    pub(crate) fn read(&self, family: usize, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        let family = self.family(family);
        let mut found: Vec<_> = keys.iter().map(|key| self.db.get_cf(&family, key).expect("get")).collect();
        let many = self.db.batched_multi_get_cf(&family, keys, false);
        found.extend(many.into_iter().map(|one| one.expect("multi get").map(|value| value.to_vec())));
        found
    }

    pub(crate) fn walk(
        &self,
        family: usize,
        from: &[u8],
        forward: bool,
        pairs: usize,
        turned: usize,
    ) -> Pairs {
        let mut iterator = self.db.raw_iterator_cf(&self.family(family));
        if forward {
            iterator.seek(from)
        } else {
            iterator.seek_for_prev(from)
        };
        let mut found = step_through(&mut iterator, forward, pairs);
        found.extend(step_through(&mut iterator, !forward, turned));
        found
    }

    /// What a snapshot and an iterator from before `changes` show after them.
    pub(crate) fn hold(&self, family: usize, changes: &[Change]) -> Pairs {
        let snapshot = self.db.snapshot();
        let mut held = self.db.raw_iterator_cf(&self.family(family));
        held.seek_to_first();
        self.write(changes, false);
        self.flush(family);
        let mut found = step_through(&mut held, true, usize::MAX);
        let mut since = snapshot.raw_iterator_cf(&self.family(family));
        since.seek_to_last();
        found.extend(step_through(&mut since, false, usize::MAX));
        found
    }

    pub(crate) fn flush(&self, family: usize) {
        self.db.flush_cf(&self.family(family)).expect("flush");
    }

    pub(crate) fn compact(&self, family: usize, from: &[u8], to: &[u8]) {
        self.db.compact_range_cf(&self.family(family), Some(from), Some(to));
    }

    pub(crate) fn create_family(&mut self, name: &str) {
        self.db.create_cf(name, &self.options).expect("a new family");
        self.families.push(name.to_owned());
    }

    pub(crate) fn drop_family(&mut self, number: usize) {
        self.db.drop_cf(&self.families.remove(number)).expect("the family goes");
    }

    /// Writes a table at `table` and takes it in.
    pub(crate) fn ingest(&self, family: usize, table: &Path, pairs: &[(Vec<u8>, Vec<u8>)]) {
        let mut writer = SstFileWriter::create(&self.options);
        writer.open(table).expect("a new table");
        pairs.iter().for_each(|(key, value)| writer.put(key, value).expect("put"));
        writer.finish().expect("the table is finished");
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let taken = self.db.ingest_external_file_cf_opts(&self.family(family), &options, vec![table]);
        taken.expect("the table is taken in");
    }

    pub(crate) fn checkpoint(&self, to: &Path) {
        let checkpoint = Checkpoint::new(&self.db).expect("an object");
        checkpoint.create_checkpoint(to).expect("a checkpoint");
    }

    /// Hands the WAL that RocksDB holds back in its own memory to the FileSystem.
    pub(crate) fn write_out(&self) {
        self.db.flush_wal(false).expect("the WAL is written");
    }

    pub(crate) fn content(&self) -> Content {
        let of = |name: &String| {
            let family = self.db.cf_handle(name).expect("the family is there");
            let mut iterator = self.db.raw_iterator_cf(&family);
            iterator.seek_to_first();
            (name.clone(), step_through(&mut iterator, true, usize::MAX))
        };
        self.families.iter().map(of).collect()
    }
}

/// The default family first, the others as they were made.
fn sorted(mut families: Vec<String>) -> Vec<String> {
    families.sort_by_key(|name| name.parse().unwrap_or(0_u64));
    families
}

/// Up to `count` pairs; the iterator must not have failed.
fn step_through(iterator: &mut DBRawIteratorWithThreadMode<'_, Db>, forward: bool, count: usize) -> Pairs {
    let mut found = Pairs::new();
    while found.len() < count {
        let Some((key, value)) = iterator.item() else { break };
        found.push((key.into(), value.into()));
        if forward { iterator.next() } else { iterator.prev() }
    }
    iterator.status().expect("the iterator reads");
    found
}
