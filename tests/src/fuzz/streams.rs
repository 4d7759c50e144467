//! Streams of snapshots with changed records, their chain of checksums mended or not, received where the parent is or is not:
//! the snapshot appears whole and can be used like any other, or an error says what is wrong and nothing new can be seen.

mod changes;

use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use daxcow::{
    CreateOptions, ErrorKind, FileKind, FileOptions, OpenOptions, Pool, ReceiveOptions, RollbackOptions,
    SendOptions,
};

use self::changes::{Change, apply};
use super::Bench;
use super::bases::{Bases, Kind as Base};
use super::clock::Clock;
use crate::anatomy::Image;
use crate::anatomy::stream::{Kind, POSITION, Stream, number, set_number};
use crate::place::Place;

/// Changes of one input.
const CHANGES_MAX: usize = 24;
/// Directories and files of a received snapshot that are looked at.
const NAMES_MAX: usize = 200;
/// Bytes of a file that are read, and allocated bytes up to which a snapshot is sent again: a few records can say what has
/// no end, by cloning a file onto itself again and again.
const BYTES_MAX: u64 = 1 << 20;
/// The name that a snapshot is received under, unless the input wants that of the stream.
const RECEIVED: &str = "received";

/// An input, read.
#[derive(Arbitrary, Clone, PartialEq, Eq, Debug)]
struct Input {
    /// Which stream, into which pool.
    base: u8,
    /// What is kept, mended, and named how.
    options: u8,
    /// Where the bytes end before their end, and one byte that is changed after the checksums were mended.
    cut: Option<u16>,
    patch: Option<(u16, u8)>,
    changes: Vec<Change>,
}

impl Input {
    fn keeps_partial(&self) -> bool {
        self.options & 1 != 0
    }

    /// Part of the stream comes before, as it was sent, and the changed one goes on there.
    fn goes_on(&self) -> bool {
        self.options & 2 != 0
    }

    fn own_name(&self) -> bool {
        self.options & 4 != 0
    }

    fn sealed(&self) -> bool {
        self.options & 0x38 != 0
    }
}

/// What is received, and where.
#[derive(Debug)]
pub(super) struct Material {
    streams: Vec<Stream>,
    /// An empty pool, one that has the parent by another stream, and the one that the streams came from.
    pools: [Image; 3],
}

/// A stream that builds upon a snapshot, among [`Material::streams`].
const INCREMENTAL: usize = 1;

impl Material {
    fn make(bases: &Bases) -> daxcow::Result<Material> {
        let (here, there) = (Place::new(), Place::new());
        let of = |kind: Base| &bases.iter().find(|base| base.kind == kind).expect("all are there").image;
        of(Base::Closed).store(&here.pool()).expect("the host has room");
        let pool = Pool::open(here.pool(), &OpenOptions::new())?;
        change(&pool)?;
        pool.create_snapshot::<&str>("t", &[])?;
        let sent = |name, options| {
            let mut bytes = Vec::new();
            pool.send(name, options, &mut bytes).map(|_| bytes)
        };
        let full = sent("s", SendOptions::new())?;
        let streams = [
            full.clone(),
            sent("t", SendOptions::new().parent("s"))?,
            sent("t", SendOptions::new())?,
            sent("part", SendOptions::new())?,
        ];
        pool.close()?;
        let other = Pool::create(there.pool(), &CreateOptions::new().size(16 << 20).sparse(true))?;
        other.receive(&mut full.as_slice(), ReceiveOptions::new())?;
        other.close()?;
        let load = |place: &Place| Image::load(&place.pool()).expect("the pool is there");
        let parse = |bytes: &Vec<u8>| Stream::parse(bytes).expect("a whole stream");
        let pools = [of(Base::Empty).clone(), load(&there), load(&here)];
        Ok(Material { streams: streams.iter().map(parse).collect(), pools })
    }
}

/// Changes of the base of every kind that a stream tells of.
fn change(pool: &Pool) -> daxcow::Result<()> {
    let open = |path: &str| pool.open_file(path, &FileOptions::new().read(true).write(true).create(true));
    open("/b")?.write_at(&[7; 9_000], 30_000)?;
    open("/b")?.punch_hole(8 << 10, 8 << 10)?;
    open("/tall")?.set_len(2 << 20)?;
    open("/new")?.write_at(&[8; 20_000], 0)?;
    open("/new")?.clone_range(&open("/d/e/f")?, 0, 40 << 10, 16 << 10)?;
    open("/new")?.allocate(80 << 10, 16 << 10, true)?;
    pool.rename("/tail", "/d/tail")?;
    pool.remove_file("/many/3")?;
    pool.remove_file("/many/4")?;
    pool.create_dir("/many/4")?;
    pool.hard_link("/b", "/many/b")
}

