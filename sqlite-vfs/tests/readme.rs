//! The shell session of the project's README, run as it is written there.

#![allow(dead_code, reason = "the fixture serves all test programs and this one uses a part of it")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{shared_library, stdout};

/// The block of the README that is a session, without its fences.
fn session() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README is there");
    let (_, rest) = readme.split_once("```sh session\n").expect("the README has a session");
    rest.split_once("```").expect("the session ends").0.to_owned()
}

#[test]
fn the_session_of_the_readme_prints_what_the_readme_says() {
    let preload = shared_library("daxcow-sqlite-preload");
    let built = preload.parent().expect("it lies in a directory");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "daxcow-cli"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "building the command");
    let dir = tempfile::tempdir().expect("a directory");
    let path = std::env::var("PATH").expect("a path");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &session()])
        .current_dir(dir.path())
        .env("PATH", format!("{}:{path}", built.display()))
        .env("LD_LIBRARY_PATH", built)
        .output()
        .expect("bash starts");
    let text = stdout(&output);
    let answers: Vec<&str> = text.lines().filter(|line| !line.contains(' ')).collect();
    let pool = dir.path().join("app.pool");
    let pool = pool.canonicalize().expect("the pool is there");
    let snapshot = pool.join(".snapshots/monday/main.db");
    let clone = pool.join("what-if.db");
    let expected = [
        snapshot.to_string_lossy().into_owned(),
        "0".into(),
        "1500".into(),
        clone.to_string_lossy().into_owned(),
        "0".into(),
        "monday".into(),
        "1500".into(),
    ];
    assert_eq!(answers[..expected.len()], expected, "{text}");
    assert_eq!(answers.last(), Some(&"ok"), "{text}");
}
