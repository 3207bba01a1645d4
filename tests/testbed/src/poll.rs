//! Waiting for a condition, with a deadline. Nothing else in the tests waits.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Long enough not to load a small machine, short enough not to be felt.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is an answer.
///
/// # Errors
/// `limit` passes first; the error names `what` was waited for.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    until_ok(what, limit, || Ok(ask()))
}

/// As [`until`], for a question that can fail for good.
///
/// # Errors
/// `limit` passes first, or the question fails.
pub fn until_ok<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if started.elapsed() > limit {
            bail!("waited {limit:?} for {what}");
        }
        #[expect(clippy::disallowed_methods, reason = "the one pause between two questions")]
        thread::sleep(PAUSE);
    }
}
