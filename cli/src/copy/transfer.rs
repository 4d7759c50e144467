//! Moving the bytes: data only, holes stay holes.

use std::io::{Read, Write};

use anyhow::{Result, bail};

use super::ends::{Sink, Source};
use super::progress::Bar;

/// Large enough that a call costs nothing beside its bytes, small enough for the bar to move.
const BUFFER_BYTES: usize = 1 << 20;

/// Copies the data of `source` to the empty `sink` and gives it the same length.
pub(crate) fn copy(source: &impl Source, sink: &impl Sink, bar: &Bar) -> Result<()> {
    let len = source.len()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut offset = 0;
    while offset < len {
        let Some(data) = source.next_data(offset)? else { break };
        bar.advance(data.start.min(len) - offset);
        offset = data.start;
        let end = data.end.min(len);
        while offset < end {
            let count = read_some(source, &mut buffer, offset, end)?;
            sink.write_at(&buffer[..count], offset)?;
            offset += bytes(count);
            bar.advance(bytes(count));
        }
    }
    bar.advance(len.saturating_sub(offset));
    sink.set_len(len)
}

/// Writes all of `source` to `out` in order, zeros for holes.
pub(crate) fn stream_out(source: &impl Source, out: &mut impl Write, bar: &Bar) -> Result<()> {
    let len = source.len()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut offset = 0;
    while offset < len {
        let count = read_some(source, &mut buffer, offset, len)?;
        out.write_all(&buffer[..count])?;
        offset += bytes(count);
        bar.advance(bytes(count));
    }
    Ok(out.flush()?)
}

/// Reads from `offset`, at most to `end`; a file that has become shorter meanwhile is an error.
fn read_some(source: &impl Source, buffer: &mut [u8], offset: u64, end: u64) -> Result<usize> {
    let wanted = usize::try_from(end - offset).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
    match source.read_at(&mut buffer[..wanted], offset)? {
        0 => bail!("the file became shorter than {end} bytes while it was copied"),
        count => Ok(count),
    }
}

/// Writes all that can be read from `input` to the empty `sink`.
pub(crate) fn stream_in(mut input: impl Read, sink: &impl Sink) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut offset = 0;
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        sink.write_at(&buffer[..count], offset)?;
        offset += bytes(count);
    }
}

/// A count of bytes as a distance in a file.
fn bytes(count: usize) -> u64 {
    count as u64
}
