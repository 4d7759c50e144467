//! What each operation does, and what it refuses.

use super::*;
use crate::format::inode::SNAPSHOT_DIRECTORY;
use crate::namespace::tree::{Authority, Namespace};

#[test]
fn a_new_pool_holds_the_snapshot_directory_and_nothing_else() {
    let pool = pool();
    assert_eq!(names(&pool.core, "/"), [".snapshots"]);
    assert_eq!(number(&pool.core, "/"), 1);
    assert_eq!(number(&pool.core, "/.snapshots"), SNAPSHOT_DIRECTORY.0);
    assert!(names(&pool.core, ".snapshots").is_empty());
}

#[test]
fn what_was_made_is_found_listed_and_refused_a_second_time() {
    let pool = pool();
    let core = &pool.core;
    mkdir(core, "/d");
    touch(core, "d/f");
    assert!(
        exists(core, "/d/f") && exists(core, "d/../d/./f") && !exists(core, "/d/g") && !exists(core, "d/f/x")
    );
    assert_eq!(names(core, "/"), [".snapshots", "d"]);
    let namespace = core.namespace().unwrap();
    refused(namespace.create_file(p("d/f"), true), ErrorKind::AlreadyExists);
    refused(namespace.create_dir(p("d")), ErrorKind::AlreadyExists);
    refused(namespace.create_dir(p("/")), ErrorKind::AlreadyExists);
    refused(namespace.create_file(p("d"), false), ErrorKind::IsADirectory);
    refused(namespace.create_file(p("d/f/x"), false), ErrorKind::NotADirectory);
    refused(namespace.create_file(p("e/f"), false), ErrorKind::NotFound);
    let (found, made) = namespace.create_file(p("d/f"), false).unwrap();
    assert!(!made);
    drop(namespace);
    assert_eq!(found.inode.number.0, number(core, "d/f"));
    refused(resolve::read_dir(&core.store, p("d/f")), ErrorKind::NotADirectory);
    refused(resolve::resolve(&core.store, p("nothing")), ErrorKind::NotFound);
}

#[test]
fn all_missing_directories_of_a_path_are_made() {
    let pool = pool();
    let core = &pool.core;
    core.namespace().unwrap().create_dir_all(p("/a/b/c")).unwrap();
    core.namespace().unwrap().create_dir_all(p("/a/b/c")).unwrap();
    assert!(exists(core, "a/b/c"));
    touch(core, "a/f");
    refused(core.namespace().unwrap().create_dir_all(p("a/f")), ErrorKind::NotADirectory);
    refused(core.namespace().unwrap().create_dir_all(p("a/f/g")), ErrorKind::NotADirectory);
}

#[test]
fn a_hard_link_is_the_same_file_until_its_last_name_goes() {
    let pool = pool();
    let core = &pool.core;
    mkdir(core, "d");
    touch(core, "a");
    let inode = number(core, "a");
    let used = pool.inodes_used();
    core.namespace().unwrap().hard_link(p("a"), p("d/b")).unwrap();
    assert_eq!((number(core, "d/b"), links(core, "a")), (inode, 2));
    let namespace = core.namespace().unwrap();
    refused(namespace.hard_link(p("d"), p("e")), ErrorKind::IsADirectory);
    refused(namespace.hard_link(p("a"), p("d/b")), ErrorKind::AlreadyExists);
    namespace.rename(p("a"), p("d/b")).unwrap();
    namespace.remove_file(p("a")).unwrap();
    drop(namespace);
    assert_eq!((links(core, "d/b"), pool.inodes_used()), (1, used));
    core.namespace().unwrap().remove_file(p("d/b")).unwrap();
    assert_eq!(pool.inodes_used(), used - 1);
}

