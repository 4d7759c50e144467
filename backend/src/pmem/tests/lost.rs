//! Lost memory, forked children and full file systems: errors, never signals.
#![expect(unsafe_code, reason = "forks, and reads through a pointer that left")]

use super::*;
use crate::error::{Error, ErrorKind};
use crate::units::PoolOffset;

/// One access of each kind at `place`.
fn every_access(region: &Region, place: PoolOffset) -> Vec<Option<Error>> {
    let mut buffer = [0; 1000];
    vec![
        region.read(place, &mut buffer).err(),
        region.read(place, &mut buffer[..10]).err(),
        region.write(place, &buffer).err(),
        region.write(place, &buffer[..9]).err(),
        region.zero(place, 4096).err(),
        region.zero(place, 8).err(),
        region.copy(PoolOffset(0), place, 4096).err(),
        region.copy(place, PoolOffset(0), 4096).err(),
        region.equal(place, PoolOffset(0), 4096).err(),
        region.equal(PoolOffset(0), place, 3).err(),
        region.is_zero(place, 4096).err(),
        region.load(place).err(),
        region.load_u32(place).err(),
        region.store_u64(place, 1).err(),
        region.store_u32(place, 1).err(),
        region.cas_u32(place, 0, 1).err(),
        region.cas_u64(place, 0, 1).err(),
        region.add_u32(place, 1).err(),
        region.add_u64(place, 1).err(),
        region.or_u64(place, 1).err(),
    ]
}

fn assert_all(errors: Vec<Option<Error>>, kind: ErrorKind) {
    for (index, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("access {index} succeeded"));
        assert_eq!(error.kind(), kind, "access {index}: {error}");
    }
}

#[test]
fn a_truncated_file_is_an_error_for_every_access() {
    for flush in [FlushMode::On, FlushMode::Off] {
        let scratch = Scratch::new(MEMORY, 1 << 20);
        let region = scratch.map_with(MapOptions { flush, ..options() }).unwrap();
        let place = PoolOffset(512 << 10);
        put(&region, place.0, &[7; 4096]);
        scratch.open().set_len(4096).unwrap();
        assert_all(every_access(&region, place), ErrorKind::MediaError);
        assert_eq!(get(&region, 0, 8), [0; 8], "what is left is read");
        if flush == FlushMode::On {
            let error = region.fence(region.flush_range(place, 64)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MediaError);
            let proof = region.fence(Flushed::none()).unwrap();
            assert_eq!(region.publish(place, 1, &proof).unwrap_err().kind(), ErrorKind::MediaError);
        }
    }
}

#[test]
fn a_range_that_is_lost_in_its_middle_is_an_error() {
    let scratch = Scratch::new(DISK, 1 << 20);
    let region = scratch.map();
    scratch.open().set_len(8192).unwrap();
    let error = region.write(PoolOffset(0), &[1; 12288]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MediaError);
    assert!(error.to_string().contains("truncated to 0x2000"), "{error}");
}

#[test]
fn a_view_of_lost_memory_reads_zeros_and_says_that_it_failed() {
    let scratch = Scratch::new(MEMORY, 1 << 20);
    let region = scratch.map();
    put(&region, 8192, &[5; 8192]);
    let sound = region.register_view(PoolOffset(0), 4096, 0).unwrap();
    let view = region.register_view(PoolOffset(8192), 8192, 0).unwrap();
    let read = |view: &ViewGuard, index: usize| {
        assert!(index < view.len());
        let byte = view.pointer().as_ptr().wrapping_add(index);
        // SAFETY: within the view, which is alive.
        unsafe { byte.read_volatile() }
    };
    assert_eq!((read(&view, 5000), view.failed()), (5, false));
    scratch.open().set_len(4096).unwrap();
    assert_eq!((read(&view, 5000), view.failed()), (0, true));
    assert_eq!((read(&sound, 5), sound.failed()), (0, false));
    // The zeros under the pointer are no contents of the pool, as long as the view lives and after it.
    let errors = |region: &Region| every_access(region, PoolOffset(12288)).into_iter().take(11).collect();
    assert_all(errors(&region), ErrorKind::MediaError);
    drop(view);
    assert_all(errors(&region), ErrorKind::MediaError);
    assert_eq!(region.register_view(PoolOffset(12288), 1, 0).err().unwrap().kind(), ErrorKind::MediaError);
    assert_eq!(get(&region, 0, 4096), [0; 4096]);
}

#[test]
fn lost_shared_memory_takes_stores_until_its_guard_is_dropped_and_none_afterwards() {
    let scratch = Scratch::new(MEMORY, 1 << 20);
    let region = scratch.map();
    let shared = region.register_shared(PoolOffset(8192), 8192).unwrap();
    let word = |at: usize| shared.pointer().as_ptr().wrapping_add(at).cast::<u64>();
    // SAFETY: within the shared memory, whose guard is alive; the same in all that follows.
    unsafe { word(0).write_volatile(7) };
    assert!(!shared.failed() && get(&region, 8192, 1) == [7]);
    scratch.open().set_len(12288).unwrap();
    // SAFETY: as above.
    unsafe { word(4096).write_volatile(9) };
    // SAFETY: as above.
    assert_eq!((unsafe { word(4096).read_volatile() }, shared.failed()), (9, true));
    // SAFETY: as above.
    assert_eq!(unsafe { word(0).read_volatile() }, 7, "the page before is the pool's");
    drop(shared);
    scratch.open().set_len(1 << 20).unwrap();
    let stores = || {
        [
            region.write(PoolOffset(12288), &[1; 4096]).err(),
            region.store_u64(PoolOffset(12288), 1).err(),
            region.zero(PoolOffset(12288), 8).err(),
        ]
    };
    assert_all(stores().into(), ErrorKind::MediaError);
    assert_eq!(scratch.map().load(PoolOffset(12288)).unwrap(), 0, "nothing of it is in the file");
}

