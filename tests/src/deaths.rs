//! Deaths at chosen steps: a process performs a sequence and dies in it, another judges what it left.

use std::path::Path;
use std::time::{Duration, Instant};

use daxcow::{OpenOptions, Pool};

use crate::aftermath::{self, Promise};
use crate::model::Model;
use crate::op::Op;
use crate::place::Place;
use crate::process::{Running, Silence};
use crate::sequences::before;

/// How long a process may be silent before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a survivor may need to take note of a death and go on.
const BLOCKED_MAX: Duration = Duration::from_secs(1);

/// Runs the sequence `name`, made of `ops`, in another process that dies at step `step`, and judges the pool: by a member that
/// was there all the time if `watched`, and after it has been opened anew. Gives how many steps the sequence has if the
/// process did not die.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn die_at(
    program: &Path,
    name: &str,
    ops: &[Op],
    step: u64,
    watched: bool,
) -> Result<Option<u64>, String> {
    let place = Place::new();
    let path = place.pool();
    let mut probe = Running::start(program, &["steps", &path.to_string_lossy(), name, &step.to_string()]);
    match probe.line(PATIENCE) {
        Ok(line) if line == "armed" => {}
        other => return Err(format!("the process said {other:?} before it began")),
    }
    let open = || Pool::open(&path, &OpenOptions::new()).map_err(|error| format!("opening: {error:?}"));
    let survivor = if watched { Some(open()?) } else { None };
    probe.tell("go");
    let (mut complete, mut steps) = (0, None);
    loop {
        match probe.line(PATIENCE) {
            Ok(line) => match line.strip_prefix("steps ") {
                Some(count) => steps = crate::rng::parse_number(count),
                None => complete += 1,
            },
            Err(Silence::Ended) => break,
            Err(Silence::Hangs) => return Err("the process hangs".into()),
        }
    }
    probe.kill();
    let states = states(ops);
    if let Some(pool) = survivor {
        let death = Instant::now();
        pool.create_dir("/survivor")
            .and_then(|()| pool.remove_dir("/survivor"))
            .map_err(|error| format!("the survivor cannot go on: {error:?}"))?;
        if death.elapsed() > BLOCKED_MAX {
            return Err(format!("the survivor was blocked for {:?}", death.elapsed()));
        }
        aftermath::judge(&pool, ops, &states, complete, Promise::AtReturn)
            .map_err(|what| format!("seen by the survivor: {what}"))?;
        pool.close().map_err(|error| format!("closing: {error:?}"))?;
    }
    let pool = open()?;
    let judged = aftermath::judge(&pool, ops, &states, complete, Promise::AtReturn);
    judged.and_then(|()| aftermath::judge_leaks(&pool)).map_err(|what| format!("opened anew: {what}"))?;
    Ok(steps)
}

/// The model before the first of `ops` and after each.
fn states(ops: &[Op]) -> Vec<Model> {
    let mut model = Model::default();
    before().iter().for_each(|op| drop(model.apply(op)));
    let mut states = vec![model.clone()];
    for op in ops {
        if !model.is_void(op) {
            model.apply(op);
        }
        states.push(model.clone());
    }
    states
}