#[test]
fn rename_replaces_like_by_like_only() {
    let pool = pool();
    let core = &pool.core;
    for file in ["f", "g"] {
        touch(core, file);
    }
    for directory in ["empty", "full", "moved"] {
        mkdir(core, directory);
    }
    touch(core, "full/x");
    let (f, moved, used) = (number(core, "f"), number(core, "moved"), pool.inodes_used());
    let namespace = core.namespace().unwrap();
    refused(namespace.rename(p("none"), p("f")), ErrorKind::NotFound);
    refused(namespace.rename(p("f"), p("empty")), ErrorKind::IsADirectory);
    refused(namespace.rename(p("moved"), p("f")), ErrorKind::NotADirectory);
    refused(namespace.rename(p("moved"), p("full")), ErrorKind::DirectoryNotEmpty);
    refused(namespace.rename(p("full"), p("full/x/y")), ErrorKind::NotADirectory);
    refused(namespace.rename(p("full"), p("full/y")), ErrorKind::InvalidInput);
    refused(namespace.rename(p("/"), p("y")), ErrorKind::InvalidInput);
    refused(namespace.rename(p("f"), p("/")), ErrorKind::InvalidInput);
    namespace.rename(p("f"), p("f")).unwrap();
    namespace.rename(p("f"), p("g")).unwrap();
    namespace.rename(p("moved"), p("empty")).unwrap();
    namespace.rename(p("empty"), p("full/deep")).unwrap();
    drop(namespace);
    assert_eq!((number(core, "g"), number(core, "full/deep")), (f, moved));
    assert_eq!(names(core, "/"), [".snapshots", "full", "g"]);
    assert_eq!(pool.inodes_used(), used - 2);
    refused(core.namespace().unwrap().rename(p("full"), p("full/deep/x")), ErrorKind::InvalidInput);
}

#[test]
fn removal_refuses_the_wrong_kind_and_what_is_not_empty() {
    let pool = pool();
    let core = &pool.core;
    mkdir(core, "d");
    touch(core, "d/f");
    let namespace = core.namespace().unwrap();
    refused(namespace.remove_file(p("d")), ErrorKind::IsADirectory);
    refused(namespace.remove_dir(p("d/f")), ErrorKind::NotADirectory);
    refused(namespace.remove_dir(p("d")), ErrorKind::DirectoryNotEmpty);
    refused(namespace.remove_dir(p("/")), ErrorKind::InvalidInput);
    refused(namespace.remove_file(p("x")), ErrorKind::NotFound);
    namespace.remove_file(p("d/f")).unwrap();
    namespace.remove_dir(p("d")).unwrap();
    drop(namespace);
    assert_eq!(names(core, "/"), [".snapshots"]);
}

#[test]
fn snapshots_can_be_changed_by_their_own_layer_only() {
    let pool = pool();
    let core = &pool.core;
    touch(core, "f");
    let snapshots = Namespace::lock(&core.store, Authority::Snapshots).unwrap();
    snapshots.create_dir(p(".snapshots/s")).unwrap();
    snapshots.create_file(p(".snapshots/s/f"), true).unwrap();
    drop(snapshots);
    let namespace = core.namespace().unwrap();
    refused(namespace.create_file(p(".snapshots/s/g"), true), ErrorKind::ReadOnly);
    refused(namespace.create_dir(p(".snapshots/t")), ErrorKind::ReadOnly);
    refused(namespace.remove_file(p(".snapshots/s/f")), ErrorKind::ReadOnly);
    refused(namespace.remove_dir(p(".snapshots")), ErrorKind::ReadOnly);
    refused(namespace.rename(p(".snapshots"), p("t")), ErrorKind::ReadOnly);
    refused(namespace.rename(p("f"), p(".snapshots/f")), ErrorKind::ReadOnly);
    refused(namespace.rename(p(".snapshots/s/f"), p("t")), ErrorKind::ReadOnly);
    refused(namespace.hard_link(p(".snapshots/s/f"), p("t")), ErrorKind::ReadOnly);
    drop(namespace);
    refused(core.remove_dir_all(p(".snapshots/s")), ErrorKind::ReadOnly);
    assert!(resolve::metadata(&core.store, p(".snapshots/s/f")).unwrap().read_only);
    assert!(!resolve::metadata(&core.store, p("f")).unwrap().read_only);
}