/// What a caller sees of a pool but the contents of files, which receiving has no way to.
#[derive(PartialEq, Eq, Debug)]
struct Sight {
    snapshots: Vec<daxcow::SnapshotInfo>,
    names: Vec<Vec<std::ffi::OsString>>,
}

struct Trial {
    clock: Clock,
}

impl Trial {
    /// The answer of a call, or nothing for an error that a stream may bring about.
    fn note<T>(&mut self, what: &str, answer: daxcow::Result<T>) -> Result<Option<T>, String> {
        self.clock.lap(what)?;
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(error) => match error.kind() {
                ErrorKind::BadStream
                | ErrorKind::UnsupportedVersion
                | ErrorKind::WrongBase
                | ErrorKind::AlreadyExists
                | ErrorKind::InvalidInput
                | ErrorKind::NameTooLong
                | ErrorKind::TooLarge
                | ErrorKind::NoSpace
                | ErrorKind::NoInodes => Ok(None),
                _ => Err(format!("{what}: {error:?}")),
            },
        }
    }

    /// The answer of a call that has to succeed.
    fn must<T>(&mut self, what: &str, answer: daxcow::Result<T>) -> Result<T, String> {
        let said = answer.as_ref().err().map(ToString::to_string);
        self.note(what, answer)?.ok_or_else(|| format!("{what}: {}", said.unwrap_or_default()))
    }

    fn sight(&mut self, pool: &Pool) -> Result<Sight, String> {
        let mut names = Vec::new();
        for directory in ["/", "/.snapshots"] {
            let entries = self.must("read_dir", pool.read_dir(directory))?;
            names.push(entries.into_iter().map(|entry| entry.name).collect());
        }
        Ok(Sight { snapshots: self.must("snapshots", pool.snapshots())?, names })
    }

    fn clean(&mut self, pool: &Pool, when: &str) -> Result<(), String> {
        let report = self.must("check", pool.check())?;
        match report.is_clean() && report.leaked_blocks == 0 {
            true => Ok(()),
            false => Err(format!("{when}: {report:#?}")),
        }
    }

    /// Uses a snapshot as any other: reads it, compares, sends it on, rolls back to it.
    fn use_snapshot(&mut self, pool: &Pool, name: &str) -> Result<(), String> {
        let top = std::path::PathBuf::from("/.snapshots").join(name);
        let mut waiting = vec![top.clone()];
        let (mut names, mut allocated) = (0, 0u64);
        while let Some(path) = waiting.pop() {
            names += 1;
            if names > NAMES_MAX {
                break;
            }
            let metadata = self.must("metadata", pool.metadata(&path))?;
            if metadata.kind == FileKind::Directory {
                let entries = self.must("read_dir", pool.read_dir(&path))?;
                waiting.extend(entries.into_iter().map(|entry| path.join(entry.name)));
                continue;
            }
            allocated = allocated.saturating_add(metadata.allocated_bytes);
            let file = self.must("open_file", pool.open_file(&path, &FileOptions::new().read(true)))?;
            let mut bytes = vec![0; usize::try_from(metadata.len.min(BYTES_MAX)).expect("bounded")];
            self.must("read_at", file.read_at(&mut bytes, 0))?;
            self.must("read_at the end", file.read_at(&mut [0; 5000], metadata.len.saturating_sub(4097)))?;
        }
        if allocated < 16 * BYTES_MAX {
            self.note("send", pool.send(name, SendOptions::new(), &mut std::io::sink()))?;
        }
        self.note("diff", pool.diff(&top, "/"))?;
        self.note("clone_tree", pool.clone_tree(&top, "/cloned"))?;
        self.note("rollback", pool.rollback(name, RollbackOptions { force: true }))?;
        self.clean(pool, "after the snapshot was used")?;
        self.must("delete_snapshot", pool.delete_snapshot(name))?;
        self.clean(pool, "after the snapshot was deleted")
    }
}