/// Runs `test` in a forked child and answers its exit code, or minus the signal that ended it.
fn in_child(test: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child uses the heap (glibc makes that sound after a fork) and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)).unwrap_or(101);
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: `child` is a child of ours that nobody else waits for.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
}

#[test]
fn a_forked_child_is_told_so_by_every_access() {
    let scratch = Scratch::new(MEMORY, 1 << 20);
    let region = scratch.map();
    let code = in_child(|| {
        assert_all(every_access(&region, PoolOffset(8192)), ErrorKind::Forked);
        let errors = [
            region.check_fork().err(),
            region.extend().err(),
            region.futex_wait(PoolOffset(0), 0, std::time::Duration::ZERO).err(),
            region.discard(PoolOffset(0), 4096).err(),
            region.register_view(PoolOffset(0), 1, 0).err(),
        ];
        assert_all(errors.into(), ErrorKind::Forked);
        7
    });
    assert_eq!(code, 7);
    put(&region, 0, b"alive");
    assert_eq!(get(&region, 0, 5), b"alive", "the parent goes on");
}

#[test]
fn nothing_moves_into_the_address_space_of_a_pool_in_a_child() {
    let scratch = Scratch::new(MEMORY, 1 << 20);
    let region = scratch.map();
    let base = region.pointer(PoolOffset(0), 4096).unwrap();
    let code = in_child(|| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: MAP_FIXED_NOREPLACE replaces nothing.
        let mapped = unsafe { libc::mmap(base.as_ptr().cast(), 4096, libc::PROT_READ, flags, -1, 0) };
        i32::from(mapped == libc::MAP_FAILED)
    });
    assert_eq!(code, 1);
}

#[test]
fn a_pool_opened_in_a_child_works_there() {
    let scratch = Scratch::new(MEMORY, 1 << 20);
    let region = scratch.map();
    let code = in_child(|| {
        let own = scratch.map();
        put(&own, 0, b"child");
        i32::from(get(&own, 0, 5) == b"child")
    });
    assert_eq!((code, get(&region, 0, 5)), (1, b"child".to_vec()));
}

#[test]
fn a_wild_pointer_still_ends_the_process() {
    let scratch = Scratch::new(MEMORY, 1 << 20);
    let code = in_child(|| {
        let _own = scratch.map();
        // SAFETY: none: address 16 is mapped nowhere, and the fault that this raises is what is tested.
        i32::from(unsafe { std::ptr::without_provenance::<u8>(16).read_volatile() })
    });
    assert_eq!(code, -libc::SIGSEGV);
}

#[test]
fn a_callers_bad_buffer_still_ends_the_process() {
    let scratch = Scratch::new(MEMORY, 1 << 20);
    let code = in_child(|| {
        let own = scratch.map();
        // SAFETY: none: the slice is mapped nowhere, and the fault that this raises is what is tested.
        let wild = unsafe { std::slice::from_raw_parts_mut(std::ptr::without_provenance_mut(16), 4096) };
        i32::from(own.read(PoolOffset(0), wild).is_err())
    });
    assert_eq!(code, -libc::SIGSEGV);
}

#[test]
fn a_full_file_system_is_an_error() {
    // A memory file with a limit needs no mount: a file may not grow beyond RLIMIT_FSIZE, but a sparse tmpfs file only
    // fails where tmpfs is full. A sealed hole does not exist either, so this test mounts one, where it may.
    let directory = tempfile::tempdir().unwrap();
    let target = std::ffi::CString::new(directory.path().as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: all strings are NUL-terminated.
    let mounted = unsafe {
        libc::mount(
            c"daxcow-test".as_ptr(),
            target.as_ptr(),
            c"tmpfs".as_ptr(),
            0,
            c"size=64k".as_ptr().cast(),
        )
    };
    if mounted != 0 {
        eprintln!("skipped: mounting a tmpfs needs privileges: {}", std::io::Error::last_os_error());
        return;
    }
    let scratch = Scratch::new(directory.path().to_str().unwrap(), 1 << 20);
    let region = scratch.map();
    let results: Vec<_> = (0..256).map(|block| region.write(PoolOffset(block * 4096), &[1; 4096])).collect();
    let stored = results.iter().filter(|result| result.is_ok()).count();
    let lost = results.iter().filter_map(|result| result.as_ref().err());
    assert!(lost.clone().all(|error| error.kind() == ErrorKind::NoSpace));
    assert_eq!((stored + lost.count(), stored <= 16), (256, true), "{stored} blocks stored in 64 KiB");
    // Once there is room, the same stores succeed.
    let more = c"size=4m".as_ptr().cast();
    // SAFETY: all strings are NUL-terminated.
    let grown = unsafe {
        libc::mount(c"daxcow-test".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), libc::MS_REMOUNT, more)
    };
    assert_eq!(grown, 0);
    assert!((0..256).all(|block| region.write(PoolOffset(block * 4096), &[1; 4096]).is_ok()));
    drop((results, region, scratch));
    // SAFETY: the string is NUL-terminated.
    assert_eq!(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }, 0);
}
