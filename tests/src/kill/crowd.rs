//! More processes than a pool has member slots.

use std::time::Duration;

use daxcow::{ErrorKind, OpenOptions, Pool};

use super::death::{PATIENCE, Scene, said, wait_until};
use crate::system::Forked;

/// Slots of a pool.
const SLOTS: usize = 256;
/// Processes that come too late.
const LATE: usize = 44;
/// Members that are killed in the full pool.
const KILLED: usize = 60;

/// Fills every slot, sees those refused who come then, kills some members and sees as many get in.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn crowd(scene: &Scene) -> Result<(), String> {
    scene.template.lay(&scene.pool()).map_err(|error| error.to_string())?;
    let mut members = Vec::new();
    for _ in 0..SLOTS {
        members.push(joined(scene)?);
    }
    for _ in 0..LATE {
        refused(scene).expect_success(PATIENCE)?;
    }
    for member in &mut members[..KILLED] {
        member.signal(libc::SIGKILL);
        member.expect_success_or_kill(PATIENCE)?;
    }
    for _ in 0..KILLED {
        members.push(joined(scene)?);
    }
    refused(scene).expect_success(PATIENCE)?;
    scene.shared.stop();
    members[KILLED..].iter_mut().try_for_each(|member| member.expect_success(PATIENCE))?;
    scene.shared.reset();
    let pool = scene.open()?;
    let files = pool.read_dir("/").map_err(|error| format!("{error:?}"))?.len();
    let report = pool.check().map_err(|error| format!("{error:?}"))?;
    if !report.is_clean() || report.leaked_blocks > 0 || files < SLOTS + KILLED {
        return Err(format!("{files} files are left, check says {report:?}"));
    }
    pool.close().map_err(|error| format!("{error:?}"))
}

/// A process that has become a member and made a file, and stays until it is told to stop.
fn joined(scene: &Scene) -> Result<Forked, String> {
    let shared = scene.shared;
    let before = shared.rounds(0);
    let mut member = Forked::start(|| said(stay(scene)));
    wait_until("a new member", || match member.has_ended() {
        true => Err("a new member has ended".into()),
        false => Ok(shared.rounds(0) > before),
    })?;
    Ok(member)
}

fn stay(scene: &Scene) -> Result<(), String> {
    let pool = scene.open()?;
    crate::fixture::put(&pool, &format!("/{}", std::process::id()), &[1; 5000]);
    scene.shared.round(0);
    while !scene.shared.stopped() {
        std::thread::sleep(Duration::from_millis(5));
    }
    pool.close().map_err(|error| format!("closing: {error:?}"))
}

/// A process that is to be refused.
fn refused(scene: &Scene) -> Forked {
    Forked::start(|| {
        said(match Pool::open(scene.pool(), &OpenOptions::new()) {
            Err(error)
                if error.kind() == ErrorKind::Busy
                    && error.to_string().contains("all 256 member slots of the pool are in use") =>
            {
                Ok(())
            }
            Err(error) => Err(format!("refused with {error:?}")),
            Ok(_) => Err("let into a full pool".into()),
        })
    })
}