/// What goes on where the parts that were received end.
fn rest_of(stream: &Stream, position: (u64, u64)) -> Stream {
    let mut rest = stream.clone();
    set_number(&mut rest.header, POSITION[0], position.1);
    set_number(&mut rest.header, POSITION[1], position.0);
    rest.records.retain(|record| match record.kind() {
        Some(Kind::Data | Kind::Hole | Kind::Unwritten | Kind::Clone) => {
            (number(&record.payload, (0, 4)), number(&record.payload, (4, 8))) >= position
        }
        kind => kind == Some(Kind::End),
    });
    rest
}

/// The position in a token's text: the file and the offset, after two identities.
fn position_of(token: &str) -> (u64, u64) {
    let byte =
        |index: usize| token.get(index * 2..index * 2 + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    let bytes: Vec<u8> = (0..44).filter_map(byte).collect();
    (number(&bytes, (32, 4)), number(&bytes, (36, 8)))
}

/// Tries one input.
pub(super) fn run(bench: &Bench, input: &[u8]) -> Result<(), String> {
    static MATERIAL: OnceLock<Material> = OnceLock::new();
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(input)) else { return Ok(()) };
    let material = MATERIAL.get_or_init(|| Material::make(&bench.bases).expect("streams of the bases"));
    let which = usize::from(input.base) % material.streams.len();
    let receiver = usize::from(input.base) / material.streams.len() % material.pools.len();
    let path = bench.place.pool();
    material.pools[receiver].store_over(&path).map_err(|error| error.to_string())?;
    let mut trial = Trial { clock: Clock::start() };
    let pool = trial.must("open", Pool::open(&path, &OpenOptions::new()))?;
    let before = trial.sight(&pool)?;
    let mut stream = material.streams[which].clone();
    if input.goes_on() {
        let whole = stream.bytes(true);
        let part = whole.len() * usize::from(input.cut.unwrap_or(40_000)) / (1 << 16);
        let begun =
            pool.receive(&mut &whole[..part], ReceiveOptions::new().name(RECEIVED).keep_partial(true));
        if trial.note("receive a part", begun)?.is_some() {
            return Err(format!("{part} of {} bytes were a whole stream", whole.len()));
        }
        let partial = trial.must("partial_receives", pool.partial_receives())?;
        if let Some(token) = partial.first().and_then(|partial| partial.token) {
            stream = rest_of(&stream, position_of(&token.to_string()));
        }
    }
    input.changes.iter().take(CHANGES_MAX).for_each(|change| apply(&mut stream, change));
    let mut bytes = stream.bytes(input.sealed());
    if let Some((at, byte)) = input.patch {
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= byte;
    }
    if let (Some(cut), false) = (input.cut, input.goes_on()) {
        bytes.truncate(usize::from(cut));
    }
    let options = ReceiveOptions::new().keep_partial(input.keeps_partial());
    let options = if input.own_name() { options } else { options.name(RECEIVED) };
    let mended = input.sealed() || !input.goes_on();
    let untouched = input.changes.is_empty() && input.patch.is_none() && input.cut.is_none() && mended;
    match trial.note("receive", pool.receive(&mut bytes.as_slice(), options))? {
        Some(report) => {
            let after = trial.sight(&pool)?;
            if after.snapshots.len() != before.snapshots.len() + 1 || after.names[0] != before.names[0] {
                return Err(format!("{before:#?} has become {after:#?}"));
            }
            trial.clean(&pool, "after a receive")?;
            trial.use_snapshot(&pool, &report.name)?;
        }
        None if untouched && !input.own_name() && (which != INCREMENTAL || receiver != 0) => {
            return Err("a stream as it was sent was refused".to_owned());
        }
        None => {
            let after = trial.sight(&pool)?;
            if after != before {
                return Err(format!("a stream that was refused is seen: {before:#?} has become {after:#?}"));
            }
            let partial = trial.must("partial_receives", pool.partial_receives())?;
            if !partial.is_empty() && !input.keeps_partial() && !input.goes_on() {
                return Err(format!("kept without being asked: {partial:?}"));
            }
            trial.clean(&pool, "after a stream was refused")?;
            for partial in partial {
                trial.must("abort_receive", pool.abort_receive(&partial.identity))?;
            }
            trial.clean(&pool, "after what was kept is gone")?;
        }
    }
    trial.must("close", pool.close())
}
