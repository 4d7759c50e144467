//! The operations a random test performs, as plain data: a run is a list of them and can be replayed and shortened.
//!
//! Handles and views live in numbered slots, members of the pool are numbered too; an operation on an empty slot does
//! nothing, so that every part of a list is a valid list.

use daxcow::ErrorKind;

/// The number of a place that holds an open file.
pub type Slot = usize;
/// The number of a member: one `Pool` of the session.
pub type Member = usize;

/// A byte range of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Its first byte.
    pub offset: u64,
    /// Bytes in it.
    pub len: u64,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenHow {
    /// For writing too.
    pub write: bool,
    /// Makes the file where it is missing.
    pub create: bool,
    /// Refuses a file that exists.
    pub create_new: bool,
    /// Empties the file.
    pub truncate: bool,
}

/// One operation. Paths start with `/`; `seed` stands for the bytes [`crate::rng::pattern`] makes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    missing_docs,
    reason = "each field is the argument of the operation of the same name in the backend"
)]
pub enum Op {
    // Names.
    CreateDir {
        member: Member,
        path: String,
    },
    CreateDirAll {
        member: Member,
        path: String,
    },
    RemoveDir {
        member: Member,
        path: String,
    },
    RemoveDirAll {
        member: Member,
        path: String,
    },
    RemoveFile {
        member: Member,
        path: String,
    },
    Rename {
        member: Member,
        from: String,
        to: String,
    },
    HardLink {
        member: Member,
        existing: String,
        new: String,
    },
    /// Gives open files names, all in one transaction.
    Link {
        files: Vec<(Slot, String)>,
    },
    CloneTree {
        member: Member,
        from: String,
        to: String,
    },
    ReadDir {
        member: Member,
        path: String,
    },
    StatPath {
        member: Member,
        path: String,
    },
    // Open files.
    Open {
        slot: Slot,
        member: Member,
        path: String,
        how: OpenHow,
    },
    /// A file without a name.
    OpenUnnamed {
        slot: Slot,
        member: Member,
    },
    /// One more handle of the file in slot `of`.
    AnotherHandle {
        slot: Slot,
        of: Slot,
    },
    Close {
        slot: Slot,
    },
    Write {
        slot: Slot,
        span: Span,
        seed: u64,
    },
    Append {
        slot: Slot,
        len: u64,
        seed: u64,
    },
    Read {
        slot: Slot,
        span: Span,
    },
    SetLen {
        slot: Slot,
        len: u64,
    },
    Allocate {
        slot: Slot,
        span: Span,
        keep_size: bool,
    },
    ZeroRange {
        slot: Slot,
        span: Span,
    },
    PunchHole {
        slot: Slot,
        span: Span,
    },
    SeekData {
        slot: Slot,
        offset: u64,
    },
    SeekHole {
        slot: Slot,
        offset: u64,
    },
    Extents {
        slot: Slot,
    },
    Stat {
        slot: Slot,
    },
    Sync {
        slot: Slot,
    },
    CloneRange {
        target: Slot,
        source: Slot,
        source_offset: u64,
        span: Span,
    },
    DedupeRange {
        target: Slot,
        source: Slot,
        source_offset: u64,
        span: Span,
    },
    Defragment {
        slot: Slot,
        span: Span,
    },
    ReplaceContents {
        target: Slot,
        with: Slot,
    },
    View {
        slot: Slot,
        span: Span,
    },
    /// Stores to the file through a mapping, and flushes what was stored.
    MapStore {
        slot: Slot,
        span: Span,
        seed: u64,
    },
    DropViews,
    Lock {
        slot: Slot,
        index: u8,
        exclusive: bool,
    },
    Unlock {
        slot: Slot,
        index: u8,
    },
    /// Attaches to the file's shared memory, stores to it and detaches.
    SharedMemory {
        slot: Slot,
    },
    // Batches; at most one a slot.
    BatchOpen {
        slot: Slot,
    },
    BatchWrite {
        slot: Slot,
        span: Span,
        seed: u64,
    },
    /// As `BatchWrite`, by another thread than the one that commits.
    BatchWriteElsewhere {
        slot: Slot,
        span: Span,
        seed: u64,
    },
    BatchRead {
        slot: Slot,
        span: Span,
    },
    BatchSetLen {
        slot: Slot,
        len: u64,
    },
    BatchCommit {
        slot: Slot,
    },
    BatchDiscard {
        slot: Slot,
    },
    BatchClose {
        slot: Slot,
    },
    CommitBatches {
        slots: Vec<Slot>,
        unlink: Option<String>,
    },
    // The pool.
    Snapshot {
        member: Member,
        name: String,
        paths: Vec<String>,
    },
    DeleteSnapshot {
        member: Member,
        name: String,
    },
    Rollback {
        member: Member,
        name: String,
        force: bool,
    },
    /// Receives what the pool itself sends of a snapshot, all of it or what is new since `parent`, under another name.
    Receive {
        member: Member,
        name: String,
        parent: Option<String>,
        to: String,
    },
    /// Receives a half of that and keeps it.
    ReceiveHalf {
        member: Member,
        name: String,
    },
    /// Gives up all that was kept.
    AbortReceives {
        member: Member,
    },
    Diff {
        member: Member,
        from: String,
        to: String,
    },
    /// Finds and shares equal blocks of everything.
    Dedupe {
        member: Member,
    },
    Grow {
        member: Member,
        bytes: u64,
    },
    Trim {
        member: Member,
    },
    PoolSync {
        member: Member,
    },
    Check {
        member: Member,
    },
    /// Compares everything under the root with the model, as this member sees it.
    Compare {
        member: Member,
    },
    /// Closes one member with all its handles and opens it again.
    Rejoin {
        member: Member,
    },
    /// Closes all members and opens the pool anew.
    Reopen,
    /// As `Reopen`, with a repair between, which finds nothing to do.
    Repair,
}

/// What an operation gave.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants name what they hold")]
pub enum Value {
    Done,
    Bytes(Vec<u8>),
    Number(u64),
    Position(Option<u64>),
    Flag(bool),
    Names(Vec<String>),
    /// Length and number of links of a file.
    File {
        len: u64,
        links: u64,
    },
    Directory,
}

/// The result of an operation on the file layer.
pub type Found = Result<Value, ErrorKind>;
