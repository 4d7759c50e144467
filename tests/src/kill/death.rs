//! One death: who is there, who dies when, and what must hold afterwards.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use daxcow::sim::{die_at_step, steps, stop_at_step};
use daxcow::{OpenOptions, Pool};

use super::script::Script;
use super::shared::Shared;
use super::survivor;
use super::template::Template;
use crate::aftermath::{self, Promise};
use crate::model::Model;
use crate::place::Place;
use crate::sequences::{POOL_BYTES, before};
use crate::session::{Session, Setup};
use crate::system::Forked;

/// How long a process may take to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long an operation of a survivor may take.
pub const WAIT_MAX: Duration = Duration::from_secs(1);
/// Rounds that survivors do after the death.
const ROUNDS_AFTER: u64 = 2;

/// Who has the pool open beside the victim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Company {
    /// Nobody: the next one to open the pool recovers it.
    Nobody,
    /// So many survivors that work.
    Workers(usize),
    /// Nobody; a second process then opens and closes the pool, and dies at this step of it; if watched, beside a member that
    /// does nothing, so that it joins and recovers the victim.
    Recoverer {
        /// At which step.
        dies_at: u64,
        /// Whether there is a member that does nothing.
        watched: bool,
    },
}

/// What deaths happen with.
#[derive(Debug)]
pub struct Scene {
    place: Place,
    pub(super) template: Template,
    /// What the processes say.
    pub shared: Shared,
    /// Openings that recovered the pool.
    pub recoveries: Cell<u64>,
}

/// How a death went.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Steps of a victim that lived to its end.
    pub steps: Option<u64>,
    /// Steps of a recoverer that lived to its end.
    pub recoverer_steps: Option<u64>,
}

impl Scene {
    /// A place for deaths.
    ///
    /// # Errors
    /// What the pool or the host said.
    pub fn new() -> Result<Scene, String> {
        let place = Place::new();
        let template = Template::make(&place.pool(), POOL_BYTES)?;
        Ok(Scene { place, template, shared: Shared::new(), recoveries: Cell::new(0) })
    }

    pub(super) fn pool(&self) -> PathBuf {
        self.place.pool()
    }

    pub(super) fn open(&self) -> Result<Pool, String> {
        Pool::open(self.pool(), &OpenOptions::new()).map_err(|error| format!("opening: {error:?}"))
    }

