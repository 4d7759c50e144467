//! Files opened for random reads by the C++ FileSystem, and MultiRead of them: `calls.cc` for Rust.
#![expect(unsafe_code, reason = "calls C++")]

use std::ffi::{CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

/// A FSRandomAccessFile.
#[repr(C)]
struct RawFile([u8; 0]);

/// What owns the answers to requests.
#[repr(C)]
struct RawAnswers([u8; 0]);

#[repr(C)]
struct RawRequest {
    offset: u64,
    len: usize,
    scratch: *mut c_char,
    code: c_int,
    owned: bool,
    data: *const u8,
    size: usize,
}

unsafe extern "C" {
    safe fn daxcow_test_supported() -> i64;
    fn daxcow_test_open(path: *const c_char, in_place: bool) -> *mut RawFile;
    fn daxcow_test_close(file: *mut RawFile);
    fn daxcow_test_submits(file: *mut RawFile) -> bool;
    fn daxcow_test_multi_read(
        file: *mut RawFile,
        submitted: bool,
        asked: *mut RawRequest,
        count: usize,
    ) -> *mut RawAnswers;
    fn daxcow_test_give_back(answers: *mut RawAnswers);
}

/// Whether this RocksDB asks for reads into buffers of the FileSystem's (FSSupportedOps::kFSBuffer), and is told that they are
/// supported.
pub(crate) fn buffers_are_supported() -> bool {
    daxcow_test_supported() & 2 != 0
}

/// How ranges are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// In one call.
    MultiRead,
    /// Each by SubmitReadAsync, as coroutines do it.
    Submitted,
}

/// A file opened for random reads.
pub(crate) struct RandomAccessFile(*mut RawFile);

impl RandomAccessFile {
    pub(crate) fn open(path: &Path, in_place: bool) -> RandomAccessFile {
        let name = CString::new(path.as_os_str().as_bytes()).expect("a path");
        // SAFETY: a terminated text.
        let file = unsafe { daxcow_test_open(name.as_ptr(), in_place) };
        assert!(!file.is_null(), "{} opens", path.display());
        RandomAccessFile(file)
    }

    /// The ways to have ranges read that this RocksDB has.
    pub(crate) fn ways(&self) -> &'static [Way] {
        // SAFETY: an open file.
        if unsafe { daxcow_test_submits(self.0) } {
            &[Way::MultiRead, Way::Submitted]
        } else {
            &[Way::MultiRead]
        }
    }

    /// Reads the ranges, offset and length, bringing no buffer.
    pub(crate) fn multi_read(&self, way: Way, ranges: &[(u64, usize)]) -> Answers {
        let asked = |&(offset, len): &(u64, usize)| RawRequest {
            offset,
            len,
            scratch: ptr::null_mut(),
            code: -1,
            owned: false,
            data: ptr::null(),
            size: 0,
        };
        let mut requests: Vec<RawRequest> = ranges.iter().map(asked).collect();
        let (start, count, submitted) = (requests.as_mut_ptr(), requests.len(), way == Way::Submitted);
        // SAFETY: an open file, and as many requests as there are.
        let owner = unsafe { daxcow_test_multi_read(self.0, submitted, start, count) };
        assert!(!owner.is_null(), "{way:?}: all are answered");
        assert!(requests.iter().all(|request| request.scratch.is_null()), "{way:?}: who asked has no buffer");
        Answers { owner, requests }
    }
}

impl Drop for RandomAccessFile {
    fn drop(&mut self) {
        // SAFETY: it came from daxcow_test_open.
        unsafe { daxcow_test_close(self.0) };
    }
}

/// The answers of a MultiRead; they need the file no more.
pub(crate) struct Answers {
    owner: *mut RawAnswers,
    requests: Vec<RawRequest>,
}

impl Answers {
    /// The codes of the statuses, and the bytes.
    pub(crate) fn all(&self) -> Vec<(c_int, &[u8])> {
        self.requests.iter().map(|request| (request.code, bytes_of(request))).collect()
    }

    /// Whether each was given something that keeps its bytes alive.
    pub(crate) fn are_owned(&self) -> bool {
        self.requests.iter().all(|request| request.owned)
    }
}

fn bytes_of(request: &RawRequest) -> &[u8] {
    if request.size == 0 {
        return &[];
    }
    // SAFETY: the FileSystem answers so many bytes there, which stay until the answers are given back.
    unsafe { std::slice::from_raw_parts(request.data, request.size) }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // SAFETY: it came from daxcow_test_multi_read.
        unsafe { daxcow_test_give_back(self.owner) };
    }
}
