//! `cp`: every direction, holes, trees, and copies that fail or are killed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::process::Stdio;

use crate::support::{Sandbox, pattern};

#[test]
fn bytes_go_in_and_come_out_unchanged() {
    let sandbox = Sandbox::with_pool();
    for len in [0, 1, 4095, 4096, 4097, (3 << 20) + 17] {
        sandbox.write("in", pattern(len, 7));
        sandbox.ok(["cp", "in", "app.pool/file"]);
        sandbox.ok(["cp", "app.pool/file", "out"]);
        assert_eq!(fs::read(sandbox.path("out")).unwrap(), pattern(len, 7), "{len} bytes");
    }
    sandbox.check();
}

#[test]
fn a_directory_as_target_keeps_the_names() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "app.pool/dir"]);
    sandbox.write("one", "1");
    sandbox.write("two", "2");
    sandbox.ok(["cp", "one", "two", "app.pool/dir"]);
    assert_eq!(sandbox.ls("app.pool/dir"), ["one", "two"]);
    fs::create_dir(sandbox.path("back")).unwrap();
    sandbox.ok(["cp", "app.pool/dir/one", "app.pool/dir/two", "back"]);
    assert_eq!(fs::read(sandbox.path("back/two")).unwrap(), b"2");
    sandbox.fails(["cp", "one", "two", "app.pool/three"], &["app.pool/three: not a directory"]);
}

#[test]
fn holes_stay_holes_both_ways() {
    let sandbox = Sandbox::with_pool();
    let sparse = File::create(sandbox.path("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    sparse.write_all_at(b"middle", 512 << 20).unwrap();
    sandbox.ok(["cp", "sparse", "app.pool/sparse"]);
    let file = &sandbox.json(["ls", "--json", "app.pool/sparse"])[0];
    assert_eq!(file["size_bytes"], 1 << 30);
    assert!(file["allocated_bytes"].as_u64().unwrap() <= 64 << 10, "{file}");
    sandbox.ok(["cp", "app.pool/sparse", "out"]);
    let out = File::open(sandbox.path("out")).unwrap();
    let metadata = out.metadata().unwrap();
    assert_eq!(metadata.len(), 1 << 30);
    assert!(metadata.blocks() * 512 <= 4 << 20, "{} blocks", metadata.blocks());
    let mut found = [0; 8];
    out.read_exact_at(&mut found, (512 << 20) - 1).unwrap();
    assert_eq!(&found, b"\0middle\0");
}

#[test]
fn trees_go_in_and_come_out() {
    let sandbox = Sandbox::with_pool();
    fs::create_dir_all(sandbox.path("tree/a/b")).unwrap();
    fs::create_dir(sandbox.path("tree/empty")).unwrap();
    sandbox.write("tree/top", pattern(5000, 1));
    sandbox.write("tree/a/b/deep", pattern(50_000, 2));
    symlink("top", sandbox.path("tree/link")).unwrap();
    sandbox.fails(["cp", "tree", "app.pool/tree"], &["tree: is a directory", "-r"]);
    sandbox.ok(["cp", "-r", "tree", "app.pool/copy"]);
    sandbox.ok(["cp", "-r", "app.pool/copy", "back"]);
    assert_eq!(fs::read(sandbox.path("back/top")).unwrap(), pattern(5000, 1));
    assert_eq!(fs::read(sandbox.path("back/link")).unwrap(), pattern(5000, 1));
    assert_eq!(fs::read(sandbox.path("back/a/b/deep")).unwrap(), pattern(50_000, 2));
    assert!(sandbox.path("back/empty").is_dir());
    sandbox.write("tree/top", "changed");
    sandbox.ok(["cp", "-r", "tree/top", "tree/a", "app.pool/copy"]);
    assert_eq!(sandbox.cat("app.pool/copy/top"), b"changed");
    assert_eq!(sandbox.ls("app.pool/copy"), ["a", "empty", "link", "top"]);
    sandbox.check();
}

#[test]
fn a_whole_pool_comes_out_without_its_snapshots() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "app.pool/db"]);
    sandbox.put("app.pool/db/main.db", "rows");
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    sandbox.ok(["cp", "-r", "app.pool", "all"]);
    let names: Vec<_> =
        fs::read_dir(sandbox.path("all")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["db"]);
    sandbox.ok(["cp", "-r", "app.pool/.snapshots/monday/db", "monday"]);
    assert_eq!(fs::read(sandbox.path("monday/main.db")).unwrap(), b"rows");
}

