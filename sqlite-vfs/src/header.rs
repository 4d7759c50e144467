//! The bytes of the database header that SQLite reads at the begin of each transaction to learn whether its cached pages
//! still hold: the change counter and what follows it. They are remembered until the file changes.

use daxcow::File;
use std::ops::Range;

/// Where they lie.
const BYTES: Range<u64> = 24..40;
const LEN: usize = 16;

/// What is known of them.
#[derive(Default)]
pub(crate) struct Header {
    /// What the file holds while it has this version.
    known: Option<(u64, [u8; LEN])>,
    /// What the open transaction has written there.
    staged: Option<[u8; LEN]>,
}

impl Header {
    /// Fills `into` if it is just these bytes, at `offset`, and they are known.
    pub(crate) fn read(&self, file: &File, into: &mut [u8], offset: u64) -> bool {
        let Some((version, bytes)) = self.known.filter(|_| is_header(into.len(), offset)) else {
            return false;
        };
        let holds = matches!(file.version(), Ok(Some(present)) if present == version);
        if holds {
            into.copy_from_slice(&bytes);
        }
        holds
    }

    /// Reads by `read`, and remembers these bytes if it is just them that it reads.
    pub(crate) fn learn<E>(
        &mut self,
        file: &File,
        into: &mut [u8],
        offset: u64,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        if !is_header(into.len(), offset) {
            return read(into);
        }
        let before = file.version().ok().flatten();
        let found = read(into)?;
        let after = file.version().ok().flatten();
        self.known = before
            .filter(|_| before == after && found == LEN)
            .and_then(|version| Some((version, <[u8; LEN]>::try_from(&*into).ok()?)));
        Ok(found)
    }

    /// Notes what a transaction writes.
    pub(crate) fn written(&mut self, from: &[u8], offset: u64) {
        let end = offset.saturating_add(from.len() as u64);
        if offset < BYTES.end && end > BYTES.start {
            let within = usize::try_from(BYTES.start - offset.min(BYTES.start)).unwrap_or(usize::MAX);
            let bytes = from.get(within..).and_then(|from| from.first_chunk());
            self.staged = bytes.copied().filter(|_| offset <= BYTES.start);
        }
    }

    /// The transaction is the file's contents now, which have this version.
    pub(crate) fn published(&mut self, version: Option<u64>) {
        if let Some(bytes) = self.staged.take() {
            self.known = version.map(|version| (version, bytes));
        }
    }

    /// The transaction is dropped, or published by others.
    pub(crate) fn dropped(&mut self) {
        self.staged = None;
    }
}

fn is_header(len: usize, offset: u64) -> bool {
    offset == BYTES.start && len == LEN
}
