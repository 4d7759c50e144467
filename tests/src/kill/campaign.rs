//! All deaths of all scripts, or a sample of them.

use std::time::{Duration, Instant};

use super::death::{Company, Scene};
use super::script::{Script, joined, scripts};
use super::stop::{Stopped, stop};
use crate::rng::Rng;

/// Everybody whom a victim may die beside, but for recoverers.
const COMPANIES: [Company; 3] = [Company::Nobody, Company::Workers(1), Company::Workers(2)];

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub enum Effort {
    /// So many deaths of each script, at random steps, in turn beside each company, and of recoverers.
    Sample(u64),
    /// Every step of every script beside every company, and every step of a recoverer after sampled deaths, scripts of few
    /// steps first; then pairs of scripts; until the time is up.
    Everything {
        /// How long.
        time: Duration,
        /// Which part of the scripts, from 0: the others are for other processes.
        part: usize,
        /// How many parts there are.
        parts: usize,
    },
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Scripts and pairs of them.
    pub scripts: u64,
    /// Deaths of victims.
    pub deaths: u64,
    /// Deaths of recoverers.
    pub recoverers: u64,
    /// Openings that recovered the pool.
    pub recoveries: u64,
    /// Scripts all of whose steps were gone through, beside everybody.
    pub whole: u64,
    /// What went wrong, one sentence each.
    pub failures: Vec<String>,
}

/// A campaign.
struct Campaign {
    scene: Scene,
    rng: Rng,
    tally: Tally,
    end: Option<Instant>,
}

/// Runs a campaign and says how it went: the tally, and the summary as one line for people and one of numbers for programs.
///
/// # Errors
/// Where it cannot begin.
pub fn run(effort: Effort, seed: u64) -> Result<(Tally, [String; 2]), String> {
    let end = match effort {
        Effort::Sample(_) => None,
        Effort::Everything { time, .. } => Some(Instant::now() + time),
    };
    let mut campaign = Campaign { scene: Scene::new()?, rng: Rng::new(seed), tally: Tally::default(), end };
    match effort {
        Effort::Sample(deaths) => campaign.sample(deaths),
        Effort::Everything { part, parts, .. } => campaign.everything(part, parts),
    }
    let Campaign { scene, mut tally, .. } = campaign;
    tally.recoveries = scene.recoveries.get();
    let shared = scene.shared;
    let line = format!(
        "deaths: {} scripts ({} through all steps), {} death steps, {} recoverers killed, {} recoveries, {} operations of survivors, \
         half within {:.1?}, longest {:.1?}, {} failures",
        tally.scripts,
        tally.whole,
        tally.deaths,
        tally.recoverers,
        tally.recoveries,
        shared.operations(),
        shared.quantile(0.5),
        shared.longest(),
        tally.failures.len()
    );
    let numbers = format!(
        "numbers {} {} {} {} {} {}",
        tally.scripts,
        tally.deaths,
        tally.recoverers,
        tally.recoveries,
        shared.longest().as_micros(),
        tally.failures.len()
    );
    Ok((tally, [line, numbers]))
}

/// Stops members `count` times, each at a random step of a random script, and says what it was like for others.
///
/// # Errors
/// What went wrong first, as a sentence.
pub fn stops(count: u64, seed: u64) -> Result<(), String> {
    let scene = Scene::new()?;
    let mut rng = Rng::new(seed);
    // Beside a script that replaces everything nothing can be kept, and some want to be alone with the pool.
    let beside = |script: &Script| !(script.of_all || script.alone);
    let scripts: Vec<Script> = scripts().into_iter().filter(beside).collect();
    let (mut marked, mut others) = (0, 0);
    for _ in 0..count {
        let script = rng.pick(&scripts);
        let steps = scene.die(script, u64::MAX, Company::Nobody)?.steps.unwrap_or(1);
        let step = 1 + rng.below(steps);
        match stop(&scene, script, step) {
            Ok(Stopped::Marked) => marked += 1,
            Ok(_) => others += 1,
            Err(what) => return Err(format!("{:?}, stopped at step {step}: {what}", script.name)),
        }
    }
    println!("stops: {marked} in an operation, {others} others, 0 failures");
    match (count, marked) {
        (8.., 0) => Err("nobody was stopped in an operation".into()),
        _ => Ok(()),
    }
}

