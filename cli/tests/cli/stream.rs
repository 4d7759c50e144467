//! `send` and `receive`.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Sandbox, pattern};

fn two_pools() -> Sandbox {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["create", "other.pool", "--size", "32M", "--sparse"]);
    sandbox.ok(["mkdir", "app.pool/db"]);
    sandbox.put("app.pool/db/main", pattern(4 << 20, 1));
    sandbox.put("app.pool/notes", "notes");
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    sandbox
}

/// Writes the stream of a snapshot to a host file.
fn send(sandbox: &Sandbox, arguments: &[&str], to: &str) {
    let mut all = vec!["send"];
    all.extend(arguments);
    let status = sandbox.command(all).stdout(File::create(sandbox.path(to)).unwrap()).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

/// Receives from a host file: exit status and standard error.
fn receive(sandbox: &Sandbox, arguments: &[&str], from: &str) -> (Option<i32>, String) {
    let mut all = vec!["receive"];
    all.extend(arguments);
    let output = sandbox.command(all).stdin(File::open(sandbox.path(from)).unwrap()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_snapshot_goes_from_pool_to_pool_and_then_what_is_new() {
    let sandbox = two_pools();
    send(&sandbox, &["app.pool", "monday"], "full");
    assert_eq!(receive(&sandbox, &["other.pool"], "full"), (Some(0), String::new()));
    assert_eq!(sandbox.cat("other.pool/.snapshots/monday/db/main"), pattern(4 << 20, 1));
    let mut contents = pattern(4 << 20, 1);
    contents[1_000_000] ^= 1;
    sandbox.ok(["cp", "app.pool/db/main", "main"]);
    sandbox.write("main", &contents);
    sandbox.ok(["cp", "main", "app.pool/db/main"]);
    sandbox.ok(["rm", "app.pool/notes"]);
    sandbox.ok(["snapshot", "create", "app.pool", "tuesday"]);
    send(&sandbox, &["app.pool", "tuesday", "--parent", "monday"], "changes");
    let size = |name| sandbox.path(name).metadata().unwrap().len();
    assert!(size("changes") < 20_000, "{} bytes for one changed block", size("changes"));
    let (code, error) = receive(&sandbox, &["other.pool/copy", "--name", "day2"], "changes");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(sandbox.ls("other.pool/.snapshots"), ["day2", "monday"]);
    assert_eq!(sandbox.cat("other.pool/.snapshots/day2/db/main"), contents);
    assert_eq!(sandbox.ls("other.pool/copy"), ["db"]);
    assert_eq!(sandbox.cat("other.pool/copy/db/main"), contents);
    let report = sandbox.ok(["check", "other.pool"]);
    assert!(report.contains("no damage found"), "{report}");
}

#[test]
fn bad_streams_and_wrong_pools_are_refused_and_leave_nothing() {
    let sandbox = two_pools();
    send(&sandbox, &["app.pool", "monday"], "full");
    sandbox.ok(["snapshot", "create", "app.pool", "tuesday"]);
    send(&sandbox, &["app.pool", "tuesday", "-p", "monday"], "changes");
    let mut bytes = std::fs::read(sandbox.path("full")).unwrap();
    sandbox.write("cut", &bytes[..100_000]);
    bytes[50_000] ^= 4;
    sandbox.write("damaged", &bytes);
    sandbox.write("foreign", "not a stream at all, but long enough to be looked at: ".repeat(5));
    for (stream, says) in [
        ("cut", "cut short"),
        ("damaged", "damaged"),
        ("foreign", "not a stream"),
        ("changes", "does not have"),
    ] {
        let (code, error) = receive(&sandbox, &["other.pool"], stream);
        assert_eq!(code, Some(1), "{stream}");
        assert!(error.starts_with("daxcow: other.pool: ") && error.contains(says), "{stream}: {error}");
        assert_eq!(sandbox.ok(["ls", "other.pool/.snapshots"]), "", "{stream}");
        assert_eq!(sandbox.ok(["receive", "other.pool", "--status"]), "", "{stream}");
    }
    assert_eq!(receive(&sandbox, &["other.pool"], "full").0, Some(0));
    let (code, error) = receive(&sandbox, &["other.pool"], "full");
    assert!(code == Some(1) && error.contains("already"), "{error}");
    sandbox.fails(["send", "app.pool", "friday"], &["no snapshot friday"]);
    sandbox.run(["send", "app.pool", "monday", "--resume", "123"]).expect(2);
}

#[test]
fn a_receiver_that_was_killed_goes_on_where_it_was() {
    let sandbox = two_pools();
    send(&sandbox, &["app.pool", "monday"], "full");
    let bytes = std::fs::read(sandbox.path("full")).unwrap();
    let mut child = sandbox
        .command(["receive", "other.pool", "--resumable"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&bytes[..bytes.len() / 2]).unwrap();
    let status = || sandbox.json(["receive", "other.pool", "--status", "--json"]);
    let patience = Instant::now() + Duration::from_secs(60);
    let far_enough = |status: &serde_json::Value| {
        status[0]["allocated_bytes"].as_u64().is_some_and(|bytes| bytes >= 1 << 20)
    };
    while !far_enough(&status()) {
        assert!(Instant::now() < patience, "nothing is received: {}", status());
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(pipe);
    assert_eq!(sandbox.ok(["ls", "other.pool/.snapshots"]), "");
    let partial = status();
    assert_eq!(partial[0]["name"], "monday");
    let token = partial[0]["token"].as_str().unwrap();
    send(&sandbox, &["app.pool", "monday", "--resume", token], "rest");
    let size = |name| sandbox.path(name).metadata().unwrap().len();
    assert!(size("rest") < size("full") * 3 / 4, "{} of {}", size("rest"), size("full"));
    let (code, error) = receive(&sandbox, &["other.pool"], "rest");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(sandbox.cat("other.pool/.snapshots/monday/db/main"), pattern(4 << 20, 1));
    assert_eq!(sandbox.ok(["receive", "other.pool", "--status"]), "");
    let report = sandbox.ok(["check", "other.pool"]);
    assert!(report.contains("no damage found"), "{report}");
}

#[test]
fn what_was_received_can_be_given_up() {
    let sandbox = two_pools();
    send(&sandbox, &["app.pool", "monday"], "full");
    let bytes = std::fs::read(sandbox.path("full")).unwrap();
    sandbox.write("half", &bytes[..bytes.len() / 2]);
    assert_eq!(receive(&sandbox, &["other.pool", "-s"], "half").0, Some(1));
    let text = sandbox.ok(["receive", "other.pool", "--status"]);
    assert!(text.contains("monday"), "{text}");
    let partial = sandbox.json(["receive", "other.pool", "--status", "--json"]);
    let identity = partial[0]["identity"].as_str().unwrap();
    let used = || sandbox.json(["df", "other.pool", "--json"])[0]["used_bytes"].as_u64().unwrap();
    let before = used();
    sandbox.ok(["receive", "other.pool", "--abort", identity]);
    assert!(used() + (1 << 20) < before, "{} bytes used, {before} before", used());
    assert_eq!(sandbox.ok(["receive", "other.pool", "--status"]), "");
    sandbox.fails(["receive", "other.pool", "--abort", identity], &["nothing has been received"]);
}
