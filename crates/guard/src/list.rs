//! The allowlist in shared data: one table for all VMs of an Envoy, changed by compare-and-swap.
//!
//! The host's shared data comes in as a trait, so that the tests can play two pollers against each
//! other step by step. What must hold whatever the order of their steps: a later revision is never
//! undone, nothing of a swept generation comes back, and a list is ready only once it is whole.

use std::collections::BTreeMap;

use mpgate_contract::{Digest, Page, State};

use crate::sync::Begin;
use crate::{
    Attempt, BUCKETS, Bucket, Corrupt, Known, Lease, Phase, Stamp, SyncState, Update, bucket_of,
};

/// The version of what lies in shared data. A module that writes it otherwise takes another number,
/// and with it a table of its own.
const FORMAT: u32 = 1;

/// The key that names this Envoy process; all gates in it share it, whatever their version.
const INSTANCE: &str = "mpgate/instance";

/// Tries of one compare-and-swap. A hundred lost races in a row are a fault, not bad luck.
const SWAPS_MAX: u32 = 100;

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
}

/// Somebody else wrote first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapError;

/// The allowlist of one gate.
pub struct AllowList<S> {
    shared: S,
    prefix: String,
}

/// The bytes a digest is looked up in: one consistent moment of one bucket.
pub struct Lookup(Vec<u8>);

/// How far a sweep has come, and of which generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    generation: u32,
    buckets: u16,
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

impl Lookup {
    /// What the list has for the digest that was looked up.
    ///
    /// # Errors
    /// [`Corrupt`] if the bucket is damaged.
    pub fn known(&self, digest: &Digest) -> Result<Option<Known>, Corrupt> {
        let record = Bucket::read(&self.0)?.find(digest)?;
        record.as_ref().map(Known::read).transpose()
    }

    #[cfg(test)]
    fn bucket(&self) -> Result<Bucket<'_>, Corrupt> {
        Bucket::read(&self.0)
    }
}

impl<S: SharedData> AllowList<S> {
    /// The list of the gate `gate` that follows the control service behind `cluster`.
    pub fn new(shared: S, cluster: &str, gate: &str) -> Self {
        Self { shared, prefix: format!("mpgate/{FORMAT}/{cluster}/{gate}/") }
    }

    /// Creates all keys, unless they are there. Only the first VM of an Envoy may find them missing:
    /// Envoy configures it before it makes the others.
    pub fn create(&self) {
        if self.shared.get(&self.key("state")).is_some() {
            return;
        }
        for bucket in 0..BUCKETS {
            self.shared.create(&self.bucket_key(bucket), &[]);
        }
        for key in ["streams", "lease", "attempt", "state"] {
            self.shared.create(&self.key(key), &[]);
        }
    }

    /// What this Envoy process is called among its like: `drawn` by the first VM, and kept.
    pub fn instance(&self, drawn: u64) -> String {
        let kept = |bytes: Vec<u8>| String::from_utf8(bytes).ok().filter(|text| !text.is_empty());
        if let Some(instance) = kept(self.bytes(INSTANCE)) {
            return instance;
        }
        self.shared.create(INSTANCE, format!("{drawn:016x}").as_bytes());
        kept(self.bytes(INSTANCE)).unwrap_or_default()
    }

    /// Where the list stands.
    pub fn state(&self) -> SyncState {
        self.read_state().map(|(state, _)| state).unwrap_or_default()
    }

    /// The bucket that holds this digest, if any does.
    pub fn lookup(&self, digest: &Digest) -> Lookup {
        Lookup(self.bytes(&self.bucket_key(bucket_of(digest))))
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
        if self.merge_entries(page, generation).is_none() {
            return Applied::Failed;
        }
        let advanced = self.change_state(|state| Some(state.advance(page, generation, now)));
        advanced.map_or(Applied::Failed, |state| Applied::Done { revision: state.since })
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
        let close = |key: String| self.change(&key, |bucket| bucket.sweep(generation)).is_some();
        if !keys.all(close) {
            return Swept::default();
        }
        if buckets == BUCKETS && close(self.key("streams")) {
            self.change_state(|current| current.swept(generation));
            return Swept::default();
        }
        Swept { generation, buckets }
    }

    /// Takes or keeps the lease; whether `me` may poll.
    pub fn claim_lease(&self, me: u64, now: u64) -> bool {
        self.swap_json("lease", |current: Option<&Lease>| Lease::claim(current, me, now))
    }

    /// Leaves the lease to others, if `me` holds it.
    pub fn release_lease(&self, me: u64) {
        self.swap_json("lease", |current: Option<&Lease>| Lease::release(current, me));
    }

    /// Whether a page may be asked for, or one that was begun and not ended wants more time.
    pub fn may_ask(&self, now: u64) -> bool {
        self.read_json::<Attempt>("attempt").is_none_or(|attempt| attempt.allows(now))
    }

    /// Notes that a page is about to be processed.
    pub fn begin_attempt(&self, now: u64) {
        self.swap_json("attempt", |current: Option<&Attempt>| {
            Some(current.cloned().unwrap_or_default().again(now))
        });
    }

    /// Whether a VM began a page and never ended it, and this caller is the one to tell of it.
    pub fn tell_of_attempt(&self, now: u64) -> bool {
        self.swap_json("attempt", |current: Option<&Attempt>| current?.tell(now))
    }

    /// Notes that it was processed and did no harm.
    pub fn end_attempt(&self) {
        self.swap_json("attempt", |_: Option<&Attempt>| Some(Attempt::default()));
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

    fn merge_entries(&self, page: &Page<'_>, generation: u32) -> Option<()> {
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
            self.change(&self.bucket_key(bucket), |bucket| bucket.merge(&updates))?;
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
        self.change(&self.key("streams"), |bucket| bucket.merge(&streams))
    }

    /// Read, change, compare-and-swap, retry.
    fn change(
        &self,
        key: &str,
        step: impl Fn(&Bucket<'_>) -> Result<Option<Vec<u8>>, Corrupt>,
    ) -> Option<()> {
        for _ in 0..SWAPS_MAX {
            let (bytes, version) = self.shared.get(key)?;
            match Bucket::read(&bytes).and_then(|bucket| step(&bucket)).ok()? {
                None => return Some(()),
                Some(next) if self.shared.swap(key, &next, version).is_ok() => return Some(()),
                Some(_) => {}
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

    fn read_json<T: serde::de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(&self.bytes(&self.key(key))).ok()
    }

    /// One compare-and-swap; whether it was made and won.
    fn swap_json<T>(&self, key: &str, step: impl Fn(Option<&T>) -> Option<T>) -> bool
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let key = self.key(key);
        let Some((bytes, version)) = self.shared.get(&key) else {
            return false;
        };
        let Some(next) = step(serde_json::from_slice(&bytes).ok().as_ref()) else {
            return false;
        };
        serde_json::to_vec(&next).is_ok_and(|bytes| self.shared.swap(&key, &bytes, version).is_ok())
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        self.shared.get(key).map(|(bytes, _)| bytes).unwrap_or_default()
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn bucket_key(&self, bucket: u16) -> String {
        format!("{}bucket/{bucket:04x}", self.prefix)
    }
}

#[cfg(test)]
mod tests;
