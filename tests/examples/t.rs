//! scratch
use daxcow_tests::fixture::*;
use daxcow_tests::place::Place;
fn main() {
    let place = Place::new();
    let pool = new_pool(&place, 64);
    pool.create_dir("/d3").unwrap();
    let pool = reopen(pool);
    println!("{}", free(&pool));
    snapshot(&pool, "s");
    println!("{:?}", pool.remove_dir_all("/d3"));
    println!("{:?}", pool.delete_snapshot("s"));
    println!("{}", free(&pool));
}
