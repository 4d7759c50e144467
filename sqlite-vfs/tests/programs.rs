//! The three ways in, each through the real program, and several processes that are killed at any moment.

mod common;

use common::{Fixture, check, number, program, run, shared_library, stdout, text};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const EXTENSION: &str = "daxcow-sqlite";
const PRELOAD: &str = "daxcow-sqlite-preload";
/// The distribution's own: others may be built without loadable extensions.
const PYTHON: &str = "/usr/bin/python3";

const STATEMENTS: &str = "CREATE TABLE t(a); INSERT INTO t VALUES(1),(2);\n\
                          SELECT daxcow_snapshot('s') IS NOT NULL;\n\
                          DELETE FROM t WHERE a=1;\n\
                          SELECT daxcow_rollback('s');\n\
                          SELECT sum(a) FROM t;\n\
                          PRAGMA journal_mode=WAL;\n\
                          INSERT INTO t VALUES(10);\n\
                          SELECT sum(a) FROM t;\n\
                          PRAGMA integrity_check;\n";
const ANSWERS: &str = "1\ns\n3\nwal\n13\nok\n";

#[test]
fn the_shell_loads_the_extension_and_opens_by_uri() {
    let fixture = Fixture::new();
    let library = shared_library(EXTENSION);
    let library = library.with_extension("");
    let database = fixture.path("main.db");
    let input = format!(
        ".load {}\n.open 'file:{}?vfs=daxcow'\n.vfsname\n{STATEMENTS}",
        library.display(),
        database.display()
    );
    assert_eq!(stdout(&program("sqlite3", &["-batch"], None, &input)), format!("daxcow\n{ANSWERS}"));
    assert_eq!(number(&fixture.connect("main.db"), "SELECT sum(a) FROM t"), 13);
}

#[test]
fn the_shell_needs_nothing_but_the_preload_library() {
    let fixture = Fixture::new();
    let library = shared_library(PRELOAD);
    let database = fixture.path("main.db");
    let output = program("sqlite3", &["-batch", &database.to_string_lossy()], Some(&library), STATEMENTS);
    assert_eq!(stdout(&output), ANSWERS);
    assert_eq!(number(&fixture.connect("main.db"), "SELECT sum(a) FROM t"), 13);
}

#[test]
fn paths_outside_of_a_pool_go_to_the_host() {
    let fixture = Fixture::new();
    let library = shared_library(PRELOAD);
    let database = fixture.host("host.db");
    let input =
        "CREATE TABLE t(a); INSERT INTO t VALUES(7); PRAGMA journal_mode=WAL;\n.vfsname\nSELECT a FROM t;\n";
    let output = program("sqlite3", &["-batch", &database.to_string_lossy()], Some(&library), input);
    assert_eq!(stdout(&output), "wal\nunix\n7\n");
    assert!(std::fs::read(database).expect("it is on the host").starts_with(b"SQLite format 3\0"));
}

#[test]
fn relative_paths_lead_through_the_pool() {
    let fixture = Fixture::new();
    let library = shared_library(PRELOAD);
    fixture.pool.create_dir("sub").expect("the directory is made");
    let output = Command::new("sqlite3")
        .args([
            "-batch",
            "test.pool/sub/../sub/main.db",
            "CREATE TABLE t(a); INSERT INTO t VALUES(5); SELECT a FROM t;",
        ])
        .current_dir(fixture.dir.path())
        .env("LD_PRELOAD", library)
        .output()
        .expect("sqlite3 starts");
    assert_eq!(stdout(&output), "5\n");
    assert_eq!(number(&fixture.connect("sub/main.db"), "SELECT a FROM t"), 5);
}

#[test]
fn python_uses_the_preload_library_and_the_extension() {
    let fixture = Fixture::new();
    let preload = shared_library(PRELOAD);
    let script = "import sqlite3, sys\n\
                  c = sqlite3.connect(sys.argv[1])\n\
                  c.execute('CREATE TABLE t(a)')\n\
                  c.execute('INSERT INTO t VALUES(4)')\n\
                  c.commit()\n\
                  print(c.execute('SELECT a FROM t').fetchone()[0])\n\
                  print(c.execute('PRAGMA integrity_check').fetchone()[0])\n";
    let path = fixture.path("preload.db");
    let output = program(PYTHON, &["-", &path.to_string_lossy()], Some(&preload), script);
    assert_eq!(stdout(&output), "4\nok\n");
    assert_eq!(number(&fixture.connect("preload.db"), "SELECT a FROM t"), 4);

    let extension = shared_library(EXTENSION).with_extension("");
    let load = format!(
        "import sqlite3, sys\n\
         m = sqlite3.connect(':memory:')\n\
         m.enable_load_extension(True)\n\
         m.load_extension('{}')\n\
         m.close()\n\
         sys.argv[1] = 'file:' + sys.argv[1] + '?vfs=daxcow'\n",
        extension.display()
    );
    let script = load + &script.replace("sys.argv[1])", "sys.argv[1], uri=True)");
    let path = fixture.path("extension.db");
    let output = program(PYTHON, &["-", &path.to_string_lossy()], None, &script);
    assert_eq!(stdout(&output), "4\nok\n");
    assert_eq!(number(&fixture.connect("extension.db"), "SELECT a FROM t"), 4);
}

