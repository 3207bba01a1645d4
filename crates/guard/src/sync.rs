//! Where a gate stands with its control service, and who may poll: small values that all VMs of an
//! Envoy share.

use mpgate_contract::{Ask, Page};
use serde::{Deserialize, Serialize};

use crate::query::push_pair;
use crate::settings::Control;

/// Where the list stands. One value in shared data, replaced by compare-and-swap only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// Counts the resets this Envoy has seen; 0 before the first page.
    pub generation: u32,
    /// The epoch that is held or being loaded.
    pub epoch: String,
    /// The last revision held of it.
    pub since: u64,
    /// Whether it is whole.
    pub phase: Phase,
    /// Whether any list has ever been whole: until then nobody can be told from a forger.
    pub ready: bool,
    /// Whether the list ever held anything, tombstones included.
    pub filled: bool,
    /// Grows when a stream may have changed: compiled policies older than it are renewed.
    pub streams_version: u64,
    /// When control last answered, Unix seconds.
    pub synced_at: u64,
}

/// How much of the list is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Pages of a new generation are still coming. An older one, if any, is still in force.
    #[default]
    Loading,
    /// All pages are there; what is older is being removed.
    Sweeping,
    /// The list is whole and nothing else is there.
    Live,
}

/// What a page means for the state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Its entries belong to this generation, which is the current one.
    Continue(u32),
    /// A reset: the state must first become this one.
    Reset(SyncState),
    /// An empty list of a new epoch, while we hold one that is not: kept out.
    HeldEmpty,
    /// There was a reset since it was asked for.
    Stale,
}

impl SyncState {
    /// What to ask control for.
    #[must_use]
    pub fn ask(&self) -> Ask {
        Ask { epoch: self.epoch.clone(), since: self.since }
    }

    /// The path and query of the question to control.
    #[must_use]
    pub fn question(&self, control: &Control) -> Vec<u8> {
        let mut target = b"/v1/allowlist/changes".to_vec();
        push_pair(&mut target, b"epoch", self.epoch.as_bytes());
        push_pair(&mut target, b"since", self.since.to_string().as_bytes());
        push_pair(&mut target, b"limit", control.page_entries.to_string().as_bytes());
        push_pair(&mut target, b"wait", control.wait_seconds.to_string().as_bytes());
        target
    }

    /// What a checked page means, if it was asked for when `asked_generation` was current.
    pub(crate) fn begin(&self, page: &Page<'_>, asked_generation: u32) -> Begin {
        // Since a reset, also one inside the same epoch, revisions mean something else.
        if self.generation != asked_generation {
            return Begin::Stale;
        }
        if !page.reset {
            return Begin::Continue(self.generation);
        }
        if page.is_empty() && self.ready && self.filled {
            return Begin::HeldEmpty;
        }
        Begin::Reset(Self {
            generation: self.generation.saturating_add(1),
            epoch: page.epoch.to_owned(),
            since: 0,
            phase: Phase::Loading,
            ..self.clone()
        })
    }

    /// The state after all entries of a page are in place. A page that others have overtaken moves
    /// nothing but the time of the last answer.
    pub(crate) fn advance(&self, page: &Page<'_>, generation: u32, now: u64) -> Self {
        let mut next = self.clone();
        next.synced_at = next.synced_at.max(now);
        if self.generation != generation || self.since != page.from {
            return next;
        }
        next.since = page.to;
        next.filled |= !page.is_empty();
        if !page.streams.is_empty() {
            next.streams_version = next.streams_version.saturating_add(1);
        }
        if self.phase == Phase::Loading && page.to == page.head {
            next.phase = if generation > 1 { Phase::Sweeping } else { Phase::Live };
            next.ready = true;
        }
        next
    }

    /// The state after the sweep of `generation` reached the last bucket.
    pub(crate) fn swept(&self, generation: u32) -> Option<Self> {
        (self.generation == generation && self.phase == Phase::Sweeping).then(|| Self {
            phase: Phase::Live,
            streams_version: self.streams_version.saturating_add(1),
            ..self.clone()
        })
    }
}

/// Leave to poll, so that one VM does and the others save the trouble. Correctness never rests on
/// it: see [`crate::Bucket::merge`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The VM that holds it.
    pub holder: u64,
    /// When it ends, Unix milliseconds.
    pub until: u64,
}

