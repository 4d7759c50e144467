//! The agreed public API without its bodies: replaced as the layers land.
#![allow(missing_docs, clippy::allow_attributes_without_reason, unused_variables)]
use crate::error::{Error, ErrorKind, Result};
use crate::pmem::medium::{Dax, Durability, FlushMode};
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::time::SystemTime;

fn unbuilt<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Io, "not built yet"))
}
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {}
impl CreateOptions {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn size(self, bytes: u64) -> Self {
        self
    }
    pub fn sparse(self, sparse: bool) -> Self {
        self
    }
    pub fn max_inodes(self, n: u64) -> Self {
        self
    }
    pub fn overwrite(self, yes: bool) -> Self {
        self
    }
    pub fn dax(self, dax: Dax) -> Self {
        self
    }
    pub fn flush(self, flush: FlushMode) -> Self {
        self
    }
    pub fn mode(self, mode: u32) -> Self {
        self
    }
}
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {}
impl OpenOptions {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn dax(self, dax: Dax) -> Self {
        self
    }
    pub fn flush(self, flush: FlushMode) -> Self {
        self
    }
    pub fn read_only(self, yes: bool) -> Self {
        self
    }
    pub fn force(self, yes: bool) -> Self {
        self
    }
}
#[derive(Clone, Debug)]
pub struct SpaceUsage {
    pub total_bytes: u64,
    pub free_bytes: u64,
    pub used_bytes: u64,
    pub reserve_bytes: u64,
    pub inodes_used: u64,
    pub inodes_free: u64,
}
#[derive(Clone, Debug)]
pub struct MemberInfo {
    pub slot: u32,
    pub pid: u32,
    pub name: String,
    pub since_seconds: u64,
    pub this: bool,
    pub alive: bool,
    pub stopped: bool,
    pub holds: Vec<String>,
}
#[derive(Clone, Debug)]
pub struct RecoveryInfo {
    pub transactions_replayed: u64,
    pub orphans_removed: u64,
    pub blocks_counted: u64,
    pub microseconds: u64,
}
#[derive(Clone, Debug)]
pub struct PoolInfo {
    pub uuid: String,
    pub path: PathBuf,
    pub size_bytes: u64,
    pub format_version: u32,
    pub features_compat: u64,
    pub features_ro_compat: u64,
    pub features_incompat: u64,
    pub durability: Durability,
    pub usage: SpaceUsage,
    pub clean_at_open: bool,
    pub recovered: Option<RecoveryInfo>,
    pub members: Vec<MemberInfo>,
    pub snapshots: u64,
}
#[derive(Clone, Debug)]
pub struct Problem {
    pub structure: String,
    pub place: String,
    pub message: String,
}
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    pub problems: Vec<Problem>,
    pub inodes: u64,
    pub files: u64,
    pub directories: u64,
    pub blocks_used: u64,
    pub blocks_shared: u64,
    pub leaked_blocks: u64,
}
impl CheckReport {
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    File,
    Directory,
}
#[derive(Clone, Debug)]
pub struct Metadata {
    pub inode: u64,
    pub kind: FileKind,
    pub len: u64,
    pub allocated_bytes: u64,
    pub links: u32,
    pub created: SystemTime,
    pub modified: SystemTime,
    pub read_only: bool,
}
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    pub name: OsString,
    pub inode: u64,
    pub kind: FileKind,
}
#[derive(Clone, Debug)]
pub struct SnapshotInfo {
    pub name: String,
    pub created: SystemTime,
    pub paths: Vec<PathBuf>,
    pub files: u64,
}
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Added,
    Removed,
    Modified { ranges: Vec<Range<u64>> },
    KindChanged,
}
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiffEntry {
    pub path: PathBuf,
    pub change: Change,
}
#[derive(Clone, Copy, Debug, Default)]
pub struct RollbackOptions {
    pub force: bool,
}
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolPath {
    pub pool: PathBuf,
    pub inner: PathBuf,
}
pub fn split_pool_path(path: &Path) -> Result<Option<PoolPath>> {
    unbuilt()
}
#[derive(Clone, Debug, Default)]
pub struct FileOptions {}
impl FileOptions {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn read(self, yes: bool) -> Self {
        self
    }
    pub fn write(self, yes: bool) -> Self {
        self
    }
    pub fn create(self, yes: bool) -> Self {
        self
    }
    pub fn create_new(self, yes: bool) -> Self {
        self
    }
    pub fn truncate(self, yes: bool) -> Self {
        self
    }
}
#[derive(Clone)]
pub struct Pool {}
impl Pool {
    pub fn create(path: impl AsRef<Path>, options: &CreateOptions) -> Result<Pool> {
        unbuilt()
    }
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Pool> {
        unbuilt()
    }
    pub fn open_shared(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Pool> {
        unbuilt()
    }
    pub fn close(self) -> Result<()> {
        unbuilt()
    }
    pub fn path(&self) -> &Path {
        Path::new("")
    }
    pub fn info(&self) -> Result<PoolInfo> {
        unbuilt()
    }
    pub fn durability(&self) -> Durability {
        unreachable!()
    }
    pub fn usage(&self) -> Result<SpaceUsage> {
        unbuilt()
    }
    pub fn grow(&self, new_size: u64) -> Result<()> {
        unbuilt()
    }
    pub fn trim(&self) -> Result<u64> {
        unbuilt()
    }
    pub fn sync(&self) -> Result<()> {
        unbuilt()
    }
    pub fn check(&self) -> Result<CheckReport> {
        unbuilt()
    }
    pub fn open_file(&self, path: impl AsRef<Path>, options: &FileOptions) -> Result<File> {
        unbuilt()
    }
    pub fn create_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        unbuilt()
    }
    pub fn create_dir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        unbuilt()
    }
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<()> {
        unbuilt()
    }
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        unbuilt()
    }
    pub fn remove_dir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        unbuilt()
    }
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        unbuilt()
    }
    pub fn hard_link(&self, existing: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<()> {
        unbuilt()
    }
    pub fn metadata(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        unbuilt()
    }
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool> {
        unbuilt()
    }
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<Vec<DirEntry>> {
        unbuilt()
    }
    pub fn clone_tree(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        unbuilt()
    }
    pub fn create_snapshot<P: AsRef<Path>>(&self, name: &str, paths: &[P]) -> Result<SnapshotInfo> {
        unbuilt()
    }
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        unbuilt()
    }
    pub fn delete_snapshot(&self, name: &str) -> Result<()> {
        unbuilt()
    }
    pub fn rollback(&self, name: &str, options: RollbackOptions) -> Result<()> {
        unbuilt()
    }
    pub fn diff(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Vec<DiffEntry>> {
        unbuilt()
    }
    pub fn commit_batches(&self, batches: &mut [&mut Batch], unlink: Option<&Path>) -> Result<()> {
        unbuilt()
    }
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtentKind {
    Data,
    Unwritten,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    pub offset: u64,
    pub len: u64,
    pub kind: ExtentKind,
    pub shared: bool,
    pub block: u64,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    Shared,
    Exclusive,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockState {
    pub shared_by_others: bool,
    pub exclusive_by_other: bool,
}
pub struct File {}
impl File {
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        unbuilt()
    }
    pub fn read_exact_at(&self, into: &mut [u8], offset: u64) -> Result<()> {
        unbuilt()
    }
    pub fn write_at(&self, from: &[u8], offset: u64) -> Result<()> {
        unbuilt()
    }
    pub fn append(&self, from: &[u8]) -> Result<u64> {
        unbuilt()
    }
    pub fn len(&self) -> Result<u64> {
        unbuilt()
    }
    pub fn is_empty(&self) -> Result<bool> {
        unbuilt()
    }
    pub fn set_len(&self, len: u64) -> Result<()> {
        unbuilt()
    }
    pub fn allocate(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        unbuilt()
    }
    pub fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        unbuilt()
    }
    pub fn punch_hole(&self, offset: u64, len: u64) -> Result<()> {
        unbuilt()
    }
    pub fn seek_data(&self, offset: u64) -> Result<Option<u64>> {
        unbuilt()
    }
    pub fn seek_hole(&self, offset: u64) -> Result<u64> {
        unbuilt()
    }
    pub fn extents(&self) -> Result<Vec<Extent>> {
        unbuilt()
    }
    pub fn sync(&self) -> Result<()> {
        unbuilt()
    }
    pub fn metadata(&self) -> Result<Metadata> {
        unbuilt()
    }
    pub fn inode(&self) -> u64 {
        0
    }
    pub fn pool(&self) -> &Pool {
        unreachable!()
    }
    pub fn is_stale(&self) -> Result<bool> {
        unbuilt()
    }
    pub fn clone_range(&self, src: &File, src_offset: u64, dst_offset: u64, len: u64) -> Result<()> {
        unbuilt()
    }
    pub fn replace_contents(&self, with: &File) -> Result<()> {
        unbuilt()
    }
    pub fn batch(&self) -> Result<Batch> {
        unbuilt()
    }
    pub fn view(&self, offset: u64, len: usize) -> Result<Option<View>> {
        unbuilt()
    }
    pub fn try_lock(&self, index: u8, mode: LockMode) -> Result<bool> {
        unbuilt()
    }
    pub fn unlock(&self, index: u8) -> Result<()> {
        unbuilt()
    }
    pub fn lock_state(&self, index: u8) -> Result<LockState> {
        unbuilt()
    }
    pub fn shared_memory(&self) -> Result<SharedMemory> {
        unbuilt()
    }
}
pub struct Batch {}
impl Batch {
    pub fn write_at(&mut self, from: &[u8], offset: u64) -> Result<()> {
        unbuilt()
    }
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        unbuilt()
    }
    pub fn set_len(&mut self, len: u64) -> Result<()> {
        unbuilt()
    }
    pub fn len(&self) -> u64 {
        0
    }
    pub fn is_empty(&self) -> bool {
        true
    }
    pub fn commit(&mut self) -> Result<()> {
        unbuilt()
    }
    pub fn discard(&mut self) {}
}
/// Send + Sync; keeps its pool and blocks alive by itself.
pub struct View {
    ptr: NonNull<u8>,
    len: usize,
}
impl View {
    pub fn as_ptr(&self) -> *const u8 {
        self.ptr.as_ptr()
    }
    pub fn len(&self) -> usize {
        self.len
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    pub fn is_failed(&self) -> bool {
        false
    }
}
pub struct SharedMemory {}
impl SharedMemory {
    pub fn region(&self, index: usize, size: usize, create: bool) -> Result<Option<NonNull<u8>>> {
        unbuilt()
    }
    pub fn detach(self, delete: bool) -> Result<()> {
        unbuilt()
    }
}