    /// Lets `script` be performed by a process that dies before its step `step`, and judges what is left.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn die(&self, script: &Script, step: u64, company: Company) -> Result<Outcome, String> {
        self.template.lay(&self.pool()).map_err(|error| error.to_string())?;
        self.shared.reset();
        match company {
            Company::Workers(count) if !script.alone => self.die_among(script, step, count),
            Company::Nobody | Company::Workers(_) => {
                let steps = self.victim(script, step)?;
                self.judge_anew(script)?;
                Ok(Outcome { steps, recoverer_steps: None })
            }
            Company::Recoverer { dies_at, watched } => {
                self.die_twice(script, step, dies_at, watched && !script.alone)
            }
        }
    }

    fn die_among(&self, script: &Script, step: u64, count: usize) -> Result<Outcome, String> {
        let (path, shared, careful) = (self.pool(), self.shared, script.of_all);
        let mut workers: Vec<Forked> = (0..count)
            .map(|index| Forked::start(|| said(survivor::run(&path, shared, index, careful))))
            .collect();
        let all_have = |rounds: &dyn Fn(usize) -> u64, workers: &mut [Forked]| {
            wait_until("the survivors", || {
                let ended = workers.iter_mut().position(|worker| worker.has_ended());
                match ended {
                    Some(index) => Err(format!("survivor {index} has ended")),
                    None => Ok((0..count).all(|index| shared.rounds(index) >= rounds(index))),
                }
            })
        };
        all_have(&|_| 1, &mut workers)?;
        let steps = self.victim(script, step)?;
        let then: Vec<u64> = (0..count).map(|index| shared.rounds(index) + ROUNDS_AFTER).collect();
        all_have(&|index| then[index], &mut workers)?;
        let pool = self.open()?;
        shared.stop();
        for worker in &mut workers {
            worker.expect_success(PATIENCE).map_err(|what| format!("a survivor: {what}"))?;
        }
        if shared.longest() > WAIT_MAX {
            return Err(format!("an operation of a survivor took {:?}", shared.longest()));
        }
        if !careful {
            (0..count).try_for_each(|index| clear(&pool, shared, index))?;
        }
        self.judge(&pool, script).map_err(|what| format!("seen by a member: {what}"))?;
        pool.close().map_err(|error| format!("closing: {error:?}"))?;
        self.judge_anew(script)?;
        Ok(Outcome { steps, recoverer_steps: None })
    }

    fn die_twice(&self, script: &Script, step: u64, dies_at: u64, watched: bool) -> Result<Outcome, String> {
        let watcher = watched.then(|| Forked::start(|| said(self.watch())));
        if watched {
            wait_until("the watcher", || Ok(self.shared.rounds(0) > 0))?;
        }
        let steps = self.victim(script, step)?;
        let shared = self.shared;
        let mut recoverer = Forked::start(|| {
            let start = arm(dies_at);
            let done =
                self.open().and_then(|pool| pool.close().map_err(|error| format!("closing: {error:?}")));
            shared.acknowledge(1, steps_since(start));
            said(done)
        });
        recoverer.expect_success_or_kill(PATIENCE).map_err(|what| format!("the recoverer: {what}"))?;
        let lived = shared.acknowledged(1);
        let pool = self.open()?;
        shared.stop();
        if let Some(mut watcher) = watcher {
            watcher.expect_success(PATIENCE).map_err(|what| format!("the watcher: {what}"))?;
        }
        self.judge(&pool, script).map_err(|what| format!("seen by a third: {what}"))?;
        pool.close().map_err(|error| format!("closing: {error:?}"))?;
        self.judge_anew(script)?;
        Ok(Outcome { steps, recoverer_steps: (lived > 0).then_some(lived) })
    }

    /// Has the pool open until it is told to stop.
    fn watch(&self) -> Result<(), String> {
        let pool = self.open()?;
        self.shared.round(0);
        while !self.shared.stopped() {
            std::thread::sleep(Duration::from_micros(200));
        }
        pool.close().map_err(|error| format!("closing: {error:?}"))
    }

    /// Runs the victim to its death or its end; then how many steps it took.
    fn victim(&self, script: &Script, step: u64) -> Result<Option<u64>, String> {
        let (path, shared) = (self.pool(), self.shared);
        let mut victim = Forked::start(|| said(perform(&path, shared, script, || arm(step))));
        victim.expect_success_or_kill(PATIENCE).map_err(|what| format!("the victim: {what}"))?;
        match (shared.steps(), step) {
            (None, u64::MAX) => Err("the victim died by itself".into()),
            (steps, _) => Ok(steps),
        }
    }

    pub(super) fn judge(&self, pool: &Pool, script: &Script) -> Result<(), String> {
        let complete = usize::try_from(self.shared.complete()).unwrap_or(usize::MAX).min(script.ops.len());
        aftermath::judge(pool, &script.ops, &states(script), complete, Promise::AtReturn)
    }

    /// Opens the pool as the first one, and expects it whole: nothing is open, held, pinned, reserved or lost.
    pub(super) fn judge_anew(&self, script: &Script) -> Result<(), String> {
        let pool = self.open()?;
        let recovered = pool.info().map_err(|error| format!("asking: {error:?}"))?.recovered;
        self.recoveries.set(self.recoveries.get() + u64::from(recovered.is_some()));
        self.judge(&pool, script)
            .and_then(|()| nothing_leaks(&pool))
            .map_err(|what| format!("opened anew: {what}"))?;
        pool.close().map_err(|error| format!("closing: {error:?}"))
    }
}

