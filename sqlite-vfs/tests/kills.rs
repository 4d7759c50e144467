//! Random transactions of several processes that are killed at random, compared with the same on the host's VFS.
//!
//! Each transaction notes its own statements in the table `log`, so whatever becomes of its process, what is committed is
//! what the log says: replaying it on the host must give the same rows. Compared are snapshots, taken while the processes
//! write, and the database itself, after all of them have been killed. The workers look for damage after every step.

mod common;

use common::{Fixture, check, number, run, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
/// How long the test goes on; `DAXCOW_SECONDS` says otherwise.
const DURATION: Duration = Duration::from_secs(12);
/// Tells a process of this test that it is a worker: its seed, the main database, the attached one or nothing.
const WORKER: &str = "DAXCOW_TEST_WORKER";
const TABLES: [&str; 3] = ["a", "b", "two.c"];

/// Statements that depend on nothing but the rows, for the first `tables` tables.
fn statements(random: &mut StdRng, tables: usize) -> String {
    let mut sql = String::new();
    for _ in 0..random.random_range(1..4) {
        let table = TABLES[..tables].choose(random).copied().unwrap_or("a");
        let id: u32 = random.random_range(0..200);
        let rows: u32 = random.random_range(1..40);
        let bytes: u32 = random.random_range(0..1500);
        let insert = format!(
            "INSERT OR REPLACE INTO {table}(id, v) WITH RECURSIVE c(i) AS (SELECT {id} UNION ALL SELECT i+1 FROM c WHERE \
             i < {}) SELECT i, printf('%08d', {bytes}) || hex(zeroblob({bytes} * (i % 7) / 7)) FROM c;",
            id + rows
        );
        sql += &match random.random_range(0..8) {
            0..4 => insert,
            4 => format!("DELETE FROM {table} WHERE id BETWEEN {id} AND {};", id + rows),
            5 => format!("UPDATE {table} SET v = 'u{id:07}' || substr(v, 1, 900) WHERE id % 5 = {};", id % 5),
            6 => format!("SAVEPOINT s; DELETE FROM {table}; {insert} ROLLBACK TO s; RELEASE s;"),
            _ => format!("SAVEPOINT s; DELETE FROM {table} WHERE id > {id}; {insert} RELEASE s;"),
        };
    }
    sql
}

/// Runs `sql`; that others are in the way is no failure.
fn attempt(connection: &Connection, sql: &str) {
    match connection.execute_batch(sql) {
        Err(error)
            if !matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ) =>
        {
            panic!("{error}: {sql}");
        }
        _ => {}
    }
}

/// What a worker does until it is killed.
#[test]
#[ignore = "a process of the test below"]
fn worker() {
    let task = std::env::var(WORKER).expect("it was started by the test below");
    let task: Vec<&str> = task.split('\n').collect();
    let mut random = StdRng::seed_from_u64(task[0].parse().expect("a seed"));
    daxcow_sqlite::register(true).expect("the VFS registers");
    let connection = Connection::open(task[1]).expect("the database opens");
    connection.busy_timeout(Duration::from_secs(30)).expect("the timeout is set");
    let attached = !task[2].is_empty();
    // SQLite commits several databases as one in these modes only.
    let modes: &[&str] = match attached {
        true => &["DELETE", "TRUNCATE", "PERSIST"],
        false => &["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL", "WAL"],
    };
    let levels: &[&str] =
        if attached { &["NORMAL", "FULL", "EXTRA"] } else { &["OFF", "NORMAL", "FULL", "EXTRA"] };
    if attached {
        run(&connection, &format!("ATTACH '{}' AS two;", task[2]));
    }
    run(&connection, "PRAGMA cache_size=10;");
    loop {
        let sql = statements(&mut random, if attached { 3 } else { 2 });
        match random.random_range(0..20) {
            0 => attempt(&connection, "VACUUM;"),
            1 => {
                let mode = modes.choose(&mut random).expect("there are some");
                attempt(&connection, &format!("PRAGMA journal_mode={mode};"));
            }
            2 => {
                let level = levels.choose(&mut random).expect("there are some");
                run(&connection, &format!("PRAGMA synchronous={level};"));
            }
            3..6 => run(&connection, &format!("BEGIN IMMEDIATE; {sql} ROLLBACK;")),
            _ => {
                run(
                    &connection,
                    &format!(
                        "BEGIN IMMEDIATE; {sql} INSERT INTO log(sql) VALUES('{}');",
                        sql.replace('\'', "''")
                    ),
                );
                let id = connection.last_insert_rowid();
                if attached {
                    run(&connection, &format!("INSERT INTO two.log(id) VALUES({id});"));
                }
                run(&connection, "COMMIT;");
                writeln!(std::io::stdout(), "\ncommitted {id}").expect("the test listens");
            }
        }
        check(&connection);
        if attached {
            assert_eq!(text(&connection, "PRAGMA two.integrity_check"), "ok");
        }
    }
}

