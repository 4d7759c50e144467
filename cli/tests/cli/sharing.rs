//! `dedupe` and `defrag`.

use crate::support::{Sandbox, pattern};

fn used(sandbox: &Sandbox) -> u64 {
    sandbox.json(["df", "app.pool", "--json"])[0]["used_bytes"].as_u64().unwrap()
}

#[test]
fn dedupe_says_what_came_free() {
    let sandbox = Sandbox::with_pool();
    for name in ["one", "two", "three"] {
        sandbox.put(&format!("app.pool/{name}"), pattern(1 << 20, 1));
    }
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    let before = used(&sandbox);
    let some = sandbox.json(["dedupe", "app.pool/one", "app.pool/two", "--json"]);
    assert_eq!(some["bytes_shared"], 1 << 20);
    assert_eq!(some["files"], 2);
    let text = sandbox.ok(["dedupe", "app.pool"]);
    assert!(text.starts_with("app.pool: 6 files, 2 MiB examined, 1 MiB came free, "), "{text}");
    assert!(used(&sandbox) <= before - (2 << 20), "{} used, {before} before", used(&sandbox));
    assert_eq!(sandbox.cat("app.pool/.snapshots/monday/three"), pattern(1 << 20, 1));
    sandbox.check();
    sandbox.fails(["dedupe", "app.pool/missing"], &["app.pool/missing", "no such file"]);
    sandbox.run(["dedupe"]).expect(2);
    sandbox.ok(["create", "other.pool", "--size", "16M", "--sparse"]);
    sandbox.fails(["dedupe", "app.pool", "other.pool"], &["other.pool", "not in the same pool"]);
}

#[test]
fn defrag_says_how_many_extents_there_are() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "app.pool/db"]);
    sandbox.put("app.pool/db/main", pattern(1 << 20, 1));
    sandbox.put("app.pool/other", pattern(1 << 20, 2));
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    let report = sandbox.json(["defrag", "app.pool/db", "app.pool/other", "--json"]);
    assert_eq!(report[0]["path"], "app.pool/db/main");
    assert_eq!(report[0]["extents_after"], 1);
    assert_eq!(report[1]["bytes_left"], 0);
    let text = sandbox.ok(["defrag", "app.pool"]);
    assert!(text.contains("app.pool/db/main: 1 extents, now 1\n"), "{text}");
    assert!(text.contains("\n4 files, 0 B moved, "), "{text}");
    assert_eq!(sandbox.cat("app.pool/db/main"), pattern(1 << 20, 1));
    sandbox.check();
    sandbox.fails(["defrag", "app.pool/missing", "--quiet"], &["app.pool/missing"]);
}

#[test]
fn trace_shows_what_iomap_does() {
    let sandbox = Sandbox::with_pool();
    sandbox.put("app.pool/f", pattern(8192, 1));
    let quiet = sandbox.run(["cat", "app.pool/f"]).expect(0);
    assert_eq!(quiet.stderr, "");
    let run = sandbox.run(["trace", "daxcow", "cat", "app.pool/f"]).expect(0);
    assert_eq!(run.stdout, pattern(8192, 1));
    let line = |event: &str| {
        let found = run.stderr.lines().find(|line| line.contains(event) && line.contains("daxcow::iomap"));
        found.unwrap_or_else(|| panic!("no {event} in {}", run.stderr))
    };
    for field in ["inode=", "intent=Read", "offset=0", "blocks=2", "mapping=written ", "srcmap=written "] {
        assert!(line("iomap_begin").contains(field), "{field}: {}", line("iomap_begin"));
    }
    assert!(line("iomap_end").contains("outcome=Done"), "{}", line("iomap_end"));
    assert_eq!(sandbox.run(["trace", "daxcow", "cat", "app.pool/missing"]).code, Some(1));
}
