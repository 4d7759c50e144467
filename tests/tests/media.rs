//! What a medium is, and what it survives, is found out and said. `DAXCOW_MEDIUM` names what is expected (fs-dax, dev-dax,
//! page-cache, volatile) where the tests run on something else than the memory of this machine.

use daxcow::{CreateOptions, Dax, ErrorKind, FlushMode, Granularity, Medium, OpenOptions, Pool};
use daxcow_tests::fixture;
use daxcow_tests::place::Place;

/// The medium under the tests: given, or that of the directory they run in.
fn expected(place: &Place) -> Medium {
    match std::env::var("DAXCOW_MEDIUM").as_deref() {
        Ok("fs-dax") => Medium::FsDax,
        Ok("dev-dax") => Medium::DevDax,
        Ok("page-cache") => Medium::PageCache,
        Ok("volatile") => Medium::Volatile,
        Ok(other) => panic!("DAXCOW_MEDIUM is {other:?}"),
        Err(_) if place.path().starts_with("/dev/shm") => Medium::Volatile,
        Err(_) => Medium::PageCache,
    }
}

#[test]
fn the_medium_is_what_it_is() {
    let place = Place::new();
    let pool = fixture::new_pool(&place, 32);
    let found = pool.durability();
    println!("{}: {found:?}", place.pool().display());
    let medium = expected(&place);
    assert_eq!(found.medium, medium);
    assert_eq!(
        found.map_sync,
        medium == Medium::FsDax,
        "a device needs no MAP_SYNC, all others do not have it"
    );
    assert_eq!(found.granularity == Granularity::Page, medium == Medium::PageCache);
    assert_eq!(found.survives_power_loss, medium != Medium::Volatile);
    assert!(found.survives_process_death);
}

#[test]
fn dax_can_be_demanded_and_declined() {
    let place = Place::new();
    let medium = expected(&place);
    fixture::new_pool(&place, 32).close().expect("the pool closes");
    let open = |dax| Pool::open(place.pool(), &OpenOptions::new().dax(dax));
    match medium {
        Medium::FsDax | Medium::DevDax => {
            let demanded = open(Dax::Always).expect("there is DAX").durability();
            assert_eq!(demanded.medium, medium);
        }
        Medium::PageCache | Medium::Volatile => {
            assert_eq!(fixture::kind(open(Dax::Always)), ErrorKind::UnsupportedMedium);
            let options = CreateOptions::new().size(32 << 20).dax(Dax::Always);
            let beside = place.path().join("beside.pool");
            assert_eq!(fixture::kind(Pool::create(&beside, &options)), ErrorKind::UnsupportedMedium);
            assert!(!beside.exists(), "nothing is left of a pool that could not be");
        }
    }
    let declined = open(Dax::Never).expect("the pool opens").durability();
    assert!(!declined.map_sync);
    assert_eq!(
        declined.granularity == Granularity::Page,
        matches!(medium, Medium::FsDax | Medium::PageCache)
    );
}

#[test]
fn what_is_not_flushed_survives_no_power_loss() {
    let place = Place::new();
    fixture::new_pool(&place, 32).close().expect("the pool closes");
    let pool = Pool::open(place.pool(), &OpenOptions::new().flush(FlushMode::Off)).expect("the pool opens");
    assert!(!pool.durability().survives_power_loss);
    fixture::put(&pool, "/f", b"bytes");
    assert_eq!(fixture::get(&pool, "/f"), b"bytes");
}
