//! Receiving: a snapshot from a stream.
//!
//! ```text
//! /.snapshots/.receiving-IDENTITY/        hidden from callers until the end, and then gone
//!     state                               how far it is; the header and the tree of the stream
//!     1, 2, ...                           the files of the stream, each begun as a clone of the parent's
//! end of the stream: build the tree from these files and what is left of the parent -> one transaction names it
//! ```
//!
//! What has been received is ordinary files that no path of a caller leads to. Their blocks and names obey the same rules as
//! all others, so whatever interrupts a receive (a broken pipe, a full pool, a killed process, a crash) leaves a sound pool
//! in which nothing new can be seen. The snapshot appears whole and verified, or not at all. A receive that is to be
//! continued keeps the hidden directory; its position is noted after each record that is durable.
//!
//! | module | what |
//! |---|---|
//! | [`input`] | the stream as it is read: every record checked before it is believed |
//! | [`hidden`] | the hidden directory and its state |
//! | [`apply`] | one record of contents |
//! | [`finish`] | the snapshot made of what was received |

mod apply;
mod finish;
mod hidden;
mod input;

use std::io::Read;
use std::sync::Arc;

use super::identity::{self, Named, hex};
use super::keep::path_of;
use super::send::ResumeToken;
use crate::error::{Error, ErrorKind, Result};
use crate::format::stream::{Header, NO_PARENT, Position, bad};
use crate::inode::Core;
use crate::namespace::resolve::exists;
use hidden::Hidden;
use input::Input;

/// How a stream is received.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ReceiveOptions<'a> {
    name: Option<&'a str>,
    keep_partial: bool,
}

impl<'a> ReceiveOptions<'a> {
    /// Under the name it was sent with; what was received of a stream that breaks off is removed.
    pub const fn new() -> ReceiveOptions<'a> {
        ReceiveOptions { name: None, keep_partial: false }
    }

    /// Gives the snapshot another name.
    pub const fn name(self, name: &'a str) -> ReceiveOptions<'a> {
        ReceiveOptions { name: Some(name), ..self }
    }

    /// Keeps what was received if the stream breaks off, so that another one can go on from there.
    pub const fn keep_partial(self, keep_partial: bool) -> ReceiveOptions<'a> {
        ReceiveOptions { keep_partial, ..self }
    }
}

/// What was received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiveReport {
    /// The name of the snapshot.
    pub name: String,
    /// Bytes of files in the stream.
    pub data_bytes: u64,
    /// Records in it.
    pub records: u64,
}

/// A snapshot of which a part has been received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartialReceive {
    /// The name it was sent with.
    pub name: String,
    /// What names the snapshot everywhere.
    pub identity: String,
    /// For the sender: where to go on. Nothing where the stream broke off before there was anything to keep.
    pub token: Option<ResumeToken>,
    /// Bytes of the blocks that it takes, also those it shares with others.
    pub allocated_bytes: u64,
}

/// Reads a stream from `from` and makes its snapshot.
pub(crate) fn receive(
    core: &Arc<Core>,
    options: ReceiveOptions<'_>,
    from: &mut dyn Read,
) -> Result<ReceiveReport> {
    let store = &core.store;
    let mut input = Input::open(from)?;
    let header = input.header.clone();
    let name = match options.name {
        Some(name) => name.to_owned(),
        None => String::from_utf8(header.name.clone()).map_err(|_| {
            let message = "the snapshot's name is not UTF-8: give it another one";
            Error::new(ErrorKind::InvalidInput, message)
        })?,
    };
    if exists(store, &path_of(&name)?)? {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a snapshot {name} already")));
    }
    let parent = find_parent(core, &header)?;
    let mut hidden = match header.position == Position::default() {
        true => Hidden::create(core, &header)?,
        false => resume(core, &header)?,
    };
    let received = run(core, &mut input, &mut hidden, parent.as_ref())
        .and_then(|()| finish::publish(core, &header, &hidden, parent.as_ref(), &name));
    match received {
        Ok(()) => {
            // It is complete: what cannot be removed now is removed with the next one of this identity.
            if let Err(error) = hidden.remove(core) {
                tracing::warn!(%error, "what was received for a snapshot is still there beside it");
            }
            Ok(ReceiveReport { name, data_bytes: input.data_bytes, records: input.records })
        }
        Err(error) => {
            let resumed = header.position != Position::default();
            let keep = (options.keep_partial || resumed) && hidden.progress().is_some();
            if !keep && let Err(left) = hidden.remove(core) {
                tracing::warn!(error = %left, "what was received of a broken stream stays hidden");
            }
            Err(error)
        }
    }
}