/// Arms the death of this process, `step` steps from now.
fn arm(step: u64) -> u64 {
    let start = steps();
    die_at_step(start.saturating_add(step));
    start
}

/// Lets somebody join, then arms the stop of this process, `step` steps from then.
fn arm_stop(shared: Shared, step: u64) -> u64 {
    shared.prepared();
    while !shared.may_go() {
        std::thread::sleep(Duration::from_micros(100));
    }
    let start = steps();
    stop_at_step(start.saturating_add(step));
    start
}

/// Starts a process that stops before step `step` of `script`, once it may go.
pub(super) fn stopping(scene: &Scene, script: &Script, step: u64) -> Forked {
    let (path, shared) = (scene.pool(), scene.shared);
    Forked::start(|| said(perform(&path, shared, script, || arm_stop(shared, step))))
}

/// Steps since `start`.
fn steps_since(start: u64) -> u64 {
    steps() - start
}

/// Prepares the pool, arms, and performs the script.
fn perform(path: &Path, shared: Shared, script: &Script, arm: impl FnOnce() -> u64) -> Result<(), String> {
    let setup = Setup { pool: path.to_owned(), members: 1, base: String::new(), may_run_out: false };
    let mut session = Session::join(setup).map_err(|error| format!("joining: {error:?}"))?;
    for op in before() {
        session.step(&op).map_err(|mismatch| format!("preparing, {op:?}: {}", mismatch.0))?;
    }
    let start = arm();
    for op in &script.ops {
        session.step(op).map_err(|mismatch| format!("{op:?}: {}", mismatch.0))?;
        shared.complete_one();
    }
    if let Some(visit) = script.visit {
        visit(session.pool(0)).map_err(|error| format!("visiting: {error:?}"))?;
    }
    drop(session);
    shared.lived(steps_since(start));
    Ok(())
}

/// The model before the first operation of the script and after each.
fn states(script: &Script) -> Vec<Model> {
    let mut model = Model::default();
    before().iter().for_each(|op| drop(model.apply(op)));
    let mut states = vec![model.clone()];
    for op in &script.ops {
        if !model.is_void(op) {
            model.apply(op);
        }
        states.push(model.clone());
    }
    states
}

/// Checks the ledger of a survivor and removes what it has made.
fn clear(pool: &Pool, shared: Shared, index: usize) -> Result<(), String> {
    let found = crate::fixture::get(pool, &survivor::ledger(index));
    let number =
        found.try_into().map(u64::from_le_bytes).map_err(|bytes| format!("the ledger holds {bytes:?}"))?;
    if number != shared.acknowledged(index) {
        return Err(format!(
            "{} was acknowledged by survivor {index}, its ledger says {number}",
            shared.acknowledged(index)
        ));
    }
    pool.remove_dir_all(survivor::directory(index)).map_err(|error| format!("clearing: {error:?}"))
}

/// That one member has the pool open and holds nothing, and every block has an owner.
fn nothing_leaks(pool: &Pool) -> Result<(), String> {
    aftermath::judge_leaks(pool)?;
    let members = pool.info().map_err(|error| format!("asking: {error:?}"))?.members;
    match members.as_slice() {
        [own] if own.this && own.holds.is_empty() => Ok(()),
        others => Err(format!("members that are left, or hold something: {others:?}")),
    }
}

/// Waits until `done`, 30 seconds at most.
pub(super) fn wait_until(who: &str, mut done: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let start = Instant::now();
    while !done()? {
        if start.elapsed() > PATIENCE {
            return Err(format!("{who} hang"));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

/// The exit code of a forked process, which says on standard error what went wrong.
pub(super) fn said(outcome: Result<(), String>) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(what) => {
            eprintln!("{what}");
            1
        }
    }
}
