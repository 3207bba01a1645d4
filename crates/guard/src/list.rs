//! The allowlist in shared data: one table for all VMs of an Envoy, changed by compare-and-swap.
//!
//! The host's shared data comes in as a trait, so that the tests can play two pollers against each
//! other step by step. What must hold whatever the order of their steps: a later revision is never
//! undone, nothing of a swept generation comes back, and a list is ready only once it is whole.

mod grants;
mod notes;
mod offer;

use std::cell::RefCell;
use std::collections::BTreeMap;

use mpgate_contract::{Digest, Page, State};

use self::grants::Grants;
use crate::sync::Begin;
use crate::{BUCKETS, Bucket, Corrupt, Known, Phase, Stamp, SyncState, Update, bucket_of};

/// The version of what lies in shared data. A module that writes it otherwise takes another number,
/// and with it a table of its own: an Envoy that updates to it needs control for a first list, so the
/// release notes say *list format* and the number.
const FORMAT: u32 = 2;

/// Tries of one compare-and-swap. A hundred lost races in a row are a fault, not bad luck.
pub(crate) const SWAPS_MAX: u32 = 100;

/// Buckets swept in one step, so that a worker is held up for a few milliseconds at most.
const SWEEP_STEP: u16 = 1_024;

/// Values that all VMs see.
pub trait SharedData {
    /// The value and its version, or `None` for a key that was never created.
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)>;

    /// Creates or overwrites a key. Envoy ignores the version of a compare-and-swap on a missing
    /// key, so each is created before anybody swaps it.
    fn create(&self, key: &str, value: &[u8]);

    /// Replaces the value if its version is still this one.
    ///
    /// # Errors
    /// [`SwapError`] if it is not.
    fn swap(&self, key: &str, value: &[u8], version: u32) -> Result<(), SwapError>;

    /// How often something was changed, by any VM: asking costs a tenth of a [`Self::get`]. `None` if
    /// that cannot be told.
    fn changes(&self) -> Option<u64>;

    /// Counts changes, once they are made and before the state tells of them: of the state control gets its
    /// receipt. Also changes that another VM had made already: it may have died, or not have come to count them.
    fn note_change(&self);
}

/// Somebody else wrote first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapError;

/// The allowlist of one gate.
pub struct AllowList<S> {
    shared: S,
    prefix: String,
    /// The key of the bucket that was looked up last: a request pays for no new one.
    bucket_key: RefCell<String>,
    grants: Grants,
    /// What the gate without control looks for: the key that names the control its list came from.
    last: String,
    cluster: Option<String>,
}

/// How far a sweep has come, and of which generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    generation: u32,
    buckets: u16,
}

/// By how much the list grew.
///
/// A VM that dies between a bucket and the state leaves its share of a page uncounted: a figure for
/// people, on which nothing rests.
#[derive(Clone, Copy, Default)]
struct Grown {
    keys: i64,
    streams: i64,
}

impl Grown {
    fn add_to(self, state: &SyncState) -> SyncState {
        SyncState {
            keys: state.keys.saturating_add_signed(self.keys),
            streams: state.streams.saturating_add_signed(self.streams),
            ..state.clone()
        }
    }
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All its entries are in place.
    Done {
        /// The revision that is held now.
        revision: u64,
    },
    /// An empty list of a new epoch was kept out; the old one stays.
    HeldEmpty,
    /// Another poller has gone on; the page is of no use any more.
    Stale,
    /// The shared data is damaged or cannot be written; the list stays.
    Failed,
}

impl Applied {
    /// The word for it: metric label and log word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Done { .. } => "applied",
            Self::HeldEmpty => "held_empty",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

impl<S: SharedData> AllowList<S> {
    /// The list of the gate `gate` that follows the control service behind `cluster`. Without one it is the
    /// list that a gate of this name had last: taking control away forgets no revocation.
    pub fn new(shared: S, cluster: Option<&str>, gate: &str) -> Self {
        let last = format!("mpgate/{FORMAT}/last/{gate}");
        let known = || shared.get(&last).and_then(|(bytes, _)| String::from_utf8(bytes).ok());
        let named = cluster.map_or_else(|| known().unwrap_or_default(), str::to_owned);
        let prefix = format!("mpgate/{FORMAT}/list/{named}/{gate}/");
        let cluster = cluster.map(str::to_owned);
        let (bucket_key, grants) = (RefCell::default(), Grants::default());
        Self { shared, prefix, bucket_key, grants, last, cluster }
    }

