//! Performing a workload while the pool's stores are recorded, in step with the model.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;

use daxcow::sim::{Entry, Event, Fault, Recording};
use daxcow::{CreateOptions, FileOptions, OpenOptions, Pool};
use daxcow_tests::place::Place;
use rusqlite::{Connection, OpenFlags};

use crate::model::{Kept, Model, State};
use crate::workload::{Medium, Setup, Step, Workload};

/// Small, as every image is a copy.
const POOL_BYTES: u64 = 18 << 20;

/// A workload as it went.
pub(crate) struct Performed {
    pub(crate) workload: Workload,
    pub(crate) recording: Recording,
    /// How many events there were after each step.
    pub(crate) ends: Vec<usize>,
    /// The state before the first step and after each.
    pub(crate) states: Vec<State>,
    pub(crate) file_bytes: u64,
}

impl Performed {
    /// Steps that are complete after `point` events.
    pub(crate) fn complete(&self, point: usize) -> usize {
        self.ends.iter().filter(|&&end| end <= point).count()
    }

    /// Steps that were complete when the last sync of the whole pool before `point` began.
    pub(crate) fn synced(&self, point: usize) -> usize {
        let syncs_all =
            |event: &Event| matches!(event, Event::Flush { at: 0, len } if *len >= self.file_bytes);
        let entries = &self.recording.entries()[..point];
        // A sync is its flush, and a fence when it returns; the crash may be in between.
        let fence = entries.iter().rposition(|entry| entry.event == Event::Fence).unwrap_or(0);
        entries[..fence]
            .iter()
            .rposition(|entry| syncs_all(&entry.event))
            .map_or(0, |flush| self.complete(flush))
    }

    /// The same run without the flushes or fences of one line of the source, and the places in it where one is missing.
    pub(crate) fn with_fault(&self, fault: Fault) -> (Performed, Vec<usize>) {
        let is_forgotten = |entry: &Entry| match fault {
            Fault::SkipFlush(line) => matches!(entry.event, Event::Flush { .. }) && entry.site == line,
            Fault::SkipFence(line) => entry.event == Event::Fence && entry.site == line,
            Fault::PublishEarly(_) => false,
        };
        let mut kept = 0;
        let (mut places, mut missing) = (vec![0], Vec::new());
        for entry in self.recording.entries() {
            if is_forgotten(entry) {
                missing.push(kept);
            } else {
                kept += 1;
            }
            places.push(kept);
        }
        let faulty = Performed {
            workload: self.workload.clone(),
            recording: self.recording.with_fault(fault, &[]).0,
            ends: self.ends.iter().map(|&end| places[end]).collect(),
            states: self.states.clone(),
            file_bytes: self.file_bytes,
        };
        (faulty, missing)
    }
}

/// Opens the databases of `setup` in the pool at `pool`.
///
/// # Errors
/// What SQLite says.
pub(crate) fn connect(pool: &Path, setup: &Setup) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(pool.join("main.db"))?;
    if setup.attached {
        connection.execute("ATTACH ?1 AS two", [pool.join("two.db").to_string_lossy()])?;
    }
    Ok(connection)
}

/// Performs `workload`.
///
/// # Panics
/// If a step fails.
pub(crate) fn perform(workload: &Workload) -> Performed {
    let place = match workload.setup.medium {
        Medium::Line => Place::new(),
        Medium::Page => Place::on_disk(),
    };
    let path = place.pool();
    let options = CreateOptions::new().size(POOL_BYTES).sparse(true);
    Pool::create(&path, &options).and_then(Pool::close).expect("a new pool");
    let pool = Pool::open_shared(&path, &OpenOptions::new()).expect("the pool opens");
    let mut model = Model::new(&workload.setup);
    let mut session = Session { pool: &pool, path: &path, setup: workload.setup, connections: Vec::new() };
    if workload.hot_journal {
        import_hot_journal(place.path(), workload, &pool);
        workload.before.iter().for_each(|step| model.step(step));
    } else {
        session.open();
        workload.before.iter().for_each(|step| {
            session.step(step);
            model.step(step);
        });
    }
    pool.sync().expect("the pool is synced");
    let mut state = State { databases: model.databases(), ..State::default() };
    let (mut ends, mut states) = (Vec::new(), vec![state.clone()]);
    pool.record().expect("the recording begins");
    for step in &workload.steps {
        session.step(step);
        ends.push(pool.recorded_events());
        model.step(step);
        state.databases = model.databases();
        follow(&mut state, step, &pool);
        states.push(state.clone());
    }
    let recording = pool.stop_recording().expect("it was recorded");
    let file_bytes = std::fs::metadata(&path).expect("the pool is there").len();
    Performed { workload: workload.clone(), recording, ends, states, file_bytes }
}