impl Lease {
    /// How long a holder that says nothing more is waited for.
    const MILLISECONDS: u64 = 1_500;

    /// The lease that `me` may write: a free one, or its own again.
    #[must_use]
    pub fn claim(current: Option<&Self>, me: u64, now: u64) -> Option<Self> {
        let mine = Self { holder: me, until: now.saturating_add(Self::MILLISECONDS) };
        match current {
            // A clock that was set back must not keep a lease alive for ever.
            Some(lease) if lease.holder != me && lease.until > now && lease.until <= mine.until => {
                None
            }
            _ => Some(mine),
        }
    }
}

/// A page that is about to be processed: noted first, so that one that kills its VM is not taken by
/// every VM in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// How often in a row it was begun and not ended.
    pub begun: u32,
    /// When it may be begun again, Unix milliseconds.
    pub not_before: u64,
}

impl Attempt {
    /// The note to leave before processing.
    #[must_use]
    pub fn again(&self, now: u64) -> Self {
        let begun = self.begun.saturating_add(1);
        Self { begun, not_before: now.saturating_add(backoff_milliseconds(1_000, begun, 60_000)) }
    }

    /// Whether a page may be asked for.
    #[must_use]
    pub const fn allows(&self, now: u64) -> bool {
        self.begun == 0 || now >= self.not_before
    }
}

/// `first`, doubled for every failure after the first, up to `most`.
#[must_use]
pub fn backoff_milliseconds(first: u64, failures: u32, most: u64) -> u64 {
    let factor = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    first.saturating_mul(factor).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_where_the_list_stands() {
        let settings =
            crate::Settings::parse(br#"{"gate":"g","control":{"cluster":"c","wait_seconds":20}}"#);
        let control = settings.expect("good").control;
        let state = SyncState { epoch: "a b&c".to_owned(), since: 7, ..SyncState::default() };
        assert_eq!(
            String::from_utf8(state.question(&control)).as_deref(),
            Ok("/v1/allowlist/changes?epoch=a%20b%26c&since=7&limit=500&wait=20")
        );
    }

    #[test]
    fn only_the_sweep_of_the_current_generation_ends() {
        let state = |generation, phase| SyncState { generation, phase, ..SyncState::default() };
        assert_eq!(state(2, Phase::Loading).swept(2), None);
        assert_eq!(state(2, Phase::Live).swept(2), None);
        assert_eq!(state(3, Phase::Loading).swept(2), None);
        assert_eq!(state(3, Phase::Sweeping).swept(2), None);
        let swept = SyncState { streams_version: 1, ..state(2, Phase::Live) };
        assert_eq!(state(2, Phase::Sweeping).swept(2), Some(swept));
    }

    #[test]
    fn a_lease_is_free_when_it_ended_or_is_ones_own() {
        let held = Lease { holder: 1, until: 2_000 };
        assert_eq!(Lease::claim(None, 2, 0), Some(Lease { holder: 2, until: 1_500 }));
        assert_eq!(Lease::claim(Some(&held), 2, 1_999), None);
        assert_eq!(Lease::claim(Some(&held), 2, 2_000), Some(Lease { holder: 2, until: 3_500 }));
        assert_eq!(Lease::claim(Some(&held), 1, 1_000), Some(Lease { holder: 1, until: 2_500 }));
    }

    #[test]
    fn a_lease_from_before_the_clock_was_set_back_does_not_hold() {
        let held = Lease { holder: 1, until: 100_000 };
        assert!(Lease::claim(Some(&held), 2, 1_000).is_some());
    }

    #[test]
    fn a_page_that_was_begun_and_not_ended_waits_longer_each_time() {
        let first = Attempt::default().again(0);
        assert!(Attempt::default().allows(0));
        assert!(!first.allows(999) && first.allows(1_000));
        let second = first.again(1_000);
        assert!(!second.allows(2_999) && second.allows(3_000));
        let many = (0..100).fold(first, |attempt, _| attempt.again(0));
        assert_eq!(many.not_before, 60_000);
    }

    #[test]
    fn backoff_doubles_up_to_its_end() {
        let waits: Vec<u64> =
            [0, 1, 2, 3, 4, 200].map(|n| backoff_milliseconds(250, n, 1_500)).into();
        assert_eq!(waits, [250, 250, 500, 1_000, 1_500, 1_500]);
    }
}
