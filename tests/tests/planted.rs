//! A check finds each planted inconsistency and says where it is; a repair puts right what needs no guessing, can be run again,
//! can be killed at any step (feature `sim`), and changes no file that was whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use daxcow::{CheckReport, FileKind, FileOptions, OpenOptions, Pool, RepairReport};
use daxcow_tests::fuzz::bases::Bases;
use daxcow_tests::place::Place;
use daxcow_tests::planted::{Finds, Mends, Row, rows};

/// What a path holds: nothing where it cannot be read.
type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Bytes from the beginning and from the end of every file.
fn contents(pool: &Pool) -> Contents {
    let mut all = BTreeMap::new();
    let mut waiting = vec![PathBuf::from("/")];
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = pool.metadata(&path) else {
            all.insert(path, None);
            continue;
        };
        match (metadata.kind, pool.read_dir(&path)) {
            (FileKind::Directory, Ok(entries)) => {
                waiting.extend(entries.into_iter().map(|entry| path.join(entry.name)));
            }
            (FileKind::Directory, Err(_)) => drop(all.insert(path, None)),
            (FileKind::File, _) => drop(all.insert(path.clone(), bytes(pool, &path, metadata.len))),
        }
    }
    all
}

fn bytes(pool: &Pool, path: &Path, len: u64) -> Option<Vec<u8>> {
    let file = pool.open_file(path, &FileOptions::new().read(true)).ok()?;
    let mut bytes = len.to_le_bytes().to_vec();
    for (from, count) in [(0, 3 << 20), (3 << 30, 4096), (len.saturating_sub(4096), 4096)] {
        let mut part = vec![0; count];
        let read = file.read_at(&mut part, from).ok()?;
        bytes.extend(&part[..read]);
    }
    Some(bytes)
}

fn open(path: &Path) -> daxcow::Result<Pool> {
    Pool::open(path, &OpenOptions::new())
}

/// Whether the report says what the row wants, in all words.
fn says(report: &CheckReport, finds: &Finds) -> bool {
    match finds {
        Finds::Problem(structure, place, message) => report.problems.iter().any(|problem| {
            let told = problem.message.contains("expected") && problem.message.contains("found");
            problem.structure == *structure
                && problem.place.contains(place.as_str())
                && problem.message.contains(message)
                && told
        }),
        Finds::Leak(place, message) => {
            report.leaks.iter().any(|leak| leak.place == *place && leak.message.contains(message))
        }
        Finds::Nothing => report.is_clean() && report.leaked_blocks == 0,
        Finds::Refusal(..) => false,
    }
}

/// What the check says of a row; what is wrong with that.
fn found(row: &Row, path: &Path) -> Option<String> {
    row.image.store(path).expect("the pool's file");
    match (open(path), &row.finds) {
        (Err(error), Finds::Refusal(kind, text)) => {
            let right = error.kind() == *kind && error.to_string().contains(text);
            (!right).then(|| format!("refused with {error:?}"))
        }
        (Err(error), _) => Some(format!("not opened: {error:?}")),
        (Ok(_), Finds::Refusal(..)) => Some("opened".to_owned()),
        (Ok(pool), finds) => {
            let report = pool.check().expect("the check runs");
            (!says(&report, finds)).then(|| format!("{finds:?} was not found, but {report:#?}"))
        }
    }
}

#[test]
fn every_planted_inconsistency_is_found_and_named() {
    let place = Place::new();
    let rows = rows(&Bases::load());
    let missed: Vec<String> =
        rows.iter().filter_map(|row| Some(format!("{}: {}", row.what, found(row, &place.pool())?))).collect();
    println!("{} inconsistencies planted", rows.len());
    assert!(missed.is_empty(), "{} of {} rows:\n{}", missed.len(), rows.len(), missed.join("\n"));
    assert!(rows.len() >= 60, "only {} rows", rows.len());
}

