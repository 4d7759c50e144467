//! `check`, `grow` and `trim`.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::support::{Sandbox, pattern};

#[test]
fn check_counts_and_finds_nothing_in_a_sound_pool() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "app.pool/db"]);
    sandbox.put("app.pool/db/main.db", pattern(1 << 20, 1));
    sandbox.ok(["clone", "app.pool/db/main.db", "app.pool/db/copy.db"]);
    let report = sandbox.json(["check", "app.pool", "--json"]);
    assert_eq!(report["clean"], true);
    assert_eq!(report["problems"], serde_json::json!([]));
    assert_eq!(report["leaked_blocks"], 0);
    assert!(report["files"].as_u64() >= Some(2), "{report}");
    assert!(report["blocks_shared"].as_u64() >= Some(1), "{report}");
}

#[test]
fn check_finds_a_damaged_directory_and_repairs_it_when_asked() {
    let sandbox = Sandbox::with_pool();
    let name = "a-name-that-is-found-nowhere-else";
    sandbox.put(&format!("app.pool/{name}"), "contents");
    let path = sandbox.path("app.pool");
    let contents = std::fs::read(&path).unwrap();
    let pool = OpenOptions::new().write(true).open(&path).unwrap();
    let places: Vec<usize> =
        (0..contents.len() - name.len()).filter(|at| contents[*at..].starts_with(name.as_bytes())).collect();
    assert!(!places.is_empty());
    for place in places {
        pool.write_all_at(b"A", place as u64).unwrap();
    }
    let run = sandbox.run(["check", "app.pool"]).expect(4);
    assert!(run.text().contains("found"), "{}", run.text());
    let json = sandbox.run(["check", "app.pool", "--json"]).expect(4).text();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["clean"], false);
    assert!(!report["problems"][0]["structure"].as_str().unwrap().is_empty());
    // The name is beyond repair; the file is not.
    let repair = sandbox.run(["check", "--repair", "app.pool"]).expect(1).text();
    assert!(repair.contains("the name was taken away") && repair.contains("/lost+found/"), "{repair}");
    sandbox.run(["check", "--repair", "app.pool"]).expect(0);
    sandbox.check();
    let found = sandbox.ok(["ls", "app.pool/lost+found"]);
    let found = found.lines().find(|line| line.contains("inode-")).unwrap();
    let name = found.split_whitespace().find(|word| word.starts_with("inode-")).unwrap();
    assert_eq!(sandbox.cat(&format!("app.pool/lost+found/{name}")), b"contents");
    sandbox.run(["check", "no.pool"]).expect(8);
}

#[test]
fn grow_makes_room() {
    let sandbox = Sandbox::with_pool();
    sandbox.write("big", pattern(80 << 20, 1));
    sandbox.run(["cp", "big", "app.pool/big"]).expect(1);
    sandbox.ok(["grow", "app.pool", "128M"]);
    sandbox.ok(["cp", "big", "app.pool/big"]);
    assert_eq!(sandbox.cat("app.pool/big"), pattern(80 << 20, 1));
    let grown = sandbox.json(["grow", "app.pool", "+64M", "--json"]);
    assert_eq!(grown, serde_json::json!({ "size_bytes_before": 128 << 20, "size_bytes": 192 << 20 }));
    sandbox.check();
}

#[test]
fn a_pool_cannot_shrink() {
    let sandbox = Sandbox::with_pool();
    sandbox.fails(["grow", "app.pool", "32M"], &["app.pool"]);
    sandbox.run(["grow", "app.pool", "much"]).expect(2);
    sandbox.run(["grow", "app.pool"]).expect(2);
    assert_eq!(sandbox.json(["info", "app.pool", "--json"])["size_bytes"], 64 << 20);
}

#[test]
fn trim_gives_free_space_back_to_the_host() {
    let sandbox = Sandbox::with_pool();
    let allocated = || sandbox.path("app.pool").metadata().unwrap().blocks() * 512;
    sandbox.put("app.pool/big", pattern(32 << 20, 1));
    sandbox.put("app.pool/small", pattern(10_000, 2));
    let before = allocated();
    sandbox.ok(["rm", "app.pool/big"]);
    let trimmed = sandbox.json(["trim", "app.pool", "--json"])["trimmed_bytes"].as_u64().unwrap();
    assert!(trimmed >= 24 << 20, "{trimmed}");
    assert!(allocated() + (24 << 20) <= before, "{} bytes allocated, {before} before", allocated());
    assert_eq!(sandbox.cat("app.pool/small"), pattern(10_000, 2));
    sandbox.check();
}