    /// Creates all keys, unless they are there. Only the first VM of an Envoy may find them missing:
    /// Envoy configures it before it makes the others.
    pub fn create(&self) {
        if let Some(cluster) = &self.cluster
            && self.bytes(&self.last) != cluster.as_bytes()
        {
            self.shared.create(&self.last, cluster.as_bytes());
        }
        // A list that an older module made lacks them.
        for key in ["unknown", "reports"].map(|name| self.key(name)) {
            if self.shared.get(&key).is_none() {
                self.shared.create(&key, &[]);
            }
        }
        if self.shared.get(&self.key("state")).is_some() {
            return;
        }
        for bucket in 0..BUCKETS {
            self.shared.create(&self.bucket_key(bucket), &[]);
        }
        for key in ["streams", "lease", "attempt", "inline", "tally", "settings", "state"] {
            self.shared.create(&self.key(key), &[]);
        }
    }

    /// Where the list stands.
    pub fn state(&self) -> SyncState {
        self.read_state().map(|(state, _)| state).unwrap_or_default()
    }

    /// What the list has for a digest.
    ///
    /// # Errors
    /// [`Corrupt`] if its bucket is damaged.
    pub fn known(&self, digest: &Digest) -> Result<Option<Known>, Corrupt> {
        // Before the bucket is fetched: what changes in between makes the next request fetch it again.
        let changes = self.shared.changes();
        if let Some(known) = changes.and_then(|changes| self.grants.remembered(digest, changes)) {
            return Ok(Some(known));
        }
        let mut key = self.bucket_key.borrow_mut();
        self.write_bucket_key(&mut key, bucket_of(digest));
        let bytes = self.bytes(&key);
        let record = Bucket::read(&bytes)?.find(digest)?;
        record.map(|record| self.grants.known(&record, changes)).transpose()
    }

    /// Makes the next request of each key fetch it, whatever is said of changes: a VM that died between a change
    /// and counting it must not hide it for long.
    pub fn look_again(&self) {
        self.grants.look_again();
    }

    /// The streams, a bucket of their own.
    pub fn streams(&self) -> Vec<u8> {
        self.bytes(&self.key("streams"))
    }

    /// Puts a checked page in place: its entries first, the state last. `asked_generation` is the
    /// state's when the page was asked for.
    pub fn apply(&self, page: &Page<'_>, asked_generation: u32, now: u64) -> Applied {
        let generation = match self.enter(page, asked_generation) {
            Ok(generation) => generation,
            Err(outcome) => return outcome,
        };
        let advanced = self.place(page, generation, |state| state.answered(now));
        advanced.map_or(Applied::Failed, |state| Applied::Done { revision: state.since })
    }

    /// Puts the entries in place, then the state that `also` changes. What went in counts, even where the
    /// rest does not go.
    fn place(
        &self,
        page: &Page<'_>,
        generation: u32,
        also: impl Fn(SyncState) -> SyncState,
    ) -> Option<SyncState> {
        let mut grown = Grown::default();
        let merged = self.merge_entries(page, generation, &mut grown);
        if !page.is_empty() {
            self.shared.note_change();
        }
        self.change_state(|state| {
            let counted = grown.add_to(state);
            Some(if merged.is_some() { also(counted.advance(page, generation)) } else { counted })
        })
        .filter(|_| merged.is_some())
    }

    /// Removes some more of what is older than the current generation, and answers how far that came.
    /// What was swept of another generation counts for nothing: the next one begins at the first bucket.
    pub fn sweep(&self, swept: Swept) -> Swept {
        let state = self.state();
        let generation = state.generation;
        if state.phase != Phase::Sweeping {
            return Swept::default();
        }
        let start = if swept.generation == generation { swept.buckets } else { 0 };
        let buckets = start.saturating_add(SWEEP_STEP).min(BUCKETS);
        let mut keys = (start..buckets).map(|bucket| self.bucket_key(bucket));
        let mut grown = Grown::default();
        let close = |key: String, count: &mut i64| {
            self.change(&key, count, |bucket| bucket.sweep(generation)).is_some()
        };
        let mut is_closed = keys.all(|key| close(key, &mut grown.keys));
        let is_last = is_closed && buckets == BUCKETS;
        if is_last {
            is_closed = close(self.key("streams"), &mut grown.streams);
        }
        self.shared.note_change();
        self.change_state(|current| {
            let counted = grown.add_to(current);
            let is_done = is_last && is_closed;
            Some(counted.swept(generation).filter(|_| is_done).unwrap_or(counted))
        });
        if is_closed && !is_last { Swept { generation, buckets } } else { Swept::default() }
    }

