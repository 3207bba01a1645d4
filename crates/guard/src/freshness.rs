//! How old the list is, as one VM can tell: without trusting that nobody sets the clock.
//!
//! An answer's time is Unix time, for all VMs to see. Each VM compares it with the clock once, when it
//! first sees it, and counts on from there by a time that only goes forward. So a clock that jumps while
//! the gate runs makes no list stale and keeps none fresh.

use core::time::Duration;

use crate::{Settings, SyncState, WhenStale};

/// After so long without a look a request looks for itself: a worker may be too busy to tick.
const UNSEEN_MAX: Duration = Duration::from_millis(200);

/// After so long every request is judged by the news, at whichever worker: two ticks and some.
pub const SEEN_BY_ALL_MILLISECONDS: u64 = 250;

/// Whether a request has to look at the list's state for itself. Both are times of a clock that never goes back.
#[must_use]
pub fn is_look_due(looked_at: Duration, uptime: Duration) -> bool {
    uptime.saturating_sub(looked_at) > UNSEEN_MAX
}

/// The age of the list, as this VM counts it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Freshness {
    /// The answer that is counted from, and what its age was at which uptime.
    seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    synced_at: u64,
    age: Duration,
    uptime: Duration,
}

/// Whether the list may be judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Availability {
    /// There is none yet.
    #[default]
    None,
    /// It is in force.
    InForce,
    /// It is stale, and the operator wants none rather than that.
    TooOld,
}

impl Freshness {
    /// Looks at the state again. `now` is Unix time, `uptime` never goes back.
    pub fn look(&mut self, state: &SyncState, now: Duration, uptime: Duration) {
        let synced_at = state.synced_at;
        if self.seen.is_none_or(|seen| seen.synced_at != synced_at) {
            let age = now.saturating_sub(Duration::from_secs(synced_at));
            self.seen = Some(Seen { synced_at, age, uptime });
        }
    }

    /// How old the list is.
    #[must_use]
    pub fn age(&self, uptime: Duration) -> Duration {
        self.seen.map_or(Duration::ZERO, |seen| {
            seen.age.saturating_add(uptime.saturating_sub(seen.uptime))
        })
    }
}

impl Settings {
    /// Whether a list of this age is stale.
    #[must_use]
    pub const fn is_stale(&self, age: Duration) -> bool {
        age.as_secs() > self.max_staleness_seconds
    }

    /// Whether a list may be judged by.
    #[must_use]
    pub const fn availability(&self, ready: bool, age: Duration) -> Availability {
        match self.when_stale {
            _ if !ready => Availability::None,
            WhenStale::Deny if self.is_stale(age) => Availability::TooOld,
            WhenStale::Deny | WhenStale::LastList => Availability::InForce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    /// Where the clock stands when the VM starts.
    const START: u64 = 1_700_000_000;

    /// What happens, and when by an honest clock: seconds since the start.
    #[derive(Clone, Copy)]
    enum Event {
        /// Control answers.
        Answer,
        /// Somebody sets the clock, by so many seconds.
        Set(i64),
        /// The VM is another one, as after a trap.
        Reload,
    }

    fn age_after(events: &[(u64, Event)], at: u64) -> u64 {
        let (mut offset, mut born) = (0_i64, 0);
        let clock = |second: u64, offset: i64| (START + second).saturating_add_signed(offset);
        let mut state = SyncState { synced_at: START, ..SyncState::default() };
        let mut freshness = Freshness::default();
        let mut events = events.iter().peekable();
        for second in 0..=at {
            while let Some((_, event)) = events.next_if(|(when, _)| *when == second) {
                match event {
                    Event::Answer => state.synced_at = clock(second, offset),
                    Event::Set(by) => offset += by,
                    Event::Reload => (freshness, born) = (Freshness::default(), second),
                }
            }
            let now = Duration::from_secs(clock(second, offset));
            freshness.look(&state, now, Duration::from_secs(second - born));
        }
        freshness.age(Duration::from_secs(at - born)).as_secs()
    }

    #[test]
    fn a_request_looks_for_itself_where_nobody_did() {
        for (looked_at, uptime, is_due) in
            [(0, 0, false), (0, 200, false), (0, 201, true), (700, 900, false), (700, 901, true)]
        {
            let times = [looked_at, uptime].map(Duration::from_millis);
            assert_eq!(is_look_due(times[0], times[1]), is_due, "{looked_at} {uptime}");
        }
        // Whoever looked right before the news came looks again before all are said to have seen them.
        assert!(is_look_due(Duration::ZERO, Duration::from_millis(SEEN_BY_ALL_MILLISECONDS)));
    }

    #[test]
    fn an_age_is_what_an_honest_clock_would_say() {
        use Event::{Answer, Reload, Set};
        let day = i64::try_from(DAY).expect("a day");
        for (name, events, at, age) in [
            ("silence", &[][..], 100, 100),
            ("an answer", &[(40, Answer)], 100, 60),
            ("a day forth", &[(50, Set(day))], 100, 100),
            ("a day forth, then an answer", &[(50, Set(day)), (60, Answer)], 100, 40),
            ("a day back", &[(50, Set(-day))], 100, 100),
            ("a day back, then an answer", &[(50, Set(-day)), (60, Answer)], 100, 40),
            ("a day back, silence", &[(50, Set(-day))], 300, 300),
            ("forth and back", &[(50, Set(day)), (60, Set(-day))], 100, 100),
            ("a new VM", &[(50, Reload)], 100, 100),
            // A VM that was not there before the jump has the clock's word only, until the next answer.
            ("a day forth, then a new VM", &[(50, Set(day)), (60, Reload)], 100, 100 + DAY),
            ("and then an answer", &[(50, Set(day)), (60, Reload), (70, Answer)], 100, 30),
            ("a day back, then a new VM", &[(50, Set(-day)), (60, Reload)], 100, 40),
        ] {
            assert_eq!(age_after(events, at), age, "{name}");
        }
    }

    #[test]
    fn only_deny_denies_and_only_when_stale() {
        let settings = |when: &str| {
            let text = format!(
                r#"{{"gate":"g","control":{{"cluster":"c"}},"max_staleness_seconds":60{when}}}"#
            );
            Settings::parse(text.as_bytes()).expect("good")
        };
        for (when, ready, age, availability) in [
            ("", false, 0, Availability::None),
            ("", true, 61, Availability::InForce),
            (r#","when_stale":"last_list""#, true, 61, Availability::InForce),
            (r#","when_stale":"deny""#, true, 60, Availability::InForce),
            (r#","when_stale":"deny""#, true, 61, Availability::TooOld),
            (r#","when_stale":"deny""#, false, 61, Availability::None),
        ] {
            let settings = settings(when);
            let age = Duration::from_secs(age);
            assert_eq!(settings.availability(ready, age), availability, "{when} {age:?}");
            assert_eq!(settings.is_stale(age), age.as_secs() > 60);
        }
    }
}