/// What is wrong after a repair.
fn judge(row: &Row, path: &Path, report: &RepairReport, before: &Contents) -> Result<(), String> {
    let left = &report.left;
    match row.mends {
        Mends::All if !left.is_clean() || left.leaked_blocks > 0 => {
            return Err(format!("left over: {left:#?}"));
        }
        Mends::Nothing if left.is_clean() => return Err("put right what nobody can know".to_owned()),
        _ => {}
    }
    let finds_something = !matches!(row.finds, Finds::Nothing);
    if row.mends == Mends::All && finds_something && report.repaired.is_empty() {
        return Err("nothing was done".to_owned());
    }
    let again = Pool::repair(path, &OpenOptions::new()).map_err(|error| format!("again: {error:?}"))?;
    if !again.repaired.is_empty() || again.left.problems != left.problems {
        return Err(format!("the second repair did {:#?}", again.repaired));
    }
    let pool = open(path).map_err(|error| format!("afterwards: {error:?}"))?;
    let checked = pool.check().map_err(|error| format!("afterwards: {error:?}"))?;
    if row.mends == Mends::All && (!checked.is_clean() || checked.leaked_blocks > 0) {
        return Err(format!("not clean once it was closed and opened: {checked:#?}"));
    }
    let touched = |path: &Path| row.touches.iter().any(|touched| path.starts_with(touched));
    let after = contents(&pool);
    for (path, bytes) in before.iter().filter(|(path, _)| !touched(path)) {
        if after.get(path) != Some(bytes) {
            return Err(format!("{} is not what it was", path.display()));
        }
    }
    match after.keys().find(|path| !before.contains_key(*path) && !touched(path)) {
        Some(new) => Err(format!("{} has come", new.display())),
        None => Ok(()),
    }
}

fn base_contents(place: &Place) -> Contents {
    let bases = Bases::load();
    let base = bases.iter().next().expect("a base");
    base.image.store(&place.pool()).expect("the pool's file");
    contents(&open(&place.pool()).expect("the base opens"))
}

