//! What a pool does with whole trees: clones, snapshots, streams, and finding equal blocks.

use std::io::{Read, Write};
use std::path::Path;

use super::Pool;
use crate::error::Result;
use crate::namespace::walk;
use crate::relocate::dedupe::{self, DedupeOptions, DedupeProgress, DedupeReport};
use crate::snapshot::diff::DiffEntry;
use crate::snapshot::keep::SnapshotInfo;
use crate::snapshot::receive::{self, PartialReceive, ReceiveOptions, ReceiveReport};
use crate::snapshot::rollback::RollbackOptions;
use crate::snapshot::send::{self, SendOptions, SendReport};
use crate::snapshot::{diff, keep, rollback};

impl Pool {
    /// Makes a writable copy of a file, or of a directory with everything below it at one instant, sharing all blocks.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `Busy` where operations in flight do not end within a second, `NoSpace`, `NoInodes`,
    /// `ReadOnly`.
    pub fn clone_tree(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        self.writable()?;
        keep::clone_tree(self.core(), from.as_ref(), to.as_ref())
    }

    /// Makes a read-only snapshot of `paths`, or of the whole pool where there are none, under `/.snapshots/NAME`: all
    /// files at one instant, also while other processes write. Durable at return. The time depends on the number of files
    /// and not on their size.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `InvalidInput` for a name that is not one component, `Busy` where operations in flight
    /// do not end within a second, `NoSpace`, `NoInodes`.
    pub fn create_snapshot<P: AsRef<Path>>(&self, name: &str, paths: &[P]) -> Result<SnapshotInfo> {
        self.writable()?;
        keep::create(self.core(), name, paths)
    }

    /// All snapshots, the oldest first.
    ///
    /// # Errors
    /// `Corrupt`, `MediaError`.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        keep::list(self.core())
    }

    /// Removes a snapshot; space that only it held is free at return, but for files of it that are open.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete_snapshot(&self, name: &str) -> Result<()> {
        self.writable()?;
        keep::delete(self.core(), name)
    }

    /// Puts a snapshot back: every path it was made of becomes what it was, in one transaction. The snapshot stays.
    ///
    /// # Errors
    /// `NotFound`; `Busy`, naming who, while a file there is open, unless forced; `NoSpace`, `NoInodes`.
    pub fn rollback(&self, name: &str, options: RollbackOptions) -> Result<()> {
        self.writable()?;
        rollback::rollback(self.core(), name, options)
    }

    /// Finds equal blocks in the files at and below `paths`, or in the whole pool with its snapshots where there are none,
    /// and makes each kind of them one block. Whoever else shares a block (snapshots, clones) shares the other one from then
    /// on, so that it comes free. Equal hashes are compared byte by byte while nobody can write. Programs may read and write
    /// meanwhile; memory is bounded by the options. `progress` is told how far it is.
    ///
    /// # Errors
    /// `NotFound`, `Busy` where operations in flight do not end, `MediaError`, `Corrupt`. What has been shared stays so.
    pub fn dedupe<P: AsRef<Path>>(
        &self,
        paths: &[P],
        options: DedupeOptions,
        progress: &mut dyn FnMut(DedupeProgress),
    ) -> Result<DedupeReport> {
        self.writable()?;
        let store = &self.core().store;
        let files = match paths {
            [] => walk::files_below(store, &["/"])?,
            paths => walk::files_below(store, paths)?,
        };
        dedupe::dedupe(store, &files, options, progress)
    }

    /// Writes snapshot `name` to `to` as a stream that [`Pool::receive`] reads, in this pool or another, of any size: all of
    /// it, or what is new since another snapshot. Names, holes, reserved blocks, hard links, times, and blocks that files of
    /// the snapshot share all come along. The time follows what is sent, apart from a look at every name.
    ///
    /// # Errors
    /// `NotFound`; `Io` where `to` cannot be written; `InvalidInput` for a token of another stream; `Stale` where the
    /// snapshot is deleted meanwhile; `WrongBase` where the parent of a resumed stream has been; `Corrupt`, `MediaError`.
    pub fn send(&self, name: &str, options: SendOptions<'_>, to: &mut dyn Write) -> Result<SendReport> {
        send::send(self.core(), name, options, to)
    }

    /// Reads the stream of a snapshot from `from`. The snapshot appears in one transaction at the end, complete and
    /// verified; until then, and if the stream breaks off, nothing of it can be seen.
    ///
    /// # Errors
    /// `BadStream` for what is damaged, cut short or no stream; `UnsupportedVersion`; `WrongBase` where the pool has not the
    /// snapshot that the stream builds upon, or not what it goes on from; `AlreadyExists` for the name; `Busy` while another
    /// process receives the same snapshot; `NoSpace`, `NoInodes`; `Io` where `from` cannot be read.
    pub fn receive(&self, from: &mut dyn Read, options: ReceiveOptions<'_>) -> Result<ReceiveReport> {
        self.writable()?;
        receive::receive(self.core(), options, from)
    }

    /// Snapshots of which a part has been received and kept, each with the token that lets a sender go on.
    ///
    /// # Errors
    /// `Corrupt`, `MediaError`.
    pub fn partial_receives(&self) -> Result<Vec<PartialReceive>> {
        receive::partial(self.core())
    }

    /// Removes what has been received of the snapshot with this identity, see [`PartialReceive`].
    ///
    /// # Errors
    /// `NotFound`; `Busy` while it is being received.
    pub fn abort_receive(&self, identity: &str) -> Result<()> {
        self.writable()?;
        receive::abort(self.core(), identity)
    }

    /// What differs from the tree or file `from` to `to`. Blocks that both share are not read.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn diff(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Vec<DiffEntry>> {
        diff::diff(self.core(), from.as_ref(), to.as_ref())
    }
}
