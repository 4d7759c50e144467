//! What the tests of the crate share: a pool in memory, and databases in it.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod batches;

use std::ops::Deref;

use daxcow::units::BLOCK_SIZE;
use daxcow_tests::fixture::{HostFixture, readable};
use rocksdb::{DB, Options};

/// A pool, and databases in it.
pub(crate) struct Fixture(HostFixture);

impl Deref for Fixture {
    type Target = HostFixture;

    fn deref(&self) -> &HostFixture {
        &self.0
    }
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with_size(512 << 20)
    }

    /// A pool of `bytes`.
    pub(crate) fn with_size(bytes: u64) -> Fixture {
        Fixture(HostFixture::with_size(bytes))
    }

    /// Opens, or makes, the database `name` in the pool.
    pub(crate) fn open(&self, name: &str) -> DB {
        self.try_open(name, &options()).expect("the database opens")
    }

    pub(crate) fn try_open(&self, name: &str, options: &Options) -> Result<DB, rocksdb::Error> {
        DB::open(options, daxcow_rocksdb::path(self.path(name)).expect("a path in the pool"))
    }

    /// The place in the pool of byte `offset` of a file in it.
    pub(crate) fn place_of(&self, path: &str, offset: u64) -> u64 {
        let extents = readable(&self.pool, path).extents().expect("extents");
        let extent = extents.iter().rfind(|extent| extent.offset <= offset).expect("it is mapped");
        extent.block * BLOCK_SIZE + offset - extent.offset
    }

    /// Fails where there is anything beside the pool, or the pool is damaged.
    pub(crate) fn assert_sound(&self) {
        self.assert_nothing_on_the_host();
        let report = self.pool.check().expect("the pool is checked");
        assert!(report.is_clean(), "{:?}", report.problems);
    }
}

/// Options that make what is missing.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_env(&daxcow_rocksdb::env().expect("an Env"));
    options
}

/// All that a database holds.
pub(crate) fn contents(database: &DB) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = database.iterator(rocksdb::IteratorMode::Start);
    all.map(|pair| pair.expect("a pair")).map(|(key, value)| (text(&key), text(&value))).collect()
}