#[test]
fn a_repair_mends_what_needs_no_guessing_and_keeps_every_other_file() {
    let place = Place::new();
    let before = base_contents(&place);
    assert!(before.len() > 100 && before.values().all(Option::is_some));
    let mut wrong = Vec::new();
    for row in rows(&Bases::load()) {
        row.image.store(&place.pool()).expect("the pool's file");
        let judged = match (Pool::repair(place.pool(), &OpenOptions::new()), row.mends) {
            (Err(_), Mends::Refused) => Ok(()),
            (Err(error), _) => Err(format!("{error:?}")),
            (Ok(_), Mends::Refused) => Err("repaired".to_owned()),
            (Ok(report), _) => {
                let mut before = before.clone();
                if row.what.contains("left open") || row.what.starts_with("a transaction") {
                    before.insert("/unlinked".into(), after_unlinked(&place));
                }
                judge(&row, &place.pool(), &report, &before)
            }
        };
        wrong.extend(judged.err().map(|what| format!("{}: {what}", row.what)));
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

/// The file that only the base which was left open has.
fn after_unlinked(place: &Place) -> Option<Vec<u8>> {
    let pool = open(&place.pool()).expect("opens");
    bytes(&pool, Path::new("/unlinked"), pool.metadata("/unlinked").expect("is there").len)
}

#[test]
fn a_name_that_leads_to_another_file_is_damage_and_not_a_busy_file() {
    let place = Place::new();
    let rows = rows(&Bases::load());
    let row = rows.iter().find(|row| row.what == "a name of another generation").expect("the row");
    row.image.store(&place.pool()).expect("the pool's file");
    let pool = open(&place.pool()).expect("opens");
    let options = FileOptions::new().read(true).write(true).create(true);
    let error = pool.open_file("/tail", &options).map(drop).expect_err("it leads nowhere");
    assert_eq!(error.kind(), daxcow::ErrorKind::Corrupt, "{error}");
}

#[test]
fn walks_end_where_directories_lead_to_each_other() {
    let place = Place::new();
    let rows = rows(&Bases::load());
    let row = rows.iter().find(|row| row.what == "a directory below itself").expect("the row");
    row.image.store(&place.pool()).expect("the pool's file");
    let pool = open(&place.pool()).expect("opens");
    let corrupt = |what: &str, answer: daxcow::Result<()>| {
        let kind = answer.map_err(|error| error.kind());
        assert_eq!(kind, Err(daxcow::ErrorKind::Corrupt), "{what}");
    };
    corrupt("snapshot", pool.create_snapshot::<&str>("t", &[]).map(drop));
    corrupt("clone", pool.clone_tree("/d", "/copy"));
    corrupt("diff", pool.diff("/d", "/many").map(drop));
    assert_eq!(pool.snapshots().expect("the snapshots are whole").len(), 2);
    pool.scrub().expect("a scrub ends");
}

#[test]
fn a_pool_in_use_is_not_repaired() {
    let place = Place::new();
    let pool = daxcow_tests::fixture::new_pool(&place, 16);
    let refused = Pool::repair(place.pool(), &OpenOptions::new()).expect_err("it is in use");
    assert_eq!(refused.kind(), daxcow::ErrorKind::Busy);
    drop(pool);
    let report = Pool::repair(place.pool(), &OpenOptions::new()).expect("it is not");
    assert!(report.repaired.is_empty() && report.left.is_clean());
}

/// Repairs the pool in another process that dies at `step`; how many steps there were, if it lived.
#[cfg(feature = "sim")]
fn dying_repair(path: &Path, step: u64) -> Option<u64> {
    let worker = Path::new(env!("CARGO_BIN_EXE_worker"));
    let arguments = ["repair", &path.to_string_lossy(), &step.to_string()];
    let output = daxcow_tests::process::run(worker, &arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    let steps = said.lines().find_map(|line| line.strip_prefix("steps ")?.parse().ok());
    assert_eq!(output.status.success(), steps.is_some(), "{said}");
    steps
}

/// Every eighth row; `DAXCOW_EFFORT` deaths for each, spread over the steps of its repair.
#[cfg(feature = "sim")]
#[test]
fn a_repair_that_was_killed_is_completed_by_the_next_one() {
    let place = Place::new();
    let before = base_contents(&place);
    let deaths_each = daxcow_tests::rng::number_from_env("DAXCOW_EFFORT", 6);
    let mut rng = daxcow_tests::rng::Rng::new(daxcow_tests::rng::seed_from_env(0x4e9a));
    let (mut deaths, mut wrong) = (0, Vec::new());
    let rows = rows(&Bases::load());
    for row in rows.iter().filter(|row| row.mends == Mends::All).step_by(8) {
        row.image.store(&place.pool()).expect("the pool's file");
        let steps = dying_repair(&place.pool(), u64::MAX).expect("nobody kills it");
        for _ in 0..deaths_each {
            let step = 1 + rng.below(steps);
            row.image.store(&place.pool()).expect("the pool's file");
            deaths += u64::from(dying_repair(&place.pool(), step).is_none());
            let report = Pool::repair(place.pool(), &OpenOptions::new()).expect("it is repaired");
            let pool = open(&place.pool()).expect("opens");
            let after = contents(&pool);
            let touched = |path: &Path| row.touches.iter().any(|touched| path.starts_with(touched));
            let same = before.iter().all(|(path, bytes)| touched(path) || after.get(path) == Some(bytes));
            if !report.left.is_clean() || report.left.leaked_blocks > 0 || !same {
                wrong.push(format!("{}: dead at step {step} of {steps}: {:#?}", row.what, report.left));
            }
        }
    }
    println!("{deaths} repairs killed");
    assert!(deaths > 20 && wrong.is_empty(), "{deaths} deaths, {}", wrong.join("\n"));
}
