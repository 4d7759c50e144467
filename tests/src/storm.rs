//! Several processes on one pool, killed at random moments while the others go on.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use daxcow::{CreateOptions, FileKind, OpenOptions, Pool};

use crate::fixture;
use crate::place::Place;
use crate::rng::Rng;
use crate::worker;

/// How long the workers may take to end when they are told to.
const ENDING_MAX: Duration = Duration::from_secs(60);

/// What the tables of a pool may keep, in bytes, once many inodes were in use at a time.
const TABLES_MAX: u64 = 4 << 20;

/// A storm.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program and its first arguments; role, pool, number and seed follow.
    pub program: Vec<String>,
    /// Processes at a time.
    pub workers: usize,
    /// How long it lasts.
    pub duration: Duration,
    /// Mean time between two kills; none are killed where it is `None`.
    pub kill_every: Option<Duration>,
    /// Whether this process has the pool open meanwhile. If not, the last one to go may have been killed, and the next
    /// opener recovers.
    pub watched: bool,
    /// The directory on the host; the default place where it is `None`.
    pub place: Option<PathBuf>,
}

/// What a storm did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Summary {
    /// Processes started.
    pub started: u64,
    /// Processes killed.
    pub killed: u64,
    /// Acknowledged commits of stamps.
    pub stamps: u64,
    /// Acknowledged additions to the counter.
    pub counts: u64,
    /// The longest operation of a worker, in microseconds.
    pub longest_us: u64,
}

/// A running worker.
struct Running {
    child: Child,
    role: &'static str,
}

struct Storm<'p> {
    plan: &'p Plan,
    pool: PathBuf,
    seed: u64,
    rng: Rng,
    workers: Vec<Running>,
    summary: Summary,
    /// The highest stamp that was acknowledged.
    stamp: Arc<AtomicU64>,
    /// Acknowledged additions.
    counts: Arc<AtomicU64>,
    /// The longest operation that was reported.
    longest: Arc<AtomicU64>,
    killed_counters: u64,
    /// Threads that read what the workers report, to the end of each pipe.
    readers: Vec<JoinHandle<()>>,
}

/// Runs a storm and judges what is left of the pool.
///
/// # Errors
/// What went wrong, as a sentence.
pub fn run(plan: &Plan, seed: u64) -> Result<Summary, String> {
    let place = plan.place.as_deref().map_or_else(Place::new, Place::within);
    let pool =
        Pool::create(place.pool(), &CreateOptions::new().size(512 << 20).sparse(true)).map_err(text)?;
    fixture::warm_up(&pool).map_err(text)?;
    let at_start = pool.usage().map_err(text)?.free_bytes;
    worker::prepare(&pool).map_err(text)?;
    let watcher = plan.watched.then_some(pool);
    let mut storm = Storm {
        plan,
        pool: place.pool(),
        seed,
        rng: Rng::new(seed),
        workers: Vec::new(),
        summary: Summary::default(),
        stamp: Arc::default(),
        counts: Arc::default(),
        longest: Arc::default(),
        killed_counters: 0,
        readers: Vec::new(),
    };
    let outcome = storm.rage();
    for Running { child, .. } in &mut storm.workers {
        // One that has ended cannot be killed any more, and all are waited for.
        if child.kill().is_ok() {
            child.wait().map_err(|error| error.to_string())?;
        }
    }
    outcome?;
    let pool = match watcher {
        Some(pool) => pool,
        None => Pool::open(place.pool(), &OpenOptions::new()).map_err(text)?,
    };
    storm.judge(&pool)?;
    clear(&pool)?;
    pool.close().map_err(text)?;
    let pool = Pool::open(place.pool(), &OpenOptions::new()).map_err(text)?;
    expect_clean(&pool)?;
    let report = pool.check().map_err(text)?;
    let at_end = pool.usage().map_err(text)?.free_bytes;
    if report.leaked_blocks > 0 || report.files > 0 || at_end + TABLES_MAX < at_start {
        return Err(format!(
            "{at_start} bytes were free before, {at_end} are after, of the empty pool: {report:?}"
        ));
    }
    Ok(storm.summary)
}

fn text(error: daxcow::Error) -> String {
    format!("{:?}: {error}", error.kind())
}

fn expect_clean(pool: &Pool) -> Result<(), String> {
    let report = pool.check().map_err(text)?;
    if report.is_clean() { Ok(()) } else { Err(format!("check found {:?}", report.problems)) }
}

/// Removes everything in the pool.
fn clear(pool: &Pool) -> Result<(), String> {
    for snapshot in pool.snapshots().map_err(text)? {
        pool.delete_snapshot(&snapshot.name).map_err(text)?;
    }
    for entry in pool.read_dir("/").map_err(text)? {
        let path = PathBuf::from("/").join(&entry.name);
        if entry.name == ".snapshots" {
            continue;
        }
        let removed = match entry.kind {
            FileKind::Directory => pool.remove_dir_all(&path),
            FileKind::File => pool.remove_file(&path),
        };
        removed.map_err(|error| format!("removing {}: {}", path.display(), text(error)))?;
    }
    expect_clean(pool)
}