    /// The generation that the page's entries belong to, the state changed for a reset.
    fn enter(&self, page: &Page<'_>, asked_generation: u32) -> Result<u32, Applied> {
        for _ in 0..SWAPS_MAX {
            let (state, version) = self.read_state().ok_or(Applied::Failed)?;
            let next = match state.begin(page, asked_generation) {
                Begin::Continue(generation) => return Ok(generation),
                Begin::HeldEmpty => return Err(Applied::HeldEmpty),
                Begin::Stale => return Err(Applied::Stale),
                Begin::Reset(next) => next,
            };
            if self.write_state(&next, version).is_ok() {
                return Ok(next.generation);
            }
        }
        Err(Applied::Failed)
    }

    fn merge_entries(&self, page: &Page<'_>, generation: u32, grown: &mut Grown) -> Option<()> {
        let stamp = |revision| Stamp { generation, revision };
        let mut by_bucket = BTreeMap::<u16, Vec<Update<'_>>>::new();
        for key in &page.keys {
            by_bucket.entry(bucket_of(&key.digest)).or_default().push(Update {
                digest: key.digest,
                stamp: stamp(key.revision),
                state: key.state,
                body: key.grant.get().as_bytes(),
            });
        }
        for (bucket, updates) in by_bucket {
            let key = self.bucket_key(bucket);
            self.change(&key, &mut grown.keys, |bucket| bucket.merge(&updates))?;
        }
        let mut streams = Vec::with_capacity(page.streams.len());
        for entry in &page.streams {
            streams.push(Update {
                digest: Digest::of(entry.stream().ok()?.id.as_str().as_bytes()),
                stamp: stamp(entry.revision),
                state: if entry.state == State::Active { State::Active } else { State::Revoked },
                body: entry.stream.get().as_bytes(),
            });
        }
        if streams.is_empty() {
            return Some(());
        }
        self.change(&self.key("streams"), &mut grown.streams, |bucket| bucket.merge(&streams))
    }

    /// Read, change, compare-and-swap, retry. `grown` gains what came into force, less what went out.
    fn change(
        &self,
        key: &str,
        grown: &mut i64,
        step: impl Fn(&Bucket<'_>) -> Result<Option<Vec<u8>>, Corrupt>,
    ) -> Option<()> {
        for _ in 0..SWAPS_MAX {
            let (bytes, version) = self.shared.get(key)?;
            let bucket = Bucket::read(&bytes).ok()?;
            let Some(next) = step(&bucket).ok()? else {
                return Some(());
            };
            if self.shared.swap(key, &next, version).is_ok() {
                let after = Bucket::read(&next).ok()?.active();
                *grown =
                    grown.saturating_add_unsigned(after).saturating_sub_unsigned(bucket.active());
                return Some(());
            }
        }
        None
    }

    /// The state after `step`, which may also leave it as it is.
    fn change_state(&self, step: impl Fn(&SyncState) -> Option<SyncState>) -> Option<SyncState> {
        for _ in 0..SWAPS_MAX {
            let (state, version) = self.read_state()?;
            let Some(next) = step(&state) else {
                return Some(state);
            };
            if next == state || self.write_state(&next, version).is_ok() {
                return Some(next);
            }
        }
        None
    }

    fn read_state(&self) -> Option<(SyncState, u32)> {
        let (bytes, version) = self.shared.get(&self.key("state"))?;
        if bytes.is_empty() {
            return Some((SyncState::default(), version));
        }
        serde_json::from_slice(&bytes).ok().map(|state| (state, version))
    }

    fn write_state(&self, state: &SyncState, version: u32) -> Result<(), SwapError> {
        let bytes = serde_json::to_vec(state).map_err(|_| SwapError)?;
        self.shared.swap(&self.key("state"), &bytes, version)
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        self.shared.get(key).map(|(bytes, _)| bytes).unwrap_or_default()
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn bucket_key(&self, bucket: u16) -> String {
        let mut key = String::new();
        self.write_bucket_key(&mut key, bucket);
        key
    }

    fn write_bucket_key(&self, key: &mut String, bucket: u16) {
        key.clear();
        key.push_str(&self.prefix);
        key.push_str("bucket/");
        let digits = [12, 8, 4, 0].map(|shift| u32::from(bucket >> shift & 0xF));
        key.extend(digits.iter().filter_map(|digit| char::from_digit(*digit, 16)));
    }
}

#[cfg(test)]
pub(crate) mod tests;