fn find_parent(core: &Core, header: &Header) -> Result<Option<Named>> {
    if header.parent == NO_PARENT {
        return Ok(None);
    }
    match identity::find(&core.store, header.parent)? {
        Some(parent) => Ok(Some(parent)),
        None => Err(Error::new(
            ErrorKind::WrongBase,
            format!(
                "the stream holds what is new since a snapshot that this pool does not have (identity {}); receive that \
                 one first",
                hex(&header.parent)
            ),
        )),
    }
}

/// The hidden directory that a stream goes on with.
fn resume(core: &Arc<Core>, header: &Header) -> Result<Hidden> {
    let Some(hidden) = Hidden::open(core, header.identity)? else {
        let message = "the stream goes on from the middle, and nothing of it has been received";
        return Err(Error::new(ErrorKind::WrongBase, message));
    };
    let begun = hidden.header(core)?;
    let progress = hidden.progress();
    if begun.parent != header.parent || progress.is_none_or(|progress| progress.position != header.position) {
        let at = progress.map_or_else(|| "nowhere".to_owned(), |progress| format!("{:?}", progress.position));
        let message =
            format!("the stream goes on at {:?}, and what was received ends at {at}", header.position);
        return Err(Error::new(ErrorKind::WrongBase, message));
    }
    Ok(hidden)
}

/// Receives the tree, unless it has been, and all contents.
fn run(core: &Core, input: &mut Input<'_>, hidden: &mut Hidden, parent: Option<&Named>) -> Result<()> {
    if input.header.position == Position::default() {
        let tree = input.tree()?;
        hidden.begin(core, &input.header, &tree, parent)?;
    }
    let mut applier = apply::Applier::new(core, hidden, parent)?;
    while let Some(checked) = input.next_content()? {
        let record = checked.record()?;
        let (at, len) = record.range().ok_or_else(|| bad("a record of the tree among contents"))?;
        applier.apply(&record)?;
        hidden.advance(core, Position { offset: at.offset.saturating_add(len), ..at }, len)?;
    }
    Ok(())
}

/// All snapshots of which a part has been received.
pub(crate) fn partial(core: &Core) -> Result<Vec<PartialReceive>> {
    let mut found = Vec::new();
    for identity in hidden::identities(core)? {
        let Some(hidden) = Hidden::peek(core, identity)? else { continue };
        let header = hidden.header(core).ok();
        let token = header.as_ref().zip(hidden.progress()).map(|(header, progress)| ResumeToken {
            identity,
            parent: header.parent,
            position: progress.position,
        });
        let name = header.map(|header| String::from_utf8_lossy(&header.name).into_owned());
        found.push(PartialReceive {
            name: name.unwrap_or_default(),
            identity: hex(&identity),
            token,
            allocated_bytes: hidden.allocated_bytes(core)?,
        });
    }
    Ok(found)
}

/// Removes what has been received of the snapshot with this identity.
pub(crate) fn abort(core: &Arc<Core>, identity: &str) -> Result<()> {
    let wanted = hidden::identities(core)?.into_iter().find(|found| hex(found) == identity);
    let hidden = wanted.map(|identity| Hidden::open(core, identity)).transpose()?.flatten();
    match hidden {
        Some(hidden) => hidden.remove(core),
        None => {
            let message = format!("nothing has been received of a snapshot with identity {identity}");
            Err(Error::new(ErrorKind::NotFound, message))
        }
    }
}
