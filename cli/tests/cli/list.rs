//! `ls` and `cat`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::support::{Sandbox, pattern};

fn with_files() -> Sandbox {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "-p", "app.pool/db/old"]);
    sandbox.put("app.pool/db/main.db", pattern(10_000, 1));
    sandbox.put("app.pool/db/old/main.db", "old");
    sandbox.put("app.pool/notes", "notes");
    sandbox
}

#[test]
fn ls_prints_names_sorted_and_files_by_themselves() {
    let sandbox = with_files();
    assert_eq!(sandbox.ls("app.pool"), ["db", "notes"]);
    assert_eq!(sandbox.ls("app.pool/db/"), ["main.db", "old"]);
    assert_eq!(sandbox.ls("app.pool/notes"), ["app.pool/notes"]);
    let both = sandbox.ok(["ls", "app.pool/db", "app.pool/db/old"]);
    assert_eq!(both, "app.pool/db:\nmain.db\nold\n\napp.pool/db/old:\nmain.db\n");
}

#[test]
fn ls_goes_down_and_shows_snapshots_only_when_asked() {
    let sandbox = with_files();
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    let below = sandbox.ok(["ls", "-R", "app.pool"]);
    assert_eq!(below, "app.pool:\ndb\nnotes\n\napp.pool/db:\nmain.db\nold\n\napp.pool/db/old:\nmain.db\n");
    assert_eq!(sandbox.ok(["ls", "-a", "app.pool"]), ".snapshots\ndb\nnotes\n");
    assert_eq!(sandbox.ls("app.pool/.snapshots"), ["monday"]);
    assert_eq!(sandbox.ls("app.pool/.snapshots/monday/db"), ["main.db", "old"]);
}

#[test]
fn ls_long_and_json_show_sizes_and_kinds() {
    let sandbox = with_files();
    let long = sandbox.ok(["ls", "-l", "--bytes", "app.pool/db"]);
    let lines: Vec<Vec<&str>> = long.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..3], ["-rw", "1", "10000"]);
    assert_eq!(lines[1][5], "main.db");
    assert_eq!(lines[2][0], "drw");
    let listed = sandbox.json(["ls", "--json", "app.pool/db"]);
    assert_eq!(listed[0]["path"], "app.pool/db/main.db");
    assert_eq!(listed[0]["size_bytes"], 10_000);
    assert_eq!(listed[0]["allocated_bytes"], 12_288);
    assert_eq!(listed[1]["kind"], "directory");
}

#[test]
fn names_of_any_bytes_are_printed_as_they_are() {
    let sandbox = Sandbox::with_pool();
    let mut path = OsString::from("app.pool/");
    path.push(OsString::from_vec(b"caf\xe9".to_vec()));
    sandbox.ok([OsString::from("mkdir"), path]);
    assert_eq!(sandbox.run(["ls", "app.pool"]).expect(0).stdout, b"caf\xe9\n");
}

#[test]
fn cat_prints_files_one_after_the_other_and_zeros_for_holes() {
    let sandbox = with_files();
    let both = sandbox.run(["cat", "app.pool/db/old/main.db", "app.pool/notes"]).expect(0);
    assert_eq!(both.stdout, b"oldnotes");
    assert_eq!(sandbox.cat("app.pool/db/main.db"), pattern(10_000, 1));
    let sparse = std::fs::File::create(sandbox.path("sparse")).unwrap();
    sparse.set_len(100_000).unwrap();
    sandbox.ok(["cp", "sparse", "app.pool/sparse"]);
    assert_eq!(sandbox.cat("app.pool/sparse"), vec![0; 100_000]);
}

#[test]
fn a_missing_file_does_not_stop_the_others() {
    let sandbox = with_files();
    let run = sandbox.run(["cat", "app.pool/missing", "app.pool/notes"]).expect(1);
    assert_eq!(run.stdout, b"notes");
    assert!(run.stderr.contains("app.pool/missing"), "{}", run.stderr);
    let run = sandbox.run(["ls", "app.pool/missing", "app.pool/notes"]).expect(1);
    assert_eq!(run.stdout, b"app.pool/notes\n");
    sandbox.fails(["cat", "app.pool/db"], &["app.pool/db"]);
    sandbox.fails(["ls", "app.pool/notes/below"], &["app.pool/notes/below"]);
}
