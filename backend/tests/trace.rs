//! The events of iomap: what a write decided, where it goes and where the old bytes are, and what a read of a hole is told.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use daxcow::{CreateOptions, File, FileOptions, Pool};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The events of iomap as lines, for the thread that listens.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "daxcow::iomap"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("the lines").push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The events while `run` runs.
fn events(run: impl FnOnce() -> daxcow::Result<()>) -> Vec<String> {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), run).expect("the operation");
    let lines = listener.0.lock().expect("the lines");
    lines.clone()
}

/// The fields of the one piece that `events` are about, at its begin.
fn piece(events: &[String]) -> &str {
    assert_eq!(events.len(), 2, "one begin and one end: {events:?}");
    assert!(events[0].starts_with("message=iomap_begin") && events[1].contains("outcome=Done"), "{events:?}");
    &events[0]
}

fn fixture() -> (tempfile::TempDir, Pool, File) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let options = CreateOptions::new().size(32 << 20).sparse(true);
    let pool = Pool::create(directory.path().join("test.pool"), &options).expect("a pool");
    let file = pool.open_file("/f", &FileOptions::new().read(true).write(true).create(true)).expect("a file");
    (directory, pool, file)
}

#[test]
fn a_write_goes_in_place_copies_converts_or_allocates_and_says_which() {
    let (_directory, pool, file) = fixture();
    let write = || events(|| file.write_at(&[1; 100], 5000));
    let fields = |events: &[String], wanted: &[&str]| {
        let found = piece(events);
        wanted.iter().for_each(|field| assert!(found.contains(field), "{field} is not in {found}"));
    };
    fields(&write(), &["intent=Write", "offset=4096", "blocks=1", "srcmap=hole", "action=Allocate"]);
    fields(&write(), &["mapping=written", "srcmap=written", "action=InPlace"]);
    pool.create_snapshot::<&str>("s", &[]).expect("a snapshot");
    let copy = write();
    fields(&copy, &["action=Copy"]);
    let place = |name: &str| {
        let after = piece(&copy).split_once(&format!(" {name}=written ")).expect("a block").1;
        after.split(' ').next().and_then(|number| number.parse::<u64>().ok()).expect("its number")
    };
    assert_ne!(place("mapping"), place("srcmap"), "the new block and the old one are two fields");
    fields(&write(), &["action=InPlace"]);
    file.allocate(4096, 4096, false).expect("allocated already");
    file.punch_hole(4096, 4096).expect("a hole");
    file.allocate(4096, 4096, false).expect("allocate");
    fields(&write(), &["srcmap=unwritten", "action=Convert"]);
}

#[test]
fn a_read_of_a_hole_is_told_all_of_it() {
    let (_directory, _pool, file) = fixture();
    file.set_len(1 << 20).expect("a hole");
    let mut into = [1; 3 * 4096];
    let found = events(|| file.read_exact_at(&mut into, 8192));
    let begin = piece(&found);
    for field in ["intent=Read", "offset=8192", "blocks=3", "mapping=hole", "srcmap=hole"] {
        assert!(begin.contains(field), "{field} is not in {begin}");
    }
    assert_eq!(into, [0; 3 * 4096]);
}
