//! Numbers, places and byte strings of a stream, little-endian, one after the other.

use super::{Attributes, Position, bad};
use crate::error::Result;

/// Puts numbers behind the others.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend(bytes);
        self
    }

    pub(super) fn position(&mut self, at: Position) -> &mut Self {
        self.u32(at.file).u64(at.offset)
    }

    pub(super) fn attributes(&mut self, attributes: &Attributes) -> &mut Self {
        self.u8(attributes.scope).u64(attributes.created).u64(attributes.modified).u64(attributes.origin)
    }
}

/// Takes numbers from the front of a slice.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.0.split_at_checked(len) {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None => {
                Err(bad(format!("a record is too short: {len} bytes wanted, {} are there", self.0.len())))
            }
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| bad("a record is too short"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        self.take(len)
    }

    pub(super) fn position(&mut self) -> Result<Position> {
        Ok(Position { file: self.u32()?, offset: self.u64()? })
    }

    pub(super) fn attributes(&mut self) -> Result<Attributes> {
        Ok(Attributes { scope: self.u8()?, created: self.u64()?, modified: self.u64()?, origin: self.u64()? })
    }
}