impl Campaign {
    fn time_is_up(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// One death; how many steps there are if there was none, of the recoverer where there is one.
    fn die(&mut self, script: &Script, step: u64, company: Company) -> Option<u64> {
        let recovers = matches!(company, Company::Recoverer { .. });
        match self.scene.die(script, step, company) {
            Ok(outcome) => {
                self.tally.deaths += u64::from(outcome.steps.is_none());
                self.tally.recoverers += u64::from(recovers && outcome.recoverer_steps.is_none());
                if recovers { outcome.recoverer_steps } else { outcome.steps }
            }
            Err(what) => {
                let failure = format!("{:?}, death at step {step} beside {company:?}: {what}", script.name);
                eprintln!("{failure}");
                self.tally.failures.push(failure);
                None
            }
        }
    }

    fn sample(&mut self, deaths: u64) {
        for script in scripts() {
            self.tally.scripts += 1;
            let Some(steps) = self.die(&script, u64::MAX, Company::Nobody) else { continue };
            for death in 0..deaths {
                let step = 1 + self.rng.below(steps);
                match death % 4 {
                    3 => self.recoverer_at_random(&script, step),
                    index => {
                        let company = COMPANIES[usize::try_from(index).unwrap_or(0)];
                        self.die(&script, step, company);
                    }
                }
            }
        }
    }

    fn recoverer_at_random(&mut self, script: &Script, step: u64) {
        let watched = self.rng.one_in(2);
        let whole = Company::Recoverer { dies_at: u64::MAX, watched };
        if let Some(steps) = self.die(script, step, whole) {
            let dies_at = 1 + self.rng.below(steps);
            self.die(script, step, Company::Recoverer { dies_at, watched });
        }
    }

    fn everything(&mut self, part: usize, parts: usize) {
        let mut scripts: Vec<(u64, Script)> = scripts()
            .into_iter()
            .filter_map(|script| Some((self.die(&script, u64::MAX, Company::Nobody)?, script)))
            .collect();
        scripts.sort_by_key(|(steps, _)| *steps);
        let scripts: Vec<Script> =
            scripts.into_iter().map(|(_, script)| script).skip(part).step_by(parts).collect();
        for script in &scripts {
            self.tally.scripts += 1;
            let mut whole = true;
            for company in COMPANIES {
                whole &= self.every_step(script, company);
            }
            self.tally.whole += u64::from(whole);
            self.every_step_of_a_recoverer(script);
        }
        while !self.time_is_up() {
            let script = joined(self.rng.pick(&scripts), self.rng.pick(&scripts));
            self.tally.scripts += 1;
            let Some(steps) = self.die(&script, u64::MAX, Company::Nobody) else { continue };
            for company in COMPANIES {
                let step = 1 + self.rng.below(steps);
                self.die(&script, step, company);
            }
            let step = 1 + self.rng.below(steps);
            self.recoverer_at_random(&script, step);
        }
    }

    /// Whether it came through before the time was up.
    fn every_step(&mut self, script: &Script, company: Company) -> bool {
        // Beside others the number of steps varies: the end is where the victim lives to its own.
        for step in 1.. {
            if self.time_is_up() {
                return false;
            }
            if self.die(script, step, company).is_some() {
                break;
            }
            if self.tally.failures.len() > 20 {
                return false;
            }
        }
        true
    }

    fn every_step_of_a_recoverer(&mut self, script: &Script) {
        let Some(steps) = self.die(script, u64::MAX, Company::Nobody) else { return };
        let step = 1 + self.rng.below(steps);
        for watched in [false, true] {
            for dies_at in 1.. {
                let company = Company::Recoverer { dies_at, watched };
                if self.time_is_up() || self.die(script, step, company).is_some() {
                    break;
                }
            }
        }
    }
}
