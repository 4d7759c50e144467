//! Names and links.

use daxcow::ErrorKind;
use daxcow_tests::fixture::{bytes, contents, file, free, get, kind, put, warm_up};

use super::with_pool;

#[test]
fn link_counts_and_names_change_together() {
    with_pool(64, |pool| {
        put(pool, "/a", b"content");
        let inode = pool.metadata("/a").expect("metadata").inode;
        for round in 0..50 {
            pool.hard_link("/a", format!("/link{round}")).expect("link");
        }
        assert_eq!(pool.metadata("/a").expect("metadata").links, 51);
        pool.rename("/link0", "/link1").expect("renaming one name of a file to another does nothing");
        assert_eq!(pool.metadata("/a").expect("metadata").links, 51);
        put(pool, "/other", b"other");
        pool.rename("/other", "/link2").expect("rename over a link");
        assert_eq!(pool.metadata("/a").expect("metadata").links, 50);
        for round in (0..50).filter(|&round| round != 2) {
            pool.remove_file(format!("/link{round}")).expect("remove");
        }
        let left = pool.metadata("/a").expect("metadata");
        assert_eq!((left.links, left.inode), (1, inode));
        assert_eq!(get(pool, "/link2"), b"other");
    });
}

#[test]
fn rename_leaves_one_name_whatever_it_replaces() {
    with_pool(64, |pool| {
        pool.create_dir("/d").expect("dir");
        put(pool, "/a", b"a");
        put(pool, "/d/b", b"b");
        pool.rename("/a", "/d/b").expect("rename");
        assert!(!pool.exists("/a").expect("exists"));
        assert_eq!(get(pool, "/d/b"), b"a");
        assert_eq!(pool.read_dir("/d").expect("list").len(), 1);
        assert_eq!(kind(pool.rename("/d", "/d/e")), ErrorKind::InvalidInput);
    });
}

#[test]
fn unlink_while_open_keeps_the_file_for_its_handles_only() {
    with_pool(64, |pool| {
        warm_up(pool).expect("warm up");
        let before = free(pool);
        put(pool, "/a", &bytes(1, 1 << 20));
        let open = file(pool, "/a");
        pool.remove_file("/a").expect("remove");
        assert!(open.is_stale().expect("no name is left"));
        assert!(contents(&open).expect("read") == bytes(1, 1 << 20));
        open.write_at(b"more", 1 << 20).expect("write");
        assert!(free(pool) < before);
        drop(open);
        assert!(free(pool) >= before, "{before} bytes were free, {} are", free(pool));
    });
}

#[test]
fn a_directory_of_a_hundred_thousand_entries() {
    with_pool(512, |pool| {
        pool.create_dir("/big").expect("dir");
        let entries = 100_000;
        put(pool, "/big/0", b"x");
        for index in 1..entries {
            pool.hard_link("/big/0", format!("/big/{index}")).expect("link");
        }
        assert_eq!(pool.metadata("/big/77777").expect("metadata").links, entries);
        assert_eq!(pool.read_dir("/big").expect("list").len(), 100_000);
        for index in (1..entries).filter(|index| index % 10 != 0) {
            pool.remove_file(format!("/big/{index}")).expect("remove");
        }
        assert_eq!(pool.read_dir("/big").expect("list").len(), 10_000);
        pool.remove_dir_all("/big").expect("remove");
        assert!(!pool.exists("/big").expect("exists"));
    });
}
