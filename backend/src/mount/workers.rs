//! Tasks that bring more tasks, shared by as many threads as there are processors.

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};

/// Tasks to share, and how many are being performed.
struct Queue<T> {
    state: Mutex<(Vec<T>, usize)>,
    changed: Condvar,
}

/// How many threads share `parts` of work. Asking the system costs more than a small pool does.
pub(super) fn threads_for(parts: usize) -> usize {
    if parts < 2 { 1 } else { std::thread::available_parallelism().map_or(1, usize::from).min(parts) }
}

/// Performs `tasks` and what `perform` adds to them in so many threads, this one included; an error ends it.
pub(super) fn share<T: Send>(
    tasks: Vec<T>,
    threads: usize,
    perform: impl Fn(T, &mut Vec<T>) -> Result<()> + Sync,
) -> Result<()> {
    let queue = Queue { state: Mutex::new((tasks, 0)), changed: Condvar::new() };
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    std::thread::scope(|scope| {
        let worker = || {
            if let Err(error) = queue.run(&perform) {
                failure.lock().get_or_insert(error);
            }
        };
        for _ in 1..threads {
            scope.spawn(worker);
        }
        worker();
    });
    failure.into_inner().map_or(Ok(()), Err)
}

impl<T> Queue<T> {
    /// Performs tasks until there are none and nobody is at work on one that may bring more.
    fn run(&self, perform: impl Fn(T, &mut Vec<T>) -> Result<()>) -> Result<()> {
        let mut more = Vec::new();
        let mut state = self.state.lock();
        loop {
            match state.0.pop() {
                Some(task) => {
                    state.1 += 1;
                    drop(state);
                    let performed = perform(task, &mut more);
                    state = self.state.lock();
                    state.1 -= 1;
                    if performed.is_err() {
                        state.0.clear();
                        self.changed.notify_all();
                        return performed;
                    }
                    state.0.append(&mut more);
                    if state.0.len() > 1 || state.1 == 0 {
                        self.changed.notify_all();
                    }
                }
                None if state.1 == 0 => return Ok(()),
                None => self.changed.wait(&mut state),
            }
        }
    }
}
