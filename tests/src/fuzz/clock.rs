//! How long a call may take, whatever it is given.

use std::time::{Duration, Instant};

const CALL_MAX: Duration = Duration::from_secs(8);

/// Times calls that follow each other.
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Ends the time of the call `what`. The error says that it took too long.
    pub(super) fn lap(&mut self, what: &str) -> Result<(), String> {
        let took = self.0.elapsed();
        self.0 = Instant::now();
        if took > CALL_MAX { Err(format!("{what} took {took:?}")) } else { Ok(()) }
    }
}