/// As SQLite has it, a child must leave its parent's connections alone and opens its own.
#[test]
fn a_forked_child_opens_a_connection_of_its_own_beside_its_parents() {
    let fixture = Fixture::new();
    let script = "import os, sqlite3, sys\n\
                  c = sqlite3.connect(sys.argv[1])\n\
                  c.execute('CREATE TABLE t(a)')\n\
                  c.execute('INSERT INTO t VALUES(4)')\n\
                  c.commit()\n\
                  child = os.fork()\n\
                  if child == 0:\n\
                  \x20   own = sqlite3.connect(sys.argv[1])\n\
                  \x20   own.execute('INSERT INTO t VALUES(5)')\n\
                  \x20   own.commit()\n\
                  \x20   os._exit(0)\n\
                  print(os.waitpid(child, 0)[1])\n\
                  c.execute('INSERT INTO t VALUES(6)')\n\
                  c.commit()\n\
                  print(c.execute('SELECT count(*), sum(a) FROM t').fetchone())\n";
    let path = fixture.path("main.db");
    let output = program(PYTHON, &["-", &path.to_string_lossy()], Some(&shared_library(PRELOAD)), script);
    assert_eq!(stdout(&output), "0\n(3, 15)\n");
}

#[test]
fn the_preload_library_survives_a_shutdown_of_sqlite() {
    let fixture = Fixture::new();
    let library = shared_library(PRELOAD);
    let script = "import ctypes, sys\n\
                  lib = ctypes.CDLL('libsqlite3.so.0', mode=ctypes.RTLD_GLOBAL)\n\
                  opens = ctypes.CDLL(None)\n\
                  for round in range(3):\n\
                  \x20   db = ctypes.c_void_p()\n\
                  \x20   path = (sys.argv[1] + str(round)).encode()\n\
                  \x20   assert opens.sqlite3_open(path, ctypes.byref(db)) == 0\n\
                  \x20   assert lib.sqlite3_exec(db, b'CREATE TABLE t(a)', None, None, None) == 0\n\
                  \x20   assert lib.sqlite3_close(db) == 0\n\
                  \x20   assert lib.sqlite3_shutdown() == 0\n";
    let path = fixture.path("main");
    stdout(&program(PYTHON, &["-", &path.to_string_lossy()], Some(&library), script));
    for round in 0..3 {
        check(&fixture.connect(&format!("main{round}")));
    }
}

/// A Python process that runs `body` with the preload library, `c` being connected to the database without implicit
/// transactions, and prints a line when it is under way.
fn start(library: &Path, database: &Path, body: &str) -> Child {
    let script = format!(
        "import sqlite3, sys\n\
         c = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)\n\
         {body}"
    );
    Command::new(PYTHON)
        .args(["-c", &script, &database.to_string_lossy()])
        .env("LD_PRELOAD", library)
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts")
}

fn wait_for_line(child: &mut Child) {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it is read");
    assert_eq!(line.trim(), "ready");
}

fn kill(mut child: Child) {
    child.kill().expect("it is killed");
    child.wait().expect("it has ended");
}

#[test]
fn a_killed_writers_transaction_is_gone_and_the_next_writer_goes_on_at_once() {
    let library = shared_library(PRELOAD);
    for mode in ["DELETE", "WAL"] {
        let fixture = Fixture::new();
        let connection = fixture.connect("main.db");
        run(&connection, &format!("PRAGMA journal_mode={mode}; CREATE TABLE t(a); INSERT INTO t VALUES(1);"));
        let body = "c.execute('PRAGMA cache_size=5')\n\
                    c.execute('BEGIN IMMEDIATE')\n\
                    c.executemany('INSERT INTO t VALUES(?)', [('x' * 500,)] * 2000)\n\
                    print('ready', flush=True)\n\
                    import time; time.sleep(100)\n";
        let mut child = start(&library, &fixture.path("main.db"), body);
        wait_for_line(&mut child);
        kill(child);
        let start = std::time::Instant::now();
        run(&connection, "INSERT INTO t VALUES(2)");
        assert!(start.elapsed() < Duration::from_secs(2), "{mode}: waited {:?}", start.elapsed());
        assert_eq!(text(&connection, "SELECT group_concat(a) FROM t"), "1,2", "{mode}");
        check(&connection);
    }
}