/// The processes, and the greatest number of a transaction that one of them knows to be committed.
struct Workers {
    running: Vec<Child>,
    committed: Arc<AtomicI64>,
    killed: u64,
}

impl Workers {
    fn start(&mut self, seed: u64, main: &Path, attached: Option<&Path>) {
        let attached = attached.map_or(String::new(), |path| path.display().to_string());
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["--exact", "worker", "--ignored", "--nocapture"])
            .env(WORKER, format!("{seed}\n{}\n{attached}", main.display()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the worker starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let committed = Arc::clone(&self.committed);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(id) = line.strip_prefix("committed ").and_then(|id| id.parse().ok()) {
                    committed.fetch_max(id, Ordering::SeqCst);
                }
            }
        });
        self.running.push(child);
    }

    /// Kills one, which must have been working until then.
    fn kill(&mut self, index: usize, place: &str) {
        let mut child = self.running.swap_remove(index);
        child.kill().expect("it is killed");
        self.killed += 1;
        let status = child.wait().expect("it has ended");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{place}: the worker ended by itself: {status}");
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.running {
            if child.kill().is_ok() {
                child.wait().expect("it has ended");
            }
        }
    }
}

/// All rows of the tables, in order.
fn content(connection: &Connection) -> String {
    let tables = TABLES.map(|table| {
        let rows = "coalesce(group_concat(id || ':' || length(v) || ':' || substr(v, 1, 8), ';'), '')";
        text(connection, &format!("SELECT {rows} FROM (SELECT id, v FROM {table} ORDER BY id)"))
    });
    tables.join("\n")
}

/// The database on the host, and how many transactions of the log it has had.
struct Replay {
    host: Connection,
    done: i64,
}

impl Replay {
    /// Fails unless `ours` is sound and holds what its log makes on the host.
    fn compare(&mut self, ours: &Connection, place: &str) {
        assert_eq!(text(ours, "PRAGMA main.integrity_check"), "ok", "{place}");
        assert_eq!(text(ours, "PRAGMA two.integrity_check"), "ok", "{place}");
        let mut log =
            ours.prepare("SELECT id, sql FROM log WHERE id > ?1 ORDER BY id").expect("the log is there");
        let entries = log.query_map([self.done], |row| Ok((row.get(0)?, row.get(1)?)));
        for entry in entries.expect("the log is read") {
            let (id, sql): (i64, String) = entry.expect("the log is read");
            assert_eq!(id, self.done + 1, "{place}: a transaction is lost");
            run(&self.host, &format!("BEGIN; {sql} COMMIT;"));
            self.done = id;
        }
        assert_eq!(number(ours, "SELECT max(id) FROM log"), self.done, "{place}: committed work has gone");
        let halves =
            "SELECT count(*) FROM log WHERE sql LIKE '%two.c%' AND id NOT IN (SELECT id FROM two.log)";
        assert_eq!(number(ours, halves), 0, "{place}: half of a transaction is lost");
        let more = "SELECT count(*) FROM two.log WHERE id NOT IN (SELECT id FROM main.log)";
        assert_eq!(number(ours, more), 0, "{place}: half of a transaction was committed");
        assert_eq!(content(ours), content(&self.host), "{place}");
    }
}

/// Opens one database with the other attached.
fn open_two(main: &Path, two: &Path, flags: OpenFlags) -> Connection {
    let connection = Connection::open_with_flags(main, flags).expect("the database opens");
    connection.busy_timeout(Duration::from_secs(30)).expect("the timeout is set");
    run(&connection, &format!("ATTACH '{}' AS two;", two.display()));
    connection
}

