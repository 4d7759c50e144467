//! A forced rollback whose process dies at any step, beside a member that has open what it replaces.
//!
//! ```text
//! /d/f  /d/sub/g  /h   put back by one transaction: either all three names lead to other files from then on, or none
//! ```
//!
//! Once the dead has been recovered, a handle is of the file that has its name, or it is stale: never does one go on writing to
//! a file without a name.

use daxcow::sim::{die_at_step, steps};
use daxcow::{ErrorKind, File, Pool, RollbackOptions};

use super::death::{PATIENCE, Scene, said, wait_until};
use crate::aftermath;
use crate::fixture::{file, get, put};
use crate::system::Forked;

const PATHS: [&str; 3] = ["/d/f", "/d/sub/g", "/h"];
const KEPT: &[u8] = b"as the snapshot has it";
const LATER: &[u8] = b"as it was before the rollback";
const LATEST: &[u8] = b"what a handle wrote after the death";

/// How often the handles of a death were of the files that have the names, and how often they were stale.
#[derive(Clone, Copy, Default, Debug)]
pub struct Seen {
    /// Deaths before the names changed.
    pub before: u64,
    /// Deaths after.
    pub after: u64,
}

/// A rollback that dies before each of its steps, one after the other.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn replaced(scene: &Scene) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for step in 1.. {
        let went = one(scene, step).map_err(|what| format!("death before step {step}: {what}"))?;
        match went.stale {
            true => seen.after += 1,
            false => seen.before += 1,
        }
        if went.lived {
            break;
        }
    }
    Ok(seen)
}

struct Went {
    stale: bool,
    lived: bool,
}

fn one(scene: &Scene, step: u64) -> Result<Went, String> {
    let told = |error: daxcow::Error| format!("{error:?}");
    scene.template.lay(&scene.pool()).map_err(|error| error.to_string())?;
    scene.shared.reset();
    let mut victim = Forked::start(|| said(roll_back(scene, step)));
    wait_until("the one to die", || match victim.has_ended() {
        true => Err("it has ended before it began".into()),
        false => Ok(scene.shared.is_prepared()),
    })?;
    let pool = scene.open()?;
    let handles = PATHS.map(|path| file(&pool, path));
    scene.shared.go();
    victim.expect_success_or_kill(PATIENCE)?;
    let lived = scene.shared.steps().is_some();
    // Who joins recovers the dead, and frees what they left without a name.
    scene.open()?.close().map_err(told)?;
    let stale = judged(&pool, &handles)?;
    drop(handles);
    pool.delete_snapshot("s").map_err(told)?;
    pool.close().map_err(told)?;
    // The next first opener counts anew what the dead had taken.
    let pool = scene.open()?;
    aftermath::judge_leaks(&pool)?;
    pool.close().map_err(told)?;
    match (lived, stale) {
        (true, false) => Err("the rollback is done, and a handle is not stale".into()),
        _ => Ok(Went { stale, lived }),
    }
}

/// Whether the handles are stale: all of them, or none.
fn judged(pool: &Pool, handles: &[File]) -> Result<bool, String> {
    let mut stale = Vec::new();
    for (path, handle) in PATHS.iter().zip(handles) {
        let wrote = handle.write_at(LATEST, 0);
        let expected = match &wrote {
            Ok(()) => [LATEST, &LATER[LATEST.len().min(LATER.len())..]].concat(),
            Err(error) if error.kind() == ErrorKind::Stale => KEPT.to_vec(),
            Err(error) => return Err(format!("{path}: expected Ok or Stale, found {error:?}")),
        };
        stale.push(wrote.is_err());
        let found = get(pool, path);
        if found != expected {
            return Err(format!(
                "{path}: the handle answered {wrote:?}, and the name leads to {:?}",
                String::from_utf8_lossy(&found)
            ));
        }
    }
    match stale.iter().all(|&one| one == stale[0]) {
        true => Ok(stale[0]),
        false => Err(format!("stale are {stale:?} of {PATHS:?}")),
    }
}

/// Prepares the pool, and rolls it back once told to, until the death.
fn roll_back(scene: &Scene, step: u64) -> Result<(), String> {
    let shared = scene.shared;
    let prepare_and_roll_back = |pool: &Pool| {
        pool.create_dir("/d")?;
        pool.create_dir("/d/sub")?;
        PATHS.iter().for_each(|path| put(pool, path, KEPT));
        pool.create_snapshot("s", &["/d", "/h"])?;
        PATHS.iter().for_each(|path| put(pool, path, LATER));
        shared.prepared();
        while !shared.may_go() {
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        let start = steps();
        die_at_step(start.saturating_add(step));
        pool.rollback("s", RollbackOptions { force: true })?;
        die_at_step(u64::MAX);
        shared.lived(steps() - start);
        Ok(())
    };
    prepare_and_roll_back(&scene.open()?).map_err(|error: daxcow::Error| format!("rolling back: {error:?}"))
}
