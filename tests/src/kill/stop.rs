//! Members that are stopped (SIGSTOP) in the middle of an operation: they block others no more than the lock they hold, are never
//! taken for dead, and go on when they are continued.

use std::time::{Duration, Instant};

use daxcow::{ErrorKind, File, MemberInfo, Pool};

use super::death::{PATIENCE, Scene, WAIT_MAX, stopping, wait_until};
use super::script::Script;
use crate::fixture;

/// A file that nobody but this process uses.
const FREE: &str = "/free";

/// What a stop was like for the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// The script ended before that step.
    Never,
    /// In an operation: snapshots were refused meanwhile.
    Marked,
    /// With the gate closed: nothing could be changed meanwhile.
    Cutting,
    /// Between operations: nobody noticed.
    Idle,
    /// While it opened the pool: who opens or closes it waits, and nobody else.
    Opening,
}

/// Lets `script` be performed by a process that is stopped before its step `step`, looks at the pool as another member does, and
/// lets it go on.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn stop(scene: &Scene, script: &Script, step: u64) -> Result<Stopped, String> {
    scene.template.lay(&scene.pool()).map_err(|error| error.to_string())?;
    let shared = scene.shared;
    shared.reset();
    let mut stopped = stopping(scene, script, step);
    wait_until("the one to be stopped", || match stopped.has_ended() {
        true => Err("it has ended before it began".into()),
        false => Ok(shared.is_prepared()),
    })?;
    let pool = scene.open()?;
    let free = fixture::file(&pool, FREE);
    shared.go();
    let mut is_stopped = false;
    wait_until("the one to be stopped", || {
        is_stopped = stopped.has_stopped();
        Ok(is_stopped || stopped.has_ended())
    })?;
    let seen = match is_stopped {
        true => others(&pool, &free, stopped.id())?,
        false => Stopped::Never,
    };
    stopped.signal(libc::SIGCONT);
    stopped.expect_success(PATIENCE).map_err(|what| format!("the one that was stopped: {what}"))?;
    drop(free);
    let removed = pool.remove_file(FREE).and_then(|()| pool.create_snapshot("after", &["/own"]));
    match removed.and_then(|_| pool.delete_snapshot("after")) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(format!("afterwards: {error:?}")),
        _ => {}
    }
    scene.judge(&pool, script)?;
    pool.close().map_err(|error| format!("closing: {error:?}"))?;
    let pool = scene.open()?;
    let clean = pool.info().map_err(|error| format!("asking: {error:?}"))?.clean_at_open;
    pool.close().map_err(|error| format!("closing: {error:?}"))?;
    match clean {
        true => scene.judge_anew(script).map(|()| seen),
        false => Err("the stopped member was taken for dead".into()),
    }
}

/// What another member can do while one is stopped.
fn others(pool: &Pool, free: &File, id: libc::pid_t) -> Result<Stopped, String> {
    let mut member = None;
    quick("asking", || {
        member = Some(asked(pool, id));
        Ok(())
    })?;
    let member = member.ok_or("nobody was asked")??;
    if let Some(member) = &member
        && !(member.alive && member.stopped)
    {
        return Err(format!("info does not say that it is alive and stopped: {member:?}"));
    }
    quick("reading", || free.read_at(&mut [0; 4096], 0).map(drop))?;
    if member.as_ref().is_some_and(|member| member.holds.iter().any(|held| held.contains("gate"))) {
        return Ok(Stopped::Cutting);
    }
    quick("writing", || free.write_at(&[1; 9000], 100))?;
    quick("appending", || free.append(&[2; 5000]).map(drop))?;
    quick("truncating", || free.set_len(3000))?;
    quick("committing a batch", || {
        let mut batch = free.batch()?;
        batch.write_at(&[3; 9000], 50)?;
        batch.commit()
    })?;
    let start = Instant::now();
    let seen = match pool.create_snapshot("meanwhile", &[FREE]) {
        Ok(_) => {
            pool.delete_snapshot("meanwhile").map_err(|error| format!("deleting a snapshot: {error:?}"))?;
            if member.is_some() { Stopped::Idle } else { Stopped::Opening }
        }
        Err(error) if error.kind() == ErrorKind::Busy => {
            let member =
                member.ok_or_else(|| format!("a snapshot waits for one who is no member: {error}"))?;
            let wanted = format!("pid {id} ({}), which is stopped,", member.name);
            let text = error.to_string();
            if !text.contains(&wanted) || start.elapsed() > Duration::from_secs(2) {
                return Err(format!(
                    "expected Busy of {wanted:?} within 2 s, found {text:?} after {:?}",
                    start.elapsed()
                ));
            }
            Stopped::Marked
        }
        Err(error) => return Err(format!("a snapshot: {error:?}")),
    };
    quick("writing after a refused snapshot", || free.write_at(&[4; 100], 0))?;
    Ok(seen)
}

/// What the pool says of the process `id`; nothing where it is no member (yet, or any more).
fn asked(pool: &Pool, id: libc::pid_t) -> Result<Option<MemberInfo>, String> {
    let info = pool.info().map_err(|error| format!("asking: {error:?}"))?;
    Ok(info.members.into_iter().find(|member| member.pid.cast_signed() == id))
}

fn quick(what: &str, act: impl FnOnce() -> daxcow::Result<()>) -> Result<(), String> {
    let start = Instant::now();
    act().map_err(|error| format!("{what} while another is stopped: {error:?}"))?;
    match start.elapsed() {
        time if time > WAIT_MAX => Err(format!("{what} while another is stopped took {time:?}")),
        _ => Ok(()),
    }
}
