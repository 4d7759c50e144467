//! Usage errors, help, `completions`, and readers that go away.

use std::io::Read;
use std::process::Stdio;

use crate::support::{Sandbox, pattern};

#[test]
fn a_wrong_command_line_ends_with_2_and_help_with_0() {
    let sandbox = Sandbox::new();
    for arguments in [&[][..], &["frobnicate"], &["ls"], &["ls", "--no-such-option", "x"], &["rm"], &["df"]] {
        let run = sandbox.run(arguments).expect(2);
        assert!(run.stdout.is_empty());
        assert!(run.stderr.contains("Usage: daxcow"), "{}", run.stderr);
    }
    let help = sandbox.ok(["--help"]);
    for part in ["Exit status:", "snapshot", "completions", "app.pool/db/main.db"] {
        assert!(help.contains(part), "no '{part}' in:\n{help}");
    }
    assert!(sandbox.ok(["--version"]).starts_with("daxcow "));
}

#[test]
fn completions_exist_for_every_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.ok(["completions", shell]);
        assert!(script.contains("rollback"), "{shell}");
    }
    sandbox.run(["completions", "cobol"]).expect(2);
}

#[test]
fn bash_accepts_its_completions() {
    let sandbox = Sandbox::new();
    sandbox.write("script", sandbox.ok(["completions", "bash"]));
    let status = std::process::Command::new("bash").arg("-n").arg(sandbox.path("script")).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::with_pool();
    sandbox.put("app.pool/big", pattern(4 << 20, 1));
    let mut child = sandbox
        .command(["cat", "app.pool/big"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    sandbox.check();
}

#[test]
fn a_full_standard_output_is_an_error() {
    let sandbox = Sandbox::with_pool();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = sandbox.command(["info", "app.pool"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("daxcow: "));
}