/// What a step does to snapshots and clones.
fn follow(state: &mut State, step: &Step, pool: &Pool) {
    match step {
        Step::Snapshot(name) => {
            let content = state.databases["main"].clone();
            state.snapshots.insert(
                name.clone(),
                Kept { bytes: bytes_of_snapshot(pool, name).expect("it is there"), content },
            );
        }
        Step::DropSnapshot(name) => {
            state.snapshots.remove(name);
        }
        Step::Clone(name) => {
            state.clones.insert(name.clone(), state.databases["main"].clone());
        }
        _ => {}
    }
}

/// A hash of the names and bytes of all files of a snapshot of files in the root.
///
/// # Errors
/// What the pool says.
pub(crate) fn bytes_of_snapshot(pool: &Pool, name: &str) -> daxcow::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let directory = Path::new("/.snapshots").join(name);
    for entry in pool.read_dir(&directory)? {
        let file = pool.open_file(directory.join(&entry.name), &FileOptions::new().read(true))?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        let found = file.read_at(&mut bytes, 0)?;
        (entry.name, found, bytes).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// The connections that perform the steps.
struct Session<'a> {
    pool: &'a Pool,
    path: &'a Path,
    setup: Setup,
    /// The first and, once it is needed, the second.
    connections: Vec<Connection>,
}

impl Session<'_> {
    fn open(&mut self) {
        let connection = connect(self.path, &self.setup).expect("the database opens");
        run(&connection, &self.setup.pragmas());
        self.connections.push(connection);
    }

    fn connection(&mut self, number: usize) -> &Connection {
        while self.connections.len() <= number {
            self.open();
        }
        &self.connections[number]
    }

    fn step(&mut self, step: &Step) {
        let call = |function: &str, argument: &str| format!("SELECT {function}('{argument}')");
        match step {
            Step::Write(sql) | Step::Quiet(sql) => run(self.connection(0), sql),
            Step::WriteOfOther(sql) | Step::QuietOfOther(sql) => run(self.connection(1), sql),
            Step::Snapshot(name) => run(self.connection(0), &call("daxcow_snapshot", name)),
            Step::DropSnapshot(name) => run(self.connection(0), &call("daxcow_drop_snapshot", name)),
            Step::Rollback(name) => run(self.connection(0), &call("daxcow_rollback", name)),
            Step::Clone(name) => run(self.connection(0), &call("daxcow_clone", name)),
            Step::Reopen => {
                self.connections.clear();
                self.open();
            }
        }
        assert!(self.pool.recorded_events() < 3_000_000, "a workload is to be short: {step:?}");
    }
}

/// Runs `sql`, which must succeed.
fn run(connection: &Connection, sql: &str) {
    connection.execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// Makes the database of `workload` on the host and copies it, with its rollback journal, in the middle of a spilled
/// transaction.
fn import_hot_journal(directory: &Path, workload: &Workload, pool: &Pool) {
    let path = directory.join("host.db");
    let uri = format!("file:{}?vfs=unix", path.display());
    let host = Connection::open_with_flags(uri, OpenFlags::default()).expect("the host has room");
    run(&host, &format!("PRAGMA page_size={}; PRAGMA cache_size=5;", workload.setup.page_bytes));
    for step in &workload.before {
        match step {
            Step::Write(sql) => run(&host, sql),
            other => panic!("on the host there is no {other:?}"),
        }
    }
    run(&host, "BEGIN; UPDATE a SET v = 'lost' || v; DELETE FROM b; UPDATE a SET v = v || 'lost';");
    for suffix in ["", "-journal"] {
        let bytes = std::fs::read(directory.join(format!("host.db{suffix}"))).expect("it is there");
        assert!(bytes.len() > 512, "the transaction is on the disk");
        let options = FileOptions::new().write(true).create_new(true);
        let file = pool.open_file(format!("/main.db{suffix}"), &options).expect("it is made");
        file.write_at(&bytes, 0).expect("it is written");
    }
}
