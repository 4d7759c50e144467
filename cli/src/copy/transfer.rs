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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::ops::Range;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Ones in `data`, zeros elsewhere; beyond `end` nothing can be read, whatever the length says.
    struct Islands {
        data: Vec<Range<u64>>,
        len: u64,
        end: u64,
    }

    impl Source for Islands {
        fn len(&self) -> Result<u64> {
            Ok(self.len)
        }

        fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>> {
            let next = self.data.iter().find(|data| data.end > offset);
            Ok(next.map(|data| data.start.max(offset)..data.end))
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            let count = buffer.len().min(usize::try_from(self.end.saturating_sub(offset))?);
            for (byte, at) in buffer[..count].iter_mut().zip(offset..) {
                *byte = self.data.iter().any(|data| data.contains(&at)).into();
            }
            Ok(count)
        }
    }

    /// Notes which ranges were written, joined where they touch, and the length.
    #[derive(Default)]
    struct Written {
        ranges: RefCell<Vec<Range<u64>>>,
        len: RefCell<Option<u64>>,
    }

    impl Sink for Written {
        fn write_at(&self, written: &[u8], offset: u64) -> Result<()> {
            assert!(written.iter().all(|byte| *byte == 1), "a hole was written");
            let mut ranges = self.ranges.borrow_mut();
            let end = offset + bytes(written.len());
            match ranges.last_mut() {
                Some(last) if last.end == offset => last.end = end,
                _ => ranges.push(offset..end),
            }
            Ok(())
        }

        fn set_len(&self, len: u64) -> Result<()> {
            *self.len.borrow_mut() = Some(len);
            Ok(())
        }
    }

    #[test]
    fn only_data_is_written_and_the_length_is_kept() {
        let data = vec![0..10, MIB..4 * MIB + 1, 6 * MIB..7 * MIB];
        let source = Islands { data: data.clone(), len: 9 * MIB, end: 9 * MIB };
        let sink = Written::default();
        copy(&source, &sink, &Bar::hidden()).unwrap();
        assert_eq!(*sink.ranges.borrow(), data);
        assert_eq!(*sink.len.borrow(), Some(9 * MIB));
    }

    #[test]
    fn what_is_beyond_the_length_is_not_copied() {
        let source = Islands { data: vec![0..50, 50..MIB], len: 100, end: MIB };
        let sink = Written::default();
        copy(&source, &sink, &Bar::hidden()).unwrap();
        assert_eq!(sink.ranges.borrow().first(), Some(&(0..100)));
        assert_eq!(*sink.len.borrow(), Some(100));
    }

    #[test]
    fn a_source_that_shrinks_is_an_error_and_no_endless_loop() {
        let source = Islands { data: vec![0..MIB, MIB..3 * MIB], len: 3 * MIB, end: 2 * MIB };
        assert!(copy(&source, &Written::default(), &Bar::hidden()).is_err());
        assert!(stream_out(&source, &mut Vec::new(), &Bar::hidden()).is_err());
    }

    #[test]
    fn a_stream_has_zeros_for_holes() {
        let source = Islands { data: vec![2..4, MIB..MIB + 1], len: MIB + 2, end: MIB + 2 };
        let mut out = Vec::new();
        stream_out(&source, &mut out, &Bar::hidden()).unwrap();
        assert_eq!(bytes(out.len()), MIB + 2);
        let ones: Vec<usize> = (0..out.len()).filter(|at| out[*at] == 1).collect();
        assert_eq!(ones, [2, 3, 1 << 20]);
    }
}
