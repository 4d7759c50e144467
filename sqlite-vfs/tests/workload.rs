//! The same random statements on a pool and on the host's VFS: the results must be the same, and both databases sound.

mod common;

use common::{Fixture, check, run, text};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;

const ROUNDS: u32 = 6;
const STEPS: u32 = 60;

/// All rows of both tables, in order.
const CONTENT: &str = "SELECT coalesce(group_concat(k || ':' || length(v) || ':' || substr(v, 1, 8), ';'), '') FROM \
                       (SELECT 'a' || id AS k, v FROM a UNION ALL SELECT 'b' || id, v FROM b ORDER BY k)";

/// A statement or transaction; never random in SQL, so that both databases do the same.
fn statement(random: &mut StdRng) -> String {
    let table = ["a", "b"].choose(random).copied().unwrap_or("a");
    let id: u32 = random.random_range(0..400);
    let rows: u32 = random.random_range(1..200);
    let bytes: u32 = random.random_range(0..3000);
    let insert = format!(
        "INSERT OR REPLACE INTO {table}(id, v) WITH RECURSIVE c(i) AS (SELECT {id} UNION ALL SELECT i+1 FROM c WHERE \
         i < {}) SELECT i, printf('%08d', {id}) || hex(zeroblob({bytes} * (i % 7) / 7)) FROM c;",
        id + rows
    );
    match random.random_range(0..12) {
        0..5 => insert,
        5 => format!("DELETE FROM {table} WHERE id BETWEEN {id} AND {};", id + rows),
        6 => format!("UPDATE {table} SET v = 'u{id:07}' || v WHERE id % 5 = {};", id % 5),
        7 => format!("BEGIN; {insert} DELETE FROM a WHERE id % 3 = 0; ROLLBACK;"),
        8 => format!("BEGIN; {insert} SAVEPOINT s; DELETE FROM {table}; {insert} ROLLBACK TO s; COMMIT;"),
        9 => format!("BEGIN; {insert} SAVEPOINT s; DELETE FROM {table} WHERE id > {id}; RELEASE s; COMMIT;"),
        10 => "VACUUM;".to_owned(),
        _ => {
            let mode =
                ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF", "WAL"].choose(random).unwrap_or(&"WAL");
            // Without a journal, a rollback is undefined on the host.
            let mode = if *mode == "OFF" { "DELETE" } else { mode };
            format!("PRAGMA journal_mode={mode};")
        }
    }
}

fn prepare(connection: &Connection, page_bytes: u32, synchronous: &str) {
    run(
        connection,
        &format!("PRAGMA page_size={page_bytes}; PRAGMA synchronous={synchronous}; PRAGMA cache_size=10;"),
    );
    run(
        connection,
        "CREATE TABLE a(id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE b(id INTEGER PRIMARY KEY, v TEXT);",
    );
    run(connection, "CREATE INDEX av ON a(v); CREATE INDEX bv ON b(v);");
}

#[test]
fn random_statements_give_the_same_as_on_the_host() {
    let seed = common::seed("workload");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..ROUNDS {
        let page_bytes = 512 << random.random_range(0..8);
        let synchronous = ["OFF", "NORMAL", "FULL", "EXTRA"].choose(&mut random).copied().unwrap_or("FULL");
        let fixture = Fixture::new();
        let mut ours = fixture.connect("main.db");
        let theirs = Connection::open(fixture.host("host.db")).expect("opens");
        prepare(&ours, page_bytes, synchronous);
        prepare(&theirs, page_bytes, synchronous);
        for step in 0..STEPS {
            let sql = statement(&mut random);
            let place =
                || format!("seed {seed} round {round} step {step}, {page_bytes} bytes, {synchronous}: {sql}");
            run(&ours, &sql);
            run(&theirs, &sql);
            assert_eq!(text(&ours, CONTENT), text(&theirs, CONTENT), "{}", place());
            check(&ours);
            if random.random_ratio(1, 10) {
                ours = fixture.connect("main.db");
                run(&ours, "PRAGMA cache_size=10; PRAGMA mmap_size=100000000;");
                assert_eq!(text(&ours, CONTENT), text(&theirs, CONTENT), "reopened, {}", place());
            }
        }
    }
}
