//! Turns at a fixed rate, until told to stop.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ends all paces that were made of it.
#[derive(Clone, Default)]
pub(super) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    pub(super) fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits for so long; whether nobody said stop meanwhile.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let guard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(guard, limit, |stopped| !*stopped);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Lets things go on as they are for a while.
pub(super) fn pause(time: Duration) {
    Stop::default().wait(time);
}

/// One turn after another.
pub(super) struct Pace {
    stop: Stop,
    every: Duration,
    next: Instant,
}

impl Pace {
    /// `rate` turns a second; the first one after a part of a turn, so that many do not march in step.
    pub(super) fn new(stop: Stop, rate: u32, number: usize, of: usize) -> Self {
        let every = Duration::from_secs(1) / rate.max(1);
        let share =
            u32::try_from(number).unwrap_or(0) * every / u32::try_from(of.max(1)).unwrap_or(1);
        Self { stop, every, next: Instant::now() + share }
    }

    /// Waits for the next turn; false when it is over. Turns that were missed are not made up for: a
    /// sender that waited for an answer does not burst.
    pub(super) fn turn(&mut self) -> bool {
        let go_on = self.stop.wait(self.next.saturating_duration_since(Instant::now()));
        self.next = (self.next + self.every).max(Instant::now());
        go_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_their_rate_and_end_at_once() {
        let stop = Stop::default();
        let mut pace = Pace::new(stop.clone(), 200, 0, 1);
        let began = Instant::now();
        for _ in 0..=20 {
            assert!(pace.turn());
        }
        assert!(began.elapsed() >= Duration::from_millis(95), "{:?}", began.elapsed());
        stop.stop();
        assert!(!Pace::new(stop, 1, 1, 1).turn());
    }
}