impl Storm<'_> {
    fn rage(&mut self) -> Result<(), String> {
        for index in 0..self.plan.workers {
            self.start(worker::ROLES[index % worker::ROLES.len()])?;
        }
        let end = Instant::now() + self.plan.duration;
        while Instant::now() < end {
            let pause = self.plan.kill_every.map_or(Duration::from_millis(50), |mean| {
                let mean = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX);
                Duration::from_micros(self.rng.below(2 * mean))
            });
            std::thread::sleep(pause.min(end.saturating_duration_since(Instant::now())));
            self.none_ended()?;
            if self.plan.kill_every.is_some() {
                // Sometimes another one at once: who recovers the first may be the second.
                for _ in 0..=u8::from(self.rng.one_in(3)) {
                    self.kill_one()?;
                }
            }
        }
        self.end()
    }

    fn start(&mut self, role: &'static str) -> Result<(), String> {
        let mut command = Command::new(&self.plan.program[0]);
        command.args(&self.plan.program[1..]).arg(role).arg(&self.pool);
        command.arg(self.summary.started.to_string()).arg(self.seed.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{:?}: {error}", self.plan.program))?;
        self.summary.started += 1;
        if let Some(out) = child.stdout.take() {
            let (stamp, counts) = (Arc::clone(&self.stamp), Arc::clone(&self.counts));
            let longest = Arc::clone(&self.longest);
            self.readers.push(std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    if let Some(micros) = line.strip_prefix("wait ").and_then(crate::rng::parse_number) {
                        longest.fetch_max(micros, Ordering::SeqCst);
                    }
                    let number = line.strip_prefix("ack ").and_then(crate::rng::parse_number);
                    match (role, number) {
                        ("stamp", Some(number)) => drop(stamp.fetch_max(number, Ordering::SeqCst)),
                        ("count", Some(number)) => drop(counts.fetch_add(number, Ordering::SeqCst)),
                        _ => {}
                    }
                }
            }));
        }
        self.workers.push(Running { child, role });
        Ok(())
    }

    /// Fails if a worker ended by itself.
    fn none_ended(&mut self) -> Result<(), String> {
        for running in &mut self.workers {
            let status = running.child.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = status {
                return Err(format!(
                    "a {} worker ended ({status}): {}",
                    running.role,
                    last_words(&mut running.child)
                ));
            }
        }
        Ok(())
    }

    fn kill_one(&mut self) -> Result<(), String> {
        let victim = self.rng.index(self.workers.len());
        let mut running = self.workers.swap_remove(victim);
        running.child.kill().map_err(|error| error.to_string())?;
        let status = running.child.wait().map_err(|error| error.to_string())?;
        if status.code().is_some() {
            return Err(format!(
                "a {} worker ended ({status}): {}",
                running.role,
                last_words(&mut running.child)
            ));
        }
        self.summary.killed += 1;
        self.killed_counters += u64::from(running.role == "count");
        let role = if self.rng.one_in(2) { running.role } else { self.rng.pick(&worker::ROLES) };
        self.start(role)
    }

    /// Tells all to stop and waits for them: each must end well, and soon.
    fn end(&mut self) -> Result<(), String> {
        std::fs::write(worker::stop_file(&self.pool), "").map_err(|error| error.to_string())?;
        let deadline = Instant::now() + ENDING_MAX;
        while let Some(running) = self.workers.last_mut() {
            let Some(status) = running.child.try_wait().map_err(|error| error.to_string())? else {
                if Instant::now() > deadline {
                    return Err(format!("a {} worker does not end", running.role));
                }
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            if !status.success() {
                return Err(format!(
                    "a {} worker ended ({status}): {}",
                    running.role,
                    last_words(&mut running.child)
                ));
            }
            self.workers.pop();
        }
        Ok(())
    }

    /// What was acknowledged is there, and all is consistent.
    fn judge(&mut self, pool: &Pool) -> Result<(), String> {
        expect_clean(pool)?;
        for reader in self.readers.drain(..) {
            reader.join().map_err(|_| "a reader of reports panicked".to_owned())?;
        }
        self.summary.stamps = self.stamp.load(Ordering::SeqCst);
        self.summary.counts = self.counts.load(Ordering::SeqCst);
        self.summary.longest_us = self.longest.load(Ordering::SeqCst);
        let stamp = worker::shared_stamp(pool, "")?;
        if stamp < self.summary.stamps {
            return Err(format!("stamp {} was acknowledged, the files carry {stamp}", self.summary.stamps));
        }
        let counter = worker::counter(pool)?;
        let counted = self.summary.counts;
        // A worker killed between the store and its report has counted one more.
        if counter < counted || counter > counted + self.killed_counters {
            let killed = self.killed_counters;
            return Err(format!(
                "{counted} additions were acknowledged with {killed} kills, the counter is {counter}"
            ));
        }
        Ok(())
    }
}

/// What a worker that ended wrote last.
fn last_words(child: &mut Child) -> String {
    let mut text = String::new();
    match child.stderr.take().map(|mut err| err.read_to_string(&mut text)) {
        Some(Ok(_)) => text.trim_end().to_owned(),
        _ => "nothing can be read of what it said".into(),
    }
}

/// The default plan with a program.
#[must_use]
pub fn plan(program: &Path) -> Plan {
    Plan {
        program: vec![program.to_string_lossy().into_owned()],
        workers: 5,
        duration: Duration::from_secs(4),
        kill_every: Some(Duration::from_millis(60)),
        watched: true,
        place: None,
    }
}
