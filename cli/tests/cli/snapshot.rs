//! `snapshot create|list|delete|rollback|diff`.

use crate::support::{Sandbox, pattern};

fn with_database() -> Sandbox {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "app.pool/db"]);
    sandbox.put("app.pool/db/main.db", pattern(1 << 20, 1));
    sandbox.put("app.pool/other", "other");
    sandbox
}

#[test]
fn a_snapshot_keeps_what_was_there() {
    let sandbox = with_database();
    let printed = sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    assert!(printed.starts_with("monday: 2 files in "), "{printed}");
    sandbox.put("app.pool/db/main.db", pattern(1 << 20, 2));
    sandbox.ok(["rm", "app.pool/other"]);
    assert_eq!(sandbox.cat("app.pool/.snapshots/monday/db/main.db"), pattern(1 << 20, 1));
    assert_eq!(sandbox.cat("app.pool/.snapshots/monday/other"), b"other");
    assert_eq!(sandbox.cat("app.pool/db/main.db"), pattern(1 << 20, 2));
    sandbox.check();
}

#[test]
fn a_snapshot_of_paths_holds_only_them() {
    let sandbox = with_database();
    sandbox.ok(["snapshot", "create", "app.pool", "one", "db/main.db"]);
    sandbox.ok(["snapshot", "create", "app.pool", "two", "app.pool/db"]);
    sandbox.ok(["snapshot", "create", "app.pool/db", "three"]);
    for name in ["one", "two", "three"] {
        let root = format!("app.pool/.snapshots/{name}");
        assert_eq!(sandbox.ls(&root), ["db"], "{name}");
        assert_eq!(sandbox.cat(&format!("{root}/db/main.db")), pattern(1 << 20, 1), "{name}");
    }
    sandbox.fails(["snapshot", "create", "app.pool", "four", "missing"], &["missing"]);
    assert_eq!(sandbox.ls("app.pool/.snapshots"), ["one", "three", "two"]);
}

#[test]
fn list_shows_them_in_order_of_creation() {
    let sandbox = with_database();
    assert_eq!(sandbox.json(["snapshot", "list", "app.pool", "--json"]), serde_json::json!([]));
    for name in ["zulu", "alpha"] {
        sandbox.ok(["snapshot", "create", "app.pool", name, "--json"]);
    }
    let listed = sandbox.json(["snapshot", "list", "app.pool", "--json"]);
    assert_eq!(listed[0]["name"], "zulu");
    assert_eq!(listed[1]["name"], "alpha");
    assert_eq!(listed[1]["files"], 2);
    assert!(listed[0]["created"].as_str() <= listed[1]["created"].as_str());
    let text = sandbox.ok(["snapshot", "list", "app.pool"]);
    assert!(text.find("zulu") < text.find("alpha"), "{text}");
}

#[test]
fn delete_gives_the_space_back() {
    let sandbox = with_database();
    let used = || sandbox.json(["df", "app.pool", "--json"])[0]["used_bytes"].as_u64().unwrap();
    sandbox.ok(["snapshot", "create", "app.pool", "first"]);
    sandbox.ok(["snapshot", "delete", "app.pool", "first"]);
    let before = used();
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    sandbox.put("app.pool/db/main.db", pattern(1 << 20, 2));
    assert!(used() >= before + (1 << 20));
    sandbox.ok(["snapshot", "delete", "app.pool", "monday"]);
    assert!(used() < before + (1 << 20), "{} bytes used, {before} before", used());
    sandbox.fails(["snapshot", "delete", "app.pool", "monday"], &["app.pool", "monday"]);
    assert_eq!(sandbox.ok(["ls", "app.pool/.snapshots"]), "");
    sandbox.check();
}

#[test]
fn rollback_brings_files_back() {
    let sandbox = with_database();
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    sandbox.put("app.pool/db/main.db", "broken");
    sandbox.put("app.pool/later", "later");
    sandbox.ok(["rm", "app.pool/other"]);
    sandbox.ok(["snapshot", "rollback", "app.pool", "monday"]);
    assert_eq!(sandbox.cat("app.pool/db/main.db"), pattern(1 << 20, 1));
    assert_eq!(sandbox.cat("app.pool/other"), b"other");
    assert_eq!(sandbox.ls("app.pool"), ["db", "other"]);
    assert_eq!(sandbox.ls("app.pool/.snapshots"), ["monday"]);
    sandbox.fails(["snapshot", "rollback", "app.pool", "tuesday"], &["tuesday"]);
    sandbox.check();
}

#[test]
fn diff_says_what_changed_and_ends_with_3() {
    let sandbox = with_database();
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    assert_eq!(sandbox.ok(["snapshot", "diff", "app.pool", "monday"]), "");
    sandbox.ok(["cp", "app.pool/db/main.db", "main.db"]);
    let mut contents = pattern(1 << 20, 1);
    contents[300_000] ^= 1;
    sandbox.put("app.pool/db/main.db", contents);
    sandbox.put("app.pool/later", "later");
    sandbox.ok(["rm", "app.pool/other"]);
    let run = sandbox.run(["snapshot", "diff", "app.pool", "monday"]).expect(3);
    let changes = run.text();
    let lines: Vec<&str> = changes.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(lines, ["M db/main.db", "A later", "D other"]);
    sandbox.ok(["snapshot", "create", "app.pool", "tuesday"]);
    let between = sandbox.run(["snapshot", "diff", "app.pool", "monday", "tuesday"]).expect(3);
    assert_eq!(between.text(), changes);
    let json = sandbox.run(["snapshot", "diff", "app.pool", "monday", "--json"]).expect(3).text();
    let entries: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(entries[0]["change"], "modified");
    assert_eq!(entries[1], serde_json::json!({ "path": "later", "change": "added" }));
    sandbox.fails(["snapshot", "diff", "app.pool", "friday"], &["no snapshot 'friday'"]);
}

#[test]
fn diff_of_a_part_looks_at_that_part_only() {
    let sandbox = with_database();
    sandbox.ok(["snapshot", "create", "app.pool", "part", "db/main.db"]);
    sandbox.put("app.pool/later", "later");
    sandbox.ok(["snapshot", "diff", "app.pool", "part"]);
    sandbox.ok(["rm", "app.pool/db/main.db"]);
    assert_eq!(sandbox.run(["snapshot", "diff", "app.pool", "part"]).expect(3).text(), "D db/main.db\n");
}

#[test]
fn bad_names_are_refused() {
    let sandbox = with_database();
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    sandbox.fails(["snapshot", "create", "app.pool", "monday"], &["monday", "already"]);
    for name in ["", ".", "..", "a/b"] {
        sandbox.fails(["snapshot", "create", "app.pool", name], &["app.pool"]);
    }
    let long = "n".repeat(256);
    sandbox.fails(["snapshot", "create", "app.pool", &long], &["255"]);
    sandbox.run(["snapshot"]).expect(2);
    sandbox.run(["snapshot", "create", "app.pool"]).expect(2);
}
