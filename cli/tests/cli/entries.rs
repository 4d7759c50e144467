//! `mv`, `rm`, `mkdir` and `clone`.

use crate::support::{Sandbox, pattern};

#[test]
fn mkdir_needs_its_parent_or_p() {
    let sandbox = Sandbox::with_pool();
    sandbox.fails(["mkdir", "app.pool/a/b"], &["app.pool/a/b"]);
    sandbox.ok(["mkdir", "-p", "app.pool/a/b"]);
    sandbox.ok(["mkdir", "-p", "app.pool/a/b"]);
    sandbox.fails(["mkdir", "app.pool/a/b"], &["app.pool/a/b", "exists"]);
    assert_eq!(sandbox.ls("app.pool/a"), ["b"]);
    sandbox.put("app.pool/file", "");
    sandbox.fails(["mkdir", "-p", "app.pool/file/below"], &["app.pool/file/below"]);
    sandbox.fails(["mkdir", "outside"], &["outside"]);
}

#[test]
fn mv_renames_replaces_and_moves_into_directories() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "app.pool/dir"]);
    sandbox.put("app.pool/one", "1");
    sandbox.put("app.pool/two", "2");
    sandbox.ok(["mv", "app.pool/one", "app.pool/two"]);
    assert_eq!(sandbox.ls("app.pool"), ["dir", "two"]);
    assert_eq!(sandbox.cat("app.pool/two"), b"1");
    sandbox.put("app.pool/three", "3");
    sandbox.ok(["mv", "app.pool/two", "app.pool/three", "app.pool/dir"]);
    assert_eq!(sandbox.ls("app.pool"), ["dir"]);
    assert_eq!(sandbox.ls("app.pool/dir"), ["three", "two"]);
    sandbox.check();
}

#[test]
fn mv_refuses_what_cannot_be_renamed() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["create", "other.pool", "--size", "64M", "--sparse"]);
    sandbox.put("app.pool/one", "1");
    sandbox.put("app.pool/two", "2");
    sandbox.fails(["mv", "app.pool/missing", "app.pool/x"], &["app.pool/missing"]);
    sandbox.fails(
        ["mv", "app.pool/one", "app.pool/two", "app.pool/three"],
        &["app.pool/three: not a directory"],
    );
    sandbox.fails(["mv", "app.pool/one", "other.pool/one"], &["app.pool/one", "other.pool", "cp"]);
    sandbox.fails(["mv", "app.pool/one", "outside"], &["outside"]);
    sandbox.ok(["mkdir", "-p", "app.pool/a/b"]);
    sandbox.fails(["mv", "app.pool/a", "app.pool/a/b/c"], &["app.pool/a"]);
    assert_eq!(sandbox.ls("app.pool"), ["a", "one", "two"]);
}

#[test]
fn rm_removes_files_and_with_r_trees() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "-p", "app.pool/a/b/c"]);
    sandbox.put("app.pool/a/b/file", pattern(100_000, 3));
    sandbox.put("app.pool/file", "x");
    sandbox.fails(["rm", "app.pool/a"], &["app.pool/a", "-r"]);
    sandbox.ok(["rm", "app.pool/file"]);
    sandbox.ok(["rm", "-r", "app.pool/a"]);
    assert_eq!(sandbox.ls("app.pool"), Vec::<String>::new());
    sandbox.check();
}

#[test]
fn rm_says_what_it_cannot_remove() {
    let sandbox = Sandbox::with_pool();
    sandbox.put("app.pool/file", "x");
    sandbox.fails(["rm", "-r", "app.pool"], &["the pool itself"]);
    sandbox.fails(["rm", "app.pool/missing"], &["app.pool/missing"]);
    sandbox.ok(["rm", "-f", "app.pool/missing"]);
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    sandbox.fails(["rm", "app.pool/.snapshots/monday/file"], &["app.pool/.snapshots/monday/file"]);
    let run = sandbox.run(["rm", "app.pool/missing", "app.pool/file"]).expect(1);
    assert!(run.stderr.contains("app.pool/missing"), "{}", run.stderr);
    assert_eq!(sandbox.ls("app.pool"), Vec::<String>::new());
}

#[test]
fn a_clone_shares_all_blocks_until_one_side_is_written() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "app.pool/db"]);
    sandbox.put("app.pool/db/main.db", pattern(8 << 20, 1));
    let used = || sandbox.json(["df", "app.pool", "--json"])[0]["used_bytes"].as_u64().unwrap();
    let before = used();
    sandbox.ok(["clone", "app.pool/db", "app.pool/branch"]);
    let grown = used() - before;
    assert!(grown < 1 << 20, "a clone took {grown} bytes");
    sandbox.put("app.pool/branch/main.db", pattern(8 << 20, 2));
    assert_eq!(sandbox.cat("app.pool/db/main.db"), pattern(8 << 20, 1));
    assert_eq!(sandbox.cat("app.pool/branch/main.db"), pattern(8 << 20, 2));
    sandbox.check();
}

#[test]
fn clone_refuses_what_exists_and_other_pools() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["create", "other.pool", "--size", "64M", "--sparse"]);
    sandbox.put("app.pool/one", "1");
    sandbox.put("app.pool/two", "2");
    sandbox.fails(["clone", "app.pool/one", "app.pool/two"], &["app.pool/two", "exists"]);
    sandbox.fails(["clone", "app.pool/missing", "app.pool/three"], &["app.pool/missing"]);
    sandbox.fails(["clone", "app.pool/one", "other.pool/one"], &["other.pool", "cp"]);
    assert_eq!(sandbox.cat("app.pool/two"), b"2");
}

#[test]
fn a_directory_can_be_cloned_into_itself_as_it_was_before() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "app.pool/dir"]);
    sandbox.put("app.pool/dir/file", "1");
    sandbox.ok(["clone", "app.pool/dir", "app.pool/dir/branch"]);
    assert_eq!(sandbox.ls("app.pool/dir"), ["branch", "file"]);
    assert_eq!(sandbox.ls("app.pool/dir/branch"), ["file"]);
    sandbox.check();
}
