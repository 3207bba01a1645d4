//! Attempts at what the caller may not do, on their way into the trail. Who has a token in force can try as often as the
//! network allows, so each principal has a measure of the trail and no more: its first attempts of an hour one by one, and
//! then one event that counts the others.
//!
//! They are no changes, so no transaction has them already: they are kept here and written in batches, also where the
//! caller hangs up. A crash loses a moment of them. Their time is that of the writing, so that the times of the trail only
//! grow: who follows it goes on from the last one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::access::Caller;
use super::{Answer, Service};
use crate::model::{Action, AuditEvent, Denial, Seconds};
use crate::names::PrincipalId;
use crate::time;

/// An hour begins with a principal's first attempt.
const HOUR_SECONDS: Seconds = 60 * 60;

/// So many of a principal's attempts of an hour are told one by one.
const TOLD_MAX: u32 = 10;

/// So many events wait for a database that cannot be written; later ones are dropped.
const WAITING_MAX: usize = 10_000;

/// What is to be written, and what was told of whom.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<State>);

/// So long a database that could not be written is left alone, in seconds.
const PAUSE_SECONDS: Seconds = 10;

#[derive(Debug, Default)]
struct State {
    hours: HashMap<PrincipalId, Hour>,
    waiting: Vec<AuditEvent>,
    /// The last time that it could not be written.
    failed: Option<Seconds>,
}

/// A principal's attempts since the first one.
#[derive(Debug)]
struct Hour {
    began: Seconds,
    told: u32,
    /// The last of those that were not told, which counts them.
    more: Option<AuditEvent>,
}

impl Hour {
    fn is_over(&self, now: Seconds) -> bool {
        !is_within(self.began, HOUR_SECONDS, now)
    }
}

/// Not any more where the clock was set back.
fn is_within(began: Seconds, length: Seconds, now: Seconds) -> bool {
    (0..length).contains(&now.saturating_sub(began))
}

impl Denials {
    fn state(&self) -> MutexGuard<'_, State> {
        // What is in it is right whatever its holder died of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, principal: &PrincipalId, attempt: AuditEvent) {
        let now = attempt.time;
        let mut state = self.state();
        let State { hours, waiting, .. } = &mut *state;
        if hours.get(principal).is_some_and(|hour| hour.is_over(now)) {
            waiting.extend(hours.remove(principal).and_then(|hour| hour.more));
        }
        let new = Hour { began: now, told: 0, more: None };
        let hour = hours.entry(principal.clone()).or_insert(new);
        if hour.told < TOLD_MAX {
            hour.told = hour.told.saturating_add(1);
            waiting.push(attempt);
            return;
        }
        let before = hour.more.take().and_then(|more| more.denial).map_or(0, |it| it.count);
        let denial = attempt
            .denial
            .clone()
            .map(|it| Denial { count: before.saturating_add(it.count), ..it });
        hour.more = Some(AuditEvent { denial, ..attempt });
    }

    /// What is to be written now; all of it when the process ends.
    fn take(&self, now: Seconds, everything: bool) -> Vec<AuditEvent> {
        let mut state = self.state();
        let State { hours, waiting, failed } = &mut *state;
        if !everything && failed.is_some_and(|then| is_within(then, PAUSE_SECONDS, now)) {
            return Vec::new();
        }
        for (_, hour) in hours.extract_if(|_, hour| everything || hour.is_over(now)) {
            waiting.extend(hour.more);
        }
        let due = core::mem::take(waiting).into_iter();
        due.map(|event| AuditEvent { time: now, ..event }).collect()
    }

    /// It could not be written: it is the next time.
    fn put_back(&self, mut events: Vec<AuditEvent>, now: Seconds) {
        let mut state = self.state();
        state.failed = Some(now);
        events.append(&mut state.waiting);
        events.truncate(WAITING_MAX);
        state.waiting = events;
    }
}

impl Service {
    /// A caller was told that it may not: for the trail, as far as there is room for it. `method` and `resource` are names,
    /// without anything of what was sent.
    pub fn note_denied(&self, caller: &Caller, method: String, resource: String) {
        let principal = &caller.principal.id;
        let attempt = AuditEvent {
            ordinal: 0,
            time: time::now(),
            principal: Some(principal.clone()),
            source: caller.source.map(|source| source.to_string()),
            action: Action::Denied,
            resource,
            // Whoever owns what was asked for is not told of somebody else's principals.
            consumer: None,
            request_id: Some(caller.request_id.clone()),
            revision: None,
            before: None,
            after: None,
            denial: Some(Denial { method, count: 1 }),
        };
        self.denials.note(principal, attempt);
    }

