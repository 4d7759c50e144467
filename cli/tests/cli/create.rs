//! `create`, `info` and `df`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::support::Sandbox;

#[test]
fn create_makes_a_pool_of_the_size_and_mode_asked_for() {
    let sandbox = Sandbox::new();
    let created = sandbox.ok(["create", "app.pool", "--size", "64M", "--mode", "640"]);
    assert!(created.starts_with("app.pool: 64 MiB, "), "{created}");
    let metadata = sandbox.path("app.pool").metadata().unwrap();
    assert_eq!(metadata.len(), 64 << 20);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    assert!(metadata.blocks() * 512 >= 64 << 20, "not allocated: {} blocks", metadata.blocks());
    sandbox.check();
}

#[test]
fn a_sparse_pool_takes_its_space_as_it_is_used() {
    let sandbox = Sandbox::new();
    sandbox.ok(["create", "app.pool", "--size", "1G", "--sparse"]);
    let metadata = sandbox.path("app.pool").metadata().unwrap();
    assert_eq!(metadata.len(), 1 << 30);
    assert!(metadata.blocks() * 512 < 256 << 20, "{} blocks", metadata.blocks());
}

#[test]
fn create_replaces_nothing_unless_forced() {
    let sandbox = Sandbox::with_pool();
    sandbox.put("app.pool/file", "contents");
    sandbox.fails(["create", "app.pool", "--size", "64M"], &["app.pool", "exists"]);
    assert_eq!(sandbox.cat("app.pool/file"), b"contents");
    sandbox.ok(["create", "app.pool", "--size", "64M", "--sparse", "--force"]);
    assert_eq!(sandbox.ls("app.pool"), Vec::<String>::new());
}

#[test]
fn create_refuses_bad_input() {
    let sandbox = Sandbox::new();
    sandbox.fails(["create", "no/such/directory/app.pool", "--size", "64M"], &["app.pool", "No such file"]);
    sandbox.fails(["create", "app.pool", "--size", "4K"], &["app.pool"]);
    assert!(!sandbox.path("app.pool").exists(), "a pool that could not be made left its file behind");
    for arguments in [
        &["create", "app.pool"][..],
        &["create", "app.pool", "--size", "64X"],
        &["create", "app.pool", "--size", "1GB"],
        &["create", "app.pool", "--size", "64M", "--mode", "999"],
        &["create", "app.pool", "--size", "64M", "--dax", "perhaps"],
    ] {
        sandbox.run(arguments).expect(2);
    }
}

#[test]
fn dax_always_fails_where_the_medium_is_not_dax() {
    let sandbox = Sandbox::new();
    sandbox.fails(["create", "app.pool", "--size", "64M", "--dax", "always"], &["app.pool", "MAP_SYNC"]);
}

#[test]
fn max_inodes_limits_the_number_of_files() {
    let sandbox = Sandbox::new();
    sandbox.ok(["create", "app.pool", "--size", "64M", "--sparse", "--max-inodes", "64"]);
    let usage = &sandbox.json(["info", "app.pool", "--json"])["usage"];
    let inodes = usage["inodes_used"].as_u64().unwrap() + usage["inodes_free"].as_u64().unwrap();
    assert!((64..256).contains(&inodes), "{inodes}");
}

#[test]
fn info_names_medium_durability_members_and_snapshots() {
    let sandbox = Sandbox::with_pool();
    sandbox.ok(["snapshot", "create", "app.pool", "monday"]);
    let info = sandbox.json(["info", "app.pool", "--json"]);
    let durability = &info["durability"];
    assert_eq!(info["size_bytes"], 64 << 20);
    assert_eq!(info["snapshots"][0]["name"], "monday");
    assert_eq!(info["members"].as_array().unwrap().len(), 1);
    assert_eq!(info["members"][0]["this"], true);
    assert_eq!(durability["survives_process_death"], true);
    if durability["medium"] == "volatile" {
        assert_eq!(durability["survives_power_loss"], false);
    }
    let text = sandbox.ok(["info", "app.pool"]);
    for part in ["medium", "survives", "power loss or reboot: ", "members", "this command", "monday"] {
        assert!(text.contains(part), "no '{part}' in:\n{text}");
    }
}

#[test]
fn df_counts_what_a_file_takes() {
    let sandbox = Sandbox::with_pool();
    let used = || sandbox.json(["df", "app.pool", "--json"])[0]["used_bytes"].as_u64().unwrap();
    let before = used();
    sandbox.put("app.pool/file", vec![1; 8 << 20]);
    let grown = used() - before;
    assert!((8 << 20..9 << 20).contains(&grown), "{grown}");
    let text = sandbox.ok(["df", "app.pool"]);
    assert!(text.contains("64 MiB") || text.contains("MiB"), "{text}");
    assert!(sandbox.ok(["df", "--bytes", "app.pool"]).contains(&used().to_string()));
}

#[test]
fn what_is_no_pool_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("plain", "not a pool");
    for command in ["info", "df", "trim", "ls"] {
        sandbox.fails([command, "plain"], &["plain: not a daxcow pool"]);
        sandbox.fails([command, "missing.pool"], &["missing.pool: no such pool"]);
    }
    // As fsck does.
    let checked = sandbox.run(["check", "plain"]).expect(8);
    assert_eq!(checked.stderr, "daxcow: plain: not a daxcow pool\n");
}