#[test]
fn writers_killed_at_random_leave_whole_transactions_in_both_attached_databases() {
    let fixture = Fixture::new();
    kill_writers_of_two(&fixture, &fixture.path("two.db"));
}

#[test]
fn writers_killed_at_random_leave_whole_transactions_in_the_pool_and_on_the_host() {
    let fixture = Fixture::new();
    kill_writers_of_two(&fixture, &fixture.host("two.db"));
}

/// Kills writers of transactions over `one.db` in the pool and `two`, which must keep the same number of rows.
fn kill_writers_of_two(fixture: &Fixture, two: &Path) {
    use rand::{Rng, SeedableRng};
    let seed = common::seed("programs");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let library = shared_library(PRELOAD);
    let connection = fixture.connect("one.db");
    run(&connection, &format!("ATTACH '{}' AS two", two.display()));
    run(&connection, "CREATE TABLE t(a); CREATE TABLE two.t(a);");
    let body = format!(
        "c.execute('ATTACH ? AS two', ('{}',))\n\
         c.execute('PRAGMA cache_size=5')\n\
         print('ready', flush=True)\n\
         while True:\n\
         \x20   c.execute('BEGIN IMMEDIATE')\n\
         \x20   c.executemany('INSERT INTO main.t VALUES(?)', [('x' * 300,)] * 50)\n\
         \x20   c.executemany('INSERT INTO two.t VALUES(?)', [('x' * 300,)] * 50)\n\
         \x20   c.execute('COMMIT')\n",
        two.display()
    );
    let mut before = 0;
    for _ in 0..10 {
        let mut children = [(); 2].map(|()| start(&library, &fixture.path("one.db"), &body));
        for child in &mut children {
            wait_for_line(child);
        }
        std::thread::sleep(Duration::from_millis(random.random_range(1..200)));
        for child in children {
            kill(child);
        }
        let rows = number(&connection, "SELECT count(*) FROM t");
        assert_eq!(rows, number(&connection, "SELECT count(*) FROM two.t"), "seed {seed}");
        assert_eq!(rows % 50, 0, "seed {seed}");
        assert!(rows >= before, "seed {seed}: {rows} rows after {before}");
        before = rows;
        check(&connection);
        assert_eq!(text(&connection, "PRAGMA two.integrity_check"), "ok", "seed {seed}");
    }
    assert!(before > 0, "the writers committed");
}

#[test]
fn processes_take_turns_and_lose_no_update() {
    let library = shared_library(PRELOAD);
    for mode in ["DELETE", "WAL"] {
        let fixture = Fixture::new();
        let connection = fixture.connect("main.db");
        run(&connection, &format!("PRAGMA journal_mode={mode}; CREATE TABLE t(n); INSERT INTO t VALUES(0);"));
        let body = "for i in range(200):\n\
                    \x20   c.execute('UPDATE t SET n = n + 1')\n";
        let children = [(); 4].map(|()| start(&library, &fixture.path("main.db"), body));
        for _ in 0..100 {
            run(&connection, "UPDATE t SET n = n + 1");
        }
        for mut child in children {
            assert!(child.wait().expect("it ends").success(), "{mode}");
        }
        assert_eq!(number(&connection, "SELECT n FROM t"), 900, "{mode}");
        check(&connection);
    }
}

#[test]
fn snapshots_taken_while_another_process_writes_are_consistent() {
    let library = shared_library(PRELOAD);
    for mode in ["DELETE", "WAL"] {
        let fixture = Fixture::new();
        let connection = fixture.connect("main.db");
        run(
            &connection,
            &format!("PRAGMA journal_mode={mode}; CREATE TABLE t(a, b); CREATE INDEX i ON t(b);"),
        );
        let body = "c.execute('PRAGMA cache_size=5')\n\
                    print('ready', flush=True)\n\
                    n = 0\n\
                    while True:\n\
                    \x20   c.execute('BEGIN IMMEDIATE')\n\
                    \x20   c.executemany('INSERT INTO t VALUES(?, ?)', [(n, 'x' * (i * 7 % 400)) for i in range(100)])\n\
                    \x20   c.execute('COMMIT')\n\
                    \x20   n += 1\n";
        let mut child = start(&library, &fixture.path("main.db"), body);
        wait_for_line(&mut child);
        for round in 0..30 {
            let path = text(&connection, &format!("SELECT daxcow_snapshot('s{round}')"));
            let snapshot = rusqlite::Connection::open(path).expect("the snapshot opens");
            check(&snapshot);
            let torn = "SELECT count(*) FROM (SELECT a FROM t GROUP BY a HAVING count(*) != 100)";
            assert_eq!(number(&snapshot, torn), 0, "{mode} round {round}");
            drop(snapshot);
            run(&connection, &format!("SELECT daxcow_drop_snapshot('s{round}')"));
        }
        kill(child);
        check(&connection);
    }
}
