//! Sending: a snapshot, or what is new in it since another one, as a stream of bytes.
//!
//! ```text
//! header | tree: what directories hold and which files there are | contents, file by file | end
//! ```
//!
//! The walk skips what both snapshots have: a file whose root they share, a subtree that is the same node, a block that is
//! the same block. So the time follows what was written, apart from a look at every name. Blocks that several files of
//! the snapshot share are sent once. What is sent depends on what the files hold and not on where it lies, and in an order
//! that never changes: a stream that broke off is continued from a position.
//!
//! | module | what |
//! |---|---|
//! | [`tree`] | which names and files there are, and which of them the parent has |
//! | [`contents`] | what the files hold |

mod contents;
mod tree;

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use super::identity::{self, hex, unhex};
use crate::error::{Error, ErrorKind, Result};
use crate::format::stream::{Header, Identity, NO_PARENT, Position, Record};
use crate::inode::Core;

/// What is sent.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct SendOptions<'a> {
    parent: Option<&'a str>,
    resume: Option<ResumeToken>,
}

impl<'a> SendOptions<'a> {
    /// All of the snapshot.
    pub const fn new() -> SendOptions<'a> {
        SendOptions { parent: None, resume: None }
    }

    /// Only what is new since the snapshot `parent`, which the receiver must have.
    pub const fn parent(self, parent: &'a str) -> SendOptions<'a> {
        SendOptions { parent: Some(parent), ..self }
    }

    /// Goes on where a stream broke off. The parent is the one of that stream, whether it is given again or not.
    pub const fn resume(self, token: ResumeToken) -> SendOptions<'a> {
        SendOptions { resume: Some(token), ..self }
    }
}

/// What was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SendReport {
    /// Bytes of the stream.
    pub stream_bytes: u64,
    /// Bytes of files in it.
    pub data_bytes: u64,
    /// Records in it.
    pub records: u64,
}

/// Which stream broke off, and where. As text it can be carried from the receiver to the sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResumeToken {
    pub(super) identity: Identity,
    pub(super) parent: Identity,
    pub(super) position: Position,
}

impl ResumeToken {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.identity, self.parent].concat();
        bytes.extend(self.position.file.to_le_bytes());
        bytes.extend(self.position.offset.to_le_bytes());
        bytes
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        write!(f, "{}{}", hex(&bytes), hex(&crc32c::crc32c(&bytes).to_le_bytes()))
    }
}

impl FromStr for ResumeToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<ResumeToken> {
        let invalid =
            || Error::new(ErrorKind::InvalidInput, format!("{text:?} is not a token of a broken stream"));
        let bytes = unhex(text.as_bytes()).ok_or_else(invalid)?;
        let word = |at: usize| -> Option<[u8; 16]> { bytes.get(at..at + 16)?.try_into().ok() };
        let position = bytes.get(32..44).and_then(|from| {
            let file = u32::from_le_bytes(from[..4].try_into().ok()?);
            Some(Position { file, offset: u64::from_le_bytes(from[4..].try_into().ok()?) })
        });
        let (Some(identity), Some(parent), Some(position)) = (word(0), word(16), position) else {
            return Err(invalid());
        };
        let token = ResumeToken { identity, parent, position };
        if token.to_string() == text.to_ascii_lowercase() { Ok(token) } else { Err(invalid()) }
    }
}

/// Writes the stream of snapshot `name` to `to`.
pub(crate) fn send(
    core: &Core,
    name: &str,
    options: SendOptions<'_>,
    to: &mut dyn Write,
) -> Result<SendReport> {
    let store = &core.store;
    let snapshot = identity::by_name(store, name)?;
    let given = options.parent.map(|parent| identity::by_name(store, parent)).transpose()?;
    let (parent, position) = match options.resume {
        None => (given, Position::default()),
        Some(token) => {
            if token.identity != snapshot.identity {
                let message = format!("the token is not of a stream of snapshot {name}");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
            let parent = match token.parent {
                NO_PARENT => None,
                parent => Some(identity::find(store, parent)?.ok_or_else(|| {
                    let message =
                        "the stream builds upon a snapshot that has been deleted since it was begun";
                    Error::new(ErrorKind::WrongBase, message)
                })?),
            };
            if given.is_some_and(|given| given.identity != token.parent) {
                let message = "the token is of a stream that builds upon another snapshot";
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
            (parent, token.position)
        }
    };
    if parent.as_ref().is_some_and(|parent| parent.identity == snapshot.identity) {
        let message = format!("snapshot {name} cannot build upon itself");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let header = Header {
        identity: snapshot.identity,
        parent: parent.as_ref().map_or(NO_PARENT, |parent| parent.identity),
        created: snapshot.top.inode.birth(store)?.created,
        position,
        name: snapshot.name.clone(),
    };
    let tree = tree::plan(core, &snapshot.top, parent.as_ref().map(|parent| &parent.top))?;
    let mut output = Output::begin(to, &header)?;
    if position == Position::default() {
        tree.items.iter().try_for_each(|item| output.put(&item.record()))?;
        output.put(&Record::TreeEnd)?;
    }
    contents::send(core, &tree, position, &mut output)?;
    output.end()
}

/// The stream as it is written.
struct Output<'a> {
    to: &'a mut dyn Write,
    crc: u32,
    report: SendReport,
}

impl<'a> Output<'a> {
    fn begin(to: &'a mut dyn Write, header: &Header) -> Result<Output<'a>> {
        let (bytes, crc) = header.encode();
        let mut output = Output { to, crc, report: SendReport::default() };
        output.write(&bytes)?;
        Ok(output)
    }

    fn put(&mut self, record: &Record<'_>) -> Result<()> {
        let (bytes, crc) = record.encode(self.crc);
        self.crc = crc;
        self.report.records += 1;
        if let Record::Data { bytes, .. } = record {
            self.report.data_bytes += bytes.len() as u64;
        }
        self.write(&bytes)
    }

    fn end(mut self) -> Result<SendReport> {
        let SendReport { records, data_bytes, .. } = self.report;
        self.put(&Record::End { records, data_bytes })?;
        self.to.flush().map_err(|error| Error::os("write the stream", error))?;
        Ok(self.report)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.report.stream_bytes += bytes.len() as u64;
        self.to.write_all(bytes).map_err(|error| Error::os("write the stream", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_text_and_a_wrong_digit_is_seen() {
        let position = Position { file: 3, offset: 1 << 40 };
        let token = ResumeToken { identity: [0xab; 16], parent: [1; 16], position };
        let text = token.to_string();
        assert_eq!(text.parse::<ResumeToken>().unwrap(), token);
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            assert!(String::from_utf8(wrong).unwrap().parse::<ResumeToken>().is_err(), "digit {at}");
        }
        assert!("".parse::<ResumeToken>().is_err() && "zz".parse::<ResumeToken>().is_err());
    }
}
