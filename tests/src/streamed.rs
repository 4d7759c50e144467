//! What a session does with streams: a pool receives what it sends itself.

use daxcow::{Error, ErrorKind, Pool, ReceiveOptions, Result, SendOptions};

fn sent(pool: &Pool, name: &str, parent: Option<&str>) -> Result<Vec<u8>> {
    let mut stream = Vec::new();
    let options = parent.map_or(SendOptions::new(), |parent| SendOptions::new().parent(parent));
    pool.send(name, options, &mut stream).map(|_| stream)
}

/// The snapshot `name`, or what is new in it since `parent`, sent and received as `to`.
///
/// # Errors
/// As [`Pool::send`] and [`Pool::receive`].
pub fn receive_own(pool: &Pool, name: &str, parent: Option<&str>, to: &str) -> Result<()> {
    let stream = sent(pool, name, parent)?;
    pool.receive(&mut stream.as_slice(), ReceiveOptions::new().name(to)).map(drop)
}

/// A half of the stream of snapshot `name`, received and kept.
///
/// # Errors
/// As [`Pool::send`] and [`Pool::receive`], and `Corrupt` where half a stream is taken for a whole one.
pub fn receive_half(pool: &Pool, name: &str) -> Result<()> {
    let stream = sent(pool, name, None)?;
    let options = ReceiveOptions::new().name("half").keep_partial(true);
    match pool.receive(&mut &stream[..stream.len() / 2], options) {
        Err(error) if error.kind() == ErrorKind::BadStream => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::new(ErrorKind::Corrupt, "half a stream is no whole one")),
    }
}

/// Gives up all that was kept of broken streams.
///
/// # Errors
/// As [`Pool::abort_receive`].
pub fn abort_receives(pool: &Pool) -> Result<()> {
    pool.partial_receives()?.iter().try_for_each(|partial| pool.abort_receive(&partial.identity))
}