    /// Writes what was noted of attempts that were denied. Called several times a second.
    ///
    /// # Errors
    /// The database failed; they are written the next time.
    pub async fn write_denied(&self, everything: bool) -> Answer<()> {
        let now = time::now();
        let events = self.denials.take(now, everything);
        if events.is_empty() {
            return Ok(());
        }
        let done = self.append_all(&events).await;
        if done.is_err() {
            self.denials.put_back(events, now);
        }
        done
    }

    async fn append_all(&self, events: &[AuditEvent]) -> Answer<()> {
        let mut write = self.store.write().await?;
        for event in events {
            write.append(event).await?;
        }
        Ok(write.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Seconds = 1_785_585_600;

    fn attempt(denials: &Denials, who: &str, time: Seconds) {
        let principal = PrincipalId::parse(who).expect("an id");
        let event = AuditEvent {
            ordinal: 0,
            time,
            principal: Some(principal.clone()),
            source: None,
            action: Action::Denied,
            resource: "principals".to_owned(),
            consumer: None,
            request_id: Some(time.to_string()),
            revision: None,
            before: None,
            after: None,
            denial: Some(Denial { method: "GET /v1/principals".to_owned(), count: 1 }),
        };
        denials.note(&principal, event);
    }

    /// How many attempts each event that is taken counts.
    fn taken(denials: &Denials, now: Seconds, everything: bool) -> Vec<u64> {
        let events = denials.take(now, everything).into_iter();
        events.map(|event| event.denial.map_or(0, |denial| denial.count)).collect()
    }

    #[test]
    fn a_principal_has_eleven_events_an_hour() {
        let denials = Denials::default();
        for at in 0..1_000 {
            attempt(&denials, "loud", NOW + at);
        }
        attempt(&denials, "quiet", NOW + 1_000);
        assert_eq!(taken(&denials, NOW + 1_000, false), [1; 11], "ten, and the other's one");
        assert!(taken(&denials, NOW + HOUR_SECONDS - 1, false).is_empty(), "not before its end");
        assert_eq!(taken(&denials, NOW + HOUR_SECONDS, false), [990]);
        assert!(taken(&denials, NOW + 10 * HOUR_SECONDS, false).is_empty(), "once");
        assert!(denials.state().hours.is_empty(), "nothing is kept of who is quiet");
        // The next hour, and what is left of it when the process ends.
        for at in 0..13 {
            attempt(&denials, "loud", NOW + 20 * HOUR_SECONDS + at);
        }
        assert_eq!(
            taken(&denials, NOW + 20 * HOUR_SECONDS, true),
            [[1; 10].as_slice(), &[3]].concat()
        );
    }

    #[test]
    fn an_hour_that_nobody_looked_at_is_ended_by_the_next_attempt() {
        let denials = Denials::default();
        for _ in 0..12 {
            attempt(&denials, "loud", NOW);
        }
        attempt(&denials, "loud", NOW + HOUR_SECONDS);
        // The clock is set back: another hour, not none for a year.
        attempt(&denials, "loud", NOW);
        let expected = [[1; 10].as_slice(), &[2, 1, 1]].concat();
        assert_eq!(taken(&denials, NOW, false), expected);
    }

    #[test]
    fn what_could_not_be_written_comes_first_the_next_time() {
        let denials = Denials::default();
        attempt(&denials, "loud", NOW);
        let first = denials.take(NOW, false);
        attempt(&denials, "loud", NOW + 1);
        denials.put_back(first, NOW + 1);
        let pause = NOW + 1..NOW + 1 + PAUSE_SECONDS;
        assert!(pause.clone().all(|now| denials.take(now, false).is_empty()), "it is left alone");
        let taken = denials.take(pause.end, false);
        let told = |event: &AuditEvent| (event.request_id.clone(), event.time);
        let expected = [NOW, NOW + 1].map(|noted| (Some(noted.to_string()), pause.end));
        assert_eq!(taken.iter().map(told).collect::<Vec<_>>(), expected);
        denials.put_back(vec![taken[0].clone(); WAITING_MAX + 5], NOW);
        assert_eq!(denials.take(NOW, true).len(), WAITING_MAX, "the end does not wait");
    }
}
