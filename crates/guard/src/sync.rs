//! Where a gate stands with its control service: a small value that all VMs of an Envoy share.

use mpgate_contract::{Ask, Page};
use serde::{Deserialize, Serialize};

use crate::inline::InlineFacts;
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
    /// When control last answered, or wrote the inline list: Unix seconds. What it says of the list's age
    /// is for [`crate::Freshness`] to tell.
    pub synced_at: u64,
    /// Who said so.
    pub origin: Origin,
    /// Which inline list was taken last, by its fingerprint.
    pub inline: u64,
    /// Keys in force.
    pub keys: u64,
    /// Streams in force.
    pub streams: u64,
}

/// Where a list came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// There is none.
    #[default]
    Nowhere,
    /// From the plugin configuration.
    Inline,
    /// From the control service.
    Control,
}

/// What an inline list is worth next to the list that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is newer: it takes the other's place.
    Taken,
    /// It is the very list that is there, seen later.
    Confirmed,
    /// It is older, or not newer than what control says: the other stays.
    Kept,
    /// It is empty, and the other is not.
    HeldEmpty,
    /// Shared data cannot be written.
    Failed,
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

/// When to ask again after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There was news, and there may be more.
    AtOnce,
    /// After the configured pause.
    Pause,
    /// When every worker has compiled the streams that changed: the next question is the receipt.
    Compiled,
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

    /// The path and query of the question to control, which may be held open for `wait_seconds`.
    ///
    /// Its `since` is a receipt: control takes it for what every worker of this Envoy enforces. So it
    /// is asked only of a state in which that is true, see [`Self::may_ask`].
    #[must_use]
    pub fn question(&self, control: &Control, wait_seconds: u64) -> Vec<u8> {
        let mut target = b"/v1/allowlist/changes".to_vec();
        push_pair(&mut target, b"epoch", self.epoch.as_bytes());
        push_pair(&mut target, b"since", self.since.to_string().as_bytes());
        push_pair(&mut target, b"limit", control.page_entries.to_string().as_bytes());
        push_pair(&mut target, b"wait", wait_seconds.to_string().as_bytes());
        target
    }

    /// Whether all that is held up to `since` is in force. While older entries are being swept it is
    /// not: what the new list no longer has may still be let through.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        self.phase != Phase::Sweeping
    }

    /// When to ask again after this page was taken, if it was asked for in this state.
    #[must_use]
    pub fn next(&self, page: &Page<'_>) -> Next {
        // Without progress, or with a control that starts over in the middle of starting over (two
        // databases behind one name), asking at once would go round and round.
        let starts_over_again = page.reset && self.generation > 0 && self.phase == Phase::Loading;
        if page.to <= page.from || starts_over_again {
            return Next::Pause;
        }
        if self.ready && !page.streams.is_empty() { Next::Compiled } else { Next::AtOnce }
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
        Begin::Reset(self.begin_again(page.epoch))
    }

    /// What to do with an inline list. `is_followed` says that control is asked, and that what it said last
    /// is not stale: then its word counts, whatever the times say.
    #[must_use]
    pub fn weigh(&self, facts: &InlineFacts, is_followed: bool) -> Offer {
        if self.inline == facts.fingerprint {
            return Offer::Kept;
        }
        if !self.ready {
            return Offer::Taken;
        }
        let is_followed = is_followed && self.origin == Origin::Control;
        let is_later = facts.export_time > self.synced_at;
        // Inside one epoch revisions tell what is newer, and no clock has to be believed.
        let is_newer = if self.epoch == facts.epoch { facts.head > self.since } else { is_later };
        let is_same = self.epoch == facts.epoch && facts.head == self.since;
        match (is_newer, is_same) {
            _ if is_followed => Offer::Kept,
            (true, _) if self.filled && !facts.filled => Offer::HeldEmpty,
            (true, _) => Offer::Taken,
            (false, true) if is_later => Offer::Confirmed,
            (false, _) => Offer::Kept,
        }
    }

    /// The state that begins another generation, of this epoch.
    pub(crate) fn begin_again(&self, epoch: &str) -> Self {
        Self {
            generation: self.generation.saturating_add(1),
            epoch: epoch.to_owned(),
            since: 0,
            phase: Phase::Loading,
            ..self.clone()
        }
    }

    /// The state with the inline list in force, as old as it is.
    pub(crate) fn following(&self, facts: &InlineFacts) -> Self {
        let (inline, synced_at) = (facts.fingerprint, facts.export_time);
        Self { origin: Origin::Inline, inline, synced_at, ..self.clone() }
    }

    /// The state after an answer of control. A clock that was set back is believed: what counts is that
    /// the time is another one.
    pub(crate) fn answered(&self, now: u64) -> Self {
        Self { origin: Origin::Control, synced_at: now, ..self.clone() }
    }

    /// The state after all entries of a page are in place. A page that others have overtaken moves
    /// nothing.
    pub(crate) fn advance(&self, page: &Page<'_>, generation: u32) -> Self {
        let mut next = self.clone();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_where_the_list_stands() {
        let settings = crate::Settings::parse(br#"{"gate":"g","control":{"cluster":"c"}}"#);
        let control = settings.expect("good").control.expect("a control");
        let state = SyncState { epoch: "a b&c".to_owned(), since: 7, ..SyncState::default() };
        assert_eq!(
            String::from_utf8(state.question(&control, 20)).as_deref(),
            Ok("/v1/allowlist/changes?epoch=a%20b%26c&since=7&limit=250&wait=20")
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
    fn news_is_followed_by_a_question_at_once_unless_that_would_never_end() {
        let fresh = SyncState::default();
        let loading = SyncState { generation: 1, ..fresh.clone() };
        let live = SyncState { ready: true, phase: Phase::Live, ..loading.clone() };
        let reloading = SyncState { phase: Phase::Loading, ..live.clone() };
        let stream = r#"{"revision":9,"state":"revoked","stream":{}}"#;
        for (name, state, reset, from, to, streams, next) in [
            ("the first page", &fresh, true, 0, 9, "", Next::AtOnce),
            ("the first page, with streams", &fresh, true, 0, 9, stream, Next::AtOnce),
            ("the next page", &loading, false, 5, 9, "", Next::AtOnce),
            ("news", &live, false, 5, 9, "", Next::AtOnce),
            ("a stream", &live, false, 5, 9, stream, Next::Compiled),
            ("no news", &live, false, 9, 9, "", Next::Pause),
            ("a reset", &live, true, 0, 9, "", Next::AtOnce),
            ("an empty reset", &live, true, 0, 0, "", Next::Pause),
            ("a reset of a reset", &reloading, true, 0, 9, "", Next::Pause),
            ("the page after it", &reloading, false, 5, 9, "", Next::AtOnce),
        ] {
            let text = format!(
                r#"{{"epoch":"e","reset":{reset},"from":{from},"to":{to},"head":99,"keys":[],"streams":[{streams}]}}"#
            );
            let page: Page<'_> = serde_json::from_str(&text).expect("a page");
            assert_eq!(state.next(&page), next, "{name}");
        }
    }

    #[test]
    fn nothing_is_asked_while_the_receipt_would_be_untrue() {
        for (phase, may) in [(Phase::Loading, true), (Phase::Sweeping, false), (Phase::Live, true)]
        {
            assert_eq!(SyncState { phase, ..SyncState::default() }.may_ask(), may, "{phase:?}");
        }
    }

    #[test]
    fn the_newer_list_wins_and_control_has_the_last_word() {
        use Offer::{Confirmed, HeldEmpty, Kept, Taken};
        let nothing = SyncState::default();
        let there = |origin, epoch: &str| SyncState {
            generation: 1,
            epoch: epoch.to_owned(),
            since: 7,
            phase: Phase::Live,
            ready: true,
            filled: true,
            synced_at: 1_000,
            origin,
            inline: 1,
            ..SyncState::default()
        };
        let loading = SyncState { ready: false, ..there(Origin::Control, "e") };
        let bare = SyncState { filled: false, ..there(Origin::Inline, "e") };
        let (control, inline) = (there(Origin::Control, "e"), there(Origin::Inline, "e"));
        let facts = |fingerprint, export_time, epoch: &str, head| InlineFacts {
            fingerprint,
            export_time,
            epoch: epoch.to_owned(),
            head,
            filled: true,
        };
        let empty = InlineFacts { filled: false, ..facts(2, 2_000, "f", 9) };
        for (name, state, facts, is_followed, offer) in [
            ("the first", &nothing, facts(2, 5, "e", 3), true, Taken),
            ("while control's first is loading", &loading, facts(2, 5, "e", 3), true, Taken),
            ("an empty one first", &nothing, empty.clone(), false, Taken),
            ("the same one again", &inline, facts(1, 1_000, "e", 7), false, Kept),
            ("the same one again, after control", &control, facts(1, 5_000, "x", 99), false, Kept),
            ("a later revision", &inline, facts(2, 2_000, "e", 8), false, Taken),
            ("a later revision by an odd clock", &inline, facts(2, 5, "e", 8), false, Taken),
            ("an earlier revision", &inline, facts(2, 500, "e", 6), false, Kept),
            ("an earlier revision by an odd clock", &inline, facts(2, 9_999, "e", 6), false, Kept),
            ("the same revision, later", &inline, facts(2, 2_000, "e", 7), false, Confirmed),
            ("the same revision, earlier", &inline, facts(2, 500, "e", 7), false, Kept),
            ("another epoch, later", &inline, facts(2, 1_001, "f", 1), false, Taken),
            ("another epoch, earlier", &inline, facts(2, 1_000, "f", 99), false, Kept),
            ("empty where there is something", &inline, empty.clone(), false, HeldEmpty),
            ("empty where there is nothing", &bare, empty, false, Taken),
            ("control is followed", &control, facts(2, 2_000, "e", 8), true, Kept),
            ("control is followed, another epoch", &control, facts(2, 2_000, "f", 8), true, Kept),
            ("control is gone", &control, facts(2, 2_000, "e", 8), false, Taken),
            ("control is gone, another epoch", &control, facts(2, 2_000, "f", 8), false, Taken),
            ("control is gone and knew more", &control, facts(2, 2_000, "e", 6), false, Kept),
            ("control is asked, has never answered", &inline, facts(2, 2_000, "e", 8), true, Taken),
        ] {
            assert_eq!(state.weigh(&facts, is_followed), offer, "{name}");
        }
    }
}