fn create(connection: &Connection) {
    for table in TABLES {
        run(connection, &format!("CREATE TABLE {table}(id INTEGER PRIMARY KEY, v TEXT);"));
    }
    run(connection, "CREATE INDEX av ON a(v); CREATE INDEX two.cv ON c(v);");
    run(
        connection,
        "CREATE TABLE log(id INTEGER PRIMARY KEY, sql TEXT); CREATE TABLE two.log(id INTEGER PRIMARY KEY);
         INSERT INTO log VALUES(0, '');",
    );
}

/// Clones the databases of a snapshot, looks at them and writes to them, while the processes write to theirs.
fn write_to_a_clone(fixture: &Fixture, snapshot: &str, replay: &mut Replay, place: &str) {
    let top = format!("of-{snapshot}");
    fixture.pool.clone_tree(format!("/.snapshots/{snapshot}"), format!("/{top}")).expect("the clone is made");
    let [main, two] = ["main.db", "two.db"].map(|file| fixture.path(&format!("{top}/{file}")));
    let clone = open_two(&main, &two, OpenFlags::default());
    replay.compare(&clone, place);
    run(&clone, "BEGIN; DELETE FROM a WHERE id % 2; INSERT INTO two.c(v) SELECT v FROM b; COMMIT; VACUUM;");
    check(&clone);
    drop(clone);
    fixture.pool.remove_dir_all(format!("/{top}")).expect("the clone goes");
}

#[test]
fn what_killed_processes_have_committed_is_what_their_log_says() {
    let seed = common::seed("kills");
    let mut random = StdRng::seed_from_u64(seed);
    let fixture = Fixture::new();
    let [main, two] = ["main.db", "two.db"].map(|name| fixture.path(name));
    let host = open_two(&fixture.host("main.db"), &fixture.host("two.db"), OpenFlags::default());
    run(&host, "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY;");
    let page_bytes = 512 << random.random_range(0..8);
    let ours = open_two(&main, &two, OpenFlags::default());
    run(&ours, &format!("PRAGMA page_size={page_bytes}; PRAGMA two.page_size={page_bytes};"));
    create(&host);
    create(&ours);
    drop(ours);
    let mut replay = Replay { host, done: 0 };
    let mut workers = Workers { running: Vec::new(), committed: Arc::default(), killed: 0 };
    let seconds = std::env::var("DAXCOW_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + seconds.map_or(DURATION, Duration::from_secs);
    let mut clones = 0;
    for round in 0.. {
        let attached = random.random_bool(0.5).then_some(two.as_path());
        let place = format!("seed {seed} round {round}, {page_bytes} bytes, attached {}", attached.is_some());
        for _ in 0..WORKERS {
            workers.start(random.random(), &main, attached);
        }
        for step in 0..random.random_range(1..8) {
            std::thread::sleep(Duration::from_millis(random.random_range(1..200)));
            if random.random_bool(0.5) {
                workers.kill(random.random_range(0..WORKERS), &place);
                workers.start(random.random(), &main, attached);
            } else {
                let name = format!("s{round}-{step}");
                fixture.pool.create_snapshot::<&str>(&name, &[]).expect("the snapshot is taken");
                let [main, two] =
                    ["main.db", "two.db"].map(|file| fixture.path(&format!(".snapshots/{name}/{file}")));
                replay.compare(
                    &open_two(&main, &two, OpenFlags::SQLITE_OPEN_READ_ONLY),
                    &format!("{place}, snapshot {step}"),
                );
                if random.random_bool(0.5) {
                    clones += 1;
                    write_to_a_clone(&fixture, &name, &mut replay, &format!("{place}, clone {step}"));
                }
                fixture.pool.delete_snapshot(&name).expect("the snapshot goes");
            }
        }
        while let Some(last) = workers.running.len().checked_sub(1) {
            workers.kill(last, &place);
        }
        let ours = open_two(&main, &two, OpenFlags::default());
        replay.compare(&ours, &place);
        assert!(replay.done >= workers.committed.load(Ordering::SeqCst), "{place}: committed work is lost");
        // Several databases are one transaction in rollback modes only.
        run(&ours, "PRAGMA journal_mode=DELETE;");
        if Instant::now() > end {
            println!(
                "\nsqlite: {} transactions, {} rounds, {} kills, {clones} clones",
                replay.done,
                round + 1,
                workers.killed
            );
            assert!(replay.done > 0, "the workers committed");
            return;
        }
    }
}
