//! Every method of the FileSystem that is linked, and of its files, against its contract: the calls of the preload library's
//! `contract.cc`, with the RocksDB of the crate.
#![expect(unsafe_code, reason = "calls C++")]

#[path = "../common/answers.rs"]
mod answers;
#[path = "../common/mod.rs"]
mod common;

use std::ffi::{CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use common::Fixture;

unsafe extern "C" {
    fn daxcow_test_contract(directory: *const c_char, to: *const c_char) -> c_int;
}

fn answered(below: PathBuf, to: &Path) -> String {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    let (directory, answers) = (text(&below), text(to));
    // SAFETY: both end with NUL and live until the call returns; the test has one thread.
    let code = unsafe { daxcow_test_contract(directory.as_ptr(), answers.as_ptr()) };
    assert_eq!(code, 0, "the answers are written");
    std::fs::read_to_string(to).expect("the answers")
}

#[test]
fn every_method_answers_as_the_posix_file_system_does() {
    // The unit of what is linked: without it the linker leaves the FileSystem out.
    assert!(daxcow_rocksdb::path("/no/pool").is_ok());
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.host("host")).expect("a directory on the host");
    fixture.pool.create_dir("/in").expect("a directory in the pool");
    let host = answered(fixture.host("host"), &fixture.host("of-the-host"));
    let pool = answered(fixture.path("in"), &fixture.host("of-the-pool"));
    assert!(fixture.pool.exists("/in/LOCK").expect("exists"), "it ran in the pool");
    answers::assert_same(&pool, &host);
}
