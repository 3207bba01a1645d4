//! Everybody who still tries a key that is revoked: on a connection of their own for each worker, from
//! the moment control acknowledged the revocation until the end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::line::{Line, Outcome, Seen};
use super::load::event;
use super::pace::{Pace, Stop};
use crate::poll;

/// What we promise: refused everywhere so soon after control's answer.
pub const PROMISE: Duration = Duration::from_secs(1);

/// All probes together, a second.
const RATE: u32 = 120;

/// The newest key is watched closely for so long: when it is refused is what is measured.
const CLOSELY: Duration = Duration::from_secs(2);

/// What became of the revoked keys.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    /// Keys that were watched.
    pub keys: u64,
    /// Requests that tried them.
    pub tries: u64,
    /// Requests that were accepted, in time or not.
    pub accepted: u64,
    /// Requests that were accepted though they began later than [`PROMISE`] after the moment from
    /// which the key had to be refused.
    pub late: u64,
    /// The last acceptance of any, after that moment.
    pub in_force: Duration,
    /// Tries that were told 503.
    pub unavailable: u64,
    /// Tries that were not answered. They prove nothing either way.
    pub lost: u64,
    /// The first late ones, for whoever has to find out.
    pub told: Vec<String>,
}

impl Revoked {
    /// The same keys, tried elsewhere.
    pub(super) fn add(&mut self, other: Self) {
        self.keys = self.keys.max(other.keys);
        self.tries += other.tries;
        self.accepted += other.accepted;
        self.late += other.late;
        self.in_force = self.in_force.max(other.in_force);
        self.unavailable += other.unavailable;
        self.lost += other.lost;
        self.told.extend(other.told);
    }
}

struct Watched {
    id: u64,
    name: String,
    request: Arc<Vec<u8>>,
    from: Instant,
    last_accepted: Option<Instant>,
    refused_since: u64,
}

#[derive(Default)]
struct Shared {
    watched: Vec<Watched>,
    ids: u64,
    next: usize,
    revoked: Revoked,
}

/// The probes under way. They end when it is dropped.
pub(super) struct Probes {
    address: SocketAddr,
    lines: usize,
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Mutex<Shared>>,
}

impl Probes {
    pub(super) fn start(address: SocketAddr, lines: usize) -> Self {
        let stop = Stop::default();
        let shared = Arc::<Mutex<Shared>>::default();
        let each = RATE / u32::try_from(lines.max(1)).unwrap_or(1);
        let threads = (0..lines)
            .map(|number| {
                let (shared, mut pace) =
                    (Arc::clone(&shared), Pace::new(stop.clone(), each, number, lines));
                thread::spawn(move || {
                    let mut line = Line::new(address);
                    while pace.turn() {
                        let Some((id, request)) = lock(&shared).pick() else { continue };
                        let seen = line.exchange(&request);
                        lock(&shared).count(id, &seen);
                    }
                })
            })
            .collect();
        Self { address, lines, stop, threads, shared }
    }

    /// Tries this key from now on. It has to be refused later than [`PROMISE`] after `from`.
    pub(super) fn watch(&self, name: &str, stream: &str, secret: &str, from: Instant) {
        let request = Arc::new(event(self.address, stream, secret));
        let mut shared = lock(&self.shared);
        shared.revoked.keys += 1;
        shared.ids += 1;
        let (id, name, last_accepted, refused_since) = (shared.ids, name.to_owned(), None, 0);
        shared.watched.push(Watched { id, name, request, from, last_accepted, refused_since });
    }

    /// Waits until the key that was watched last is refused by everybody who asks. Answers how long
    /// after its moment the last request was still accepted.
    pub(super) fn wait_until_refused(&self, limit: Duration) -> Result<Duration> {
        // One row of refusals that is long enough to have come over every connection.
        let row = 3 * self.lines as u64;
        poll::until("a revoked key to be refused by everybody", limit, || {
            let shared = lock(&self.shared);
            let last = shared.watched.last()?;
            let accepted = last.last_accepted.unwrap_or(last.from);
            (last.refused_since >= row).then(|| accepted.saturating_duration_since(last.from))
        })
        .with_context(|| format!("{:?}", lock(&self.shared).revoked))
    }

    /// What became of them since it was asked last. The keys stay under watch.
    pub(super) fn account(&self) -> Revoked {
        let mut shared = lock(&self.shared);
        let keys = shared.watched.len() as u64;
        Revoked { keys, ..std::mem::take(&mut shared.revoked) }
    }

    /// Forgets all keys: what comes next makes them good again.
    pub(super) fn forget(&self) {
        lock(&self.shared).watched.clear();
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has told of it.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    /// The newest key while it is new, with every fourth turn for the others; then each in turn.
    fn pick(&mut self) -> Option<(u64, Arc<Vec<u8>>)> {
        self.next = self.next.wrapping_add(1);
        let newest = self.watched.len().checked_sub(1)?;
        let is_new = self.watched.last().is_some_and(|key| key.from.elapsed() < CLOSELY);
        let index =
            if is_new && !self.next.is_multiple_of(4) { newest } else { self.next % (newest + 1) };
        let key = self.watched.get(index)?;
        Some((key.id, Arc::clone(&key.request)))
    }

    fn count(&mut self, id: u64, seen: &Seen) {
        // It may have been forgotten while it was tried.
        let Some(key) = self.watched.iter_mut().find(|key| key.id == id) else { return };
        self.revoked.tries += 1;
        if matches!(seen.outcome, Outcome::Lost(_)) {
            self.revoked.lost += 1;
        }
        self.revoked.unavailable += u64::from(seen.is_unavailable());
        if !seen.is_accepted() {
            key.refused_since += 1;
            return;
        }
        self.revoked.accepted += 1;
        key.refused_since = 0;
        key.last_accepted = key.last_accepted.max(Some(seen.ended()));
        let after = seen.ended().saturating_duration_since(key.from);
        self.revoked.in_force = self.revoked.in_force.max(after);
        let late = seen.began.saturating_duration_since(key.from);
        if late > PROMISE {
            self.revoked.late += 1;
            if self.revoked.told.len() < 10 {
                self.revoked.told.push(format!("{}: accepted {late:?} after", key.name));
            }
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
