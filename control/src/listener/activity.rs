//! Whether a connection has a request under way, and until when it may have none.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use tokio::time::Instant;

/// What one connection does.
pub(super) struct Activity(Arc<Shared>);

struct Shared {
    accepted: Instant,
    idle: Duration,
    /// Requests whose answer is not through.
    under_way: AtomicUsize,
    /// Milliseconds after `accepted` until which the next request has to come.
    until: AtomicU64,
}

/// Whether a connection is idle.
pub(super) enum Idle {
    /// No: a request is under way.
    Busy,
    /// It may be, until then.
    Until(Instant),
    /// It has had nothing to do for too long.
    Long,
}

impl Activity {
    /// A connection that has just come.
    pub(super) fn new(first: Duration, idle: Duration) -> Self {
        Self(Arc::new(Shared {
            accepted: Instant::now(),
            idle,
            under_way: AtomicUsize::new(0),
            until: AtomicU64::new(millis(first)),
        }))
    }

    /// When to look for the first time.
    pub(super) fn deadline(&self) -> Instant {
        self.0.deadline()
    }

    /// A request has come. It is under way until what is returned is dropped.
    pub(super) fn begin(&self) -> UnderWay {
        self.0.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(&self.0))
    }

    /// Looks at it now.
    pub(super) fn look(&self) -> Idle {
        if self.0.under_way.load(Ordering::Acquire) > 0 {
            return Idle::Busy;
        }
        let deadline = self.0.deadline();
        if deadline > Instant::now() { Idle::Until(deadline) } else { Idle::Long }
    }
}

impl Shared {
    fn deadline(&self) -> Instant {
        self.accepted + Duration::from_millis(self.until.load(Ordering::Acquire))
    }
}

/// A request that is not answered yet.
pub(super) struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let until = self.0.accepted.elapsed().saturating_add(self.0.idle);
        self.0.until.store(millis(until), Ordering::Release);
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