#[test]
fn within_a_pool_blocks_are_shared_also_over_what_exists() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["mkdir", "app.pool/db"]);
    sandbox.put("app.pool/db/main.db", pattern(8 << 20, 1));
    sandbox.put("app.pool/old", "old");
    let used = || sandbox.json(["df", "app.pool", "--json"])[0]["used_bytes"].as_u64().unwrap();
    let before = used();
    sandbox.ok(["cp", "app.pool/db/main.db", "app.pool/new"]);
    sandbox.ok(["cp", "app.pool/db/main.db", "app.pool/old"]);
    sandbox.ok(["cp", "-r", "app.pool/db", "app.pool/branch"]);
    assert!(used() - before < 1 << 20, "copies within a pool took {} bytes", used() - before);
    for copy in ["app.pool/new", "app.pool/old", "app.pool/branch/main.db"] {
        assert_eq!(sandbox.cat(copy), pattern(8 << 20, 1), "{copy}");
    }
    sandbox.fails(["cp", "-r", "app.pool/db", "app.pool/db/db"], &["app.pool/db"]);
    sandbox.fails(["cp", "app.pool/old", "app.pool/old"], &["app.pool/old"]);
    sandbox.check();
}

#[test]
fn between_pools_the_bytes_are_copied() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["create", "other.pool", "--size", "64M", "--sparse"]);
    sandbox.ok(["mkdir", "app.pool/db"]);
    sandbox.put("app.pool/db/main.db", pattern(100_000, 1));
    sandbox.ok(["cp", "-r", "app.pool/db", "other.pool/db"]);
    assert_eq!(sandbox.cat("other.pool/db/main.db"), pattern(100_000, 1));
}

#[test]
fn pipes_and_devices_are_copied_in_order() {
    let sandbox = Sandbox::with_pool();
    let mut child =
        sandbox.command(["cp", "/dev/stdin", "app.pool/file"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&pattern(300_000, 4)).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(sandbox.run(["cp", "app.pool/file", "/dev/stdout"]).expect(0).stdout, pattern(300_000, 4));
}

#[test]
fn a_copy_that_is_killed_leaves_the_old_file_and_nothing_else() {
    let sandbox = Sandbox::with_pool();
    sandbox.put("app.pool/file", "old");
    let used = || sandbox.json(["df", "app.pool", "--json"])[0]["used_bytes"].as_u64().unwrap();
    let before = used();
    let mut child =
        sandbox.command(["cp", "/dev/stdin", "app.pool/file"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than the pipe and the buffer hold, so that some of it has been written to the pool.
    stdin.write_all(&pattern(8 << 20, 5)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(sandbox.cat("app.pool/file"), b"old");
    assert_eq!(sandbox.ls("app.pool"), ["file"]);
    sandbox.check();
    assert_eq!(used(), before);
}

#[test]
fn a_copy_that_does_not_fit_leaves_the_old_file() {
    let sandbox = Sandbox::with_pool();
    sandbox.put("app.pool/file", "old");
    sandbox.write("big", pattern(80 << 20, 6));
    sandbox.fails(["cp", "big", "app.pool/file"], &["app.pool/file"]);
    sandbox.fails(["cp", "big", "app.pool/new"], &["app.pool/new"]);
    assert_eq!(sandbox.cat("app.pool/file"), b"old");
    assert_eq!(sandbox.ls("app.pool"), ["file"]);
    sandbox.check();
}

#[test]
fn cp_refuses_bad_input() {
    let sandbox = Sandbox::with_pool();
    sandbox.write("file", "x");
    sandbox.ok(["mkdir", "app.pool/dir"]);
    fs::create_dir(sandbox.path("dir")).unwrap();
    sandbox.put("app.pool/file", "y");
    sandbox.fails(["cp", "missing", "app.pool/x"], &["missing: no such file"]);
    sandbox.fails(["cp", "app.pool/missing", "x"], &["app.pool/missing: no such file"]);
    sandbox.fails(["cp", "file", "copy"], &["file", "in a pool"]);
    sandbox.fails(["cp", "file", "app.pool/no/such/dir"], &["app.pool/no/such/dir"]);
    sandbox.fails(["cp", "app.pool/file", "no/such/dir"], &["no/such/dir"]);
    sandbox.fails(["cp", "-r", "dir", "app.pool/file"], &["app.pool/file: is a file"]);
    sandbox.write("app.pool-like", "z");
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    sandbox.fails(["cp", "file", "app.pool/.snapshots/monday/file"], &["app.pool/.snapshots/monday/file"]);
    assert!(!sandbox.path("copy").exists());
    sandbox.run(["cp", "file"]).expect(2);
}

#[test]
fn a_directory_link_is_reported_and_the_rest_copied() {
    let sandbox = Sandbox::with_pool();
    fs::create_dir_all(sandbox.path("tree/real")).unwrap();
    sandbox.write("tree/real/file", "1");
    symlink("real", sandbox.path("tree/circle")).unwrap();
    let run = sandbox.run(["cp", "-r", "tree", "app.pool/tree"]).expect(1);
    assert!(run.stderr.contains("tree/circle: is a symbolic link to a directory"), "{}", run.stderr);
    assert_eq!(sandbox.cat("app.pool/tree/real/file"), b"1");
}
