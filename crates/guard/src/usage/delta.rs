//! What was counted of one key, one stream and one hour since the last report.

use std::borrow::Cow;

use mpgate_contract::limits::{REPORT_COUNT_MAX, REPORT_MICROS_MAX, REPORT_NAMES_MAX};
use mpgate_contract::{Count, EventCount, KeyId, KeyUsage, OTHER, StreamId, Value};

use super::Slot;
use crate::{Decision, Money, Outcome, Reason, Seen};

#[derive(Debug, Default)]
pub(super) struct Delta {
    accepted: u64,
    last_accept_time: Option<u64>,
    last_refuse_time: Option<u64>,
    refused: Vec<(Reason, u64)>,
    dry_run: Vec<(Reason, u64)>,
    events: Vec<Events>,
    timed: u64,
    delay_seconds: u64,
}

#[derive(Debug)]
struct Events {
    name: Cow<'static, str>,
    count: u64,
    values: Vec<([u8; 3], i64)>,
}

/// The currencies of one event; what is more counts under [`OTHER`].
const CURRENCIES_MAX: usize = 8;

/// The currency that is none.
const NO_CURRENCY: [u8; 3] = *b"---";

impl Delta {
    pub(super) fn note(&mut self, decision: &Decision<'_>, now: u64) {
        let list = match decision.outcome {
            Outcome::Off => return,
            Outcome::Accepted => {
                self.accepted = plus(self.accepted, 1);
                self.last_accept_time = self.last_accept_time.max(Some(now));
                for event in &decision.events {
                    self.see(event);
                }
                return;
            }
            Outcome::Refused => &mut self.refused,
            Outcome::DryRun => &mut self.dry_run,
        };
        self.last_refuse_time = self.last_refuse_time.max(Some(now));
        let Some(reason) = decision.reason else {
            return;
        };
        match list.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count = plus(*count, 1),
            None => list.push((reason, 1)),
        }
    }

    fn see(&mut self, seen: &Seen) {
        if let Some(delay) = seen.delay_seconds {
            self.timed = plus(self.timed, 1);
            self.delay_seconds = plus(self.delay_seconds, delay);
        }
        // The last place is for what has no other.
        let is_full = self.events.len() >= REPORT_NAMES_MAX.saturating_sub(1);
        let known = |name: &str| self.events.iter().position(|events| events.name == name);
        let at = match known(&seen.name) {
            None if is_full => known(OTHER),
            found => found,
        };
        let at = at.unwrap_or_else(|| {
            let name = if is_full { Cow::Borrowed(OTHER) } else { seen.name.clone() };
            self.events.push(Events { name, count: 0, values: Vec::new() });
            self.events.len().saturating_sub(1)
        });
        let values: usize = self.events.iter().map(|events| events.values.len()).sum();
        if let Some(events) = self.events.get_mut(at) {
            events.count = plus(events.count, 1);
            if let Some(money) = seen.money
                && !events.earn(money, values)
            {
                self.earn_without_a_place(money.micros);
            }
        }
    }

    /// A value that has no place with its event counts with those that have none, under [`OTHER`] both ways.
    fn earn_without_a_place(&mut self, micros: i64) {
        let at = self.events.iter().position(|events| events.name == OTHER);
        let at = at.unwrap_or_else(|| {
            let name = Cow::Borrowed(OTHER);
            self.events.push(Events { name, count: 0, values: Vec::new() });
            self.events.len().saturating_sub(1)
        });
        let Some(events) = self.events.get_mut(at) else { return };
        match events.values.iter_mut().find(|(code, _)| *code == NO_CURRENCY) {
            Some((_, sum)) => *sum = within(sum.saturating_add(micros)),
            None => events.values.push((NO_CURRENCY, within(micros))),
        }
    }
}

impl Events {
    /// Adds to a value of the event's own; `false` if there is no place for it.
    fn earn(&mut self, money: Money, values_of_all: usize) -> bool {
        let is_full = self.values.len() >= CURRENCIES_MAX || values_of_all >= REPORT_NAMES_MAX / 2;
        let known = |code: [u8; 3]| self.values.iter().position(|(known, _)| *known == code);
        let at = match known(money.currency) {
            None if is_full => known(NO_CURRENCY),
            found => found,
        };
        match at.and_then(|at| self.values.get_mut(at)) {
            Some((_, micros)) => *micros = within(micros.saturating_add(money.micros)),
            // The last place is for what has no other.
            None if values_of_all >= REPORT_NAMES_MAX.saturating_sub(1) => return false,
            None => {
                let code = if is_full { NO_CURRENCY } else { money.currency };
                self.values.push((code, within(money.micros)));
            }
        }
        true
    }
}

impl Slot {
    /// As it is reported; `None` for a key whose id is none, which no list has.
    pub(super) fn usage(&self, key: &str) -> Option<KeyUsage<'_>> {
        let delta = &self.delta;
        let by_reason = |list: &[(Reason, u64)]| {
            let counts = list.iter();
            counts
                .map(|(reason, count)| Count { name: reason.label().into(), count: *count })
                .collect()
        };
        Some(KeyUsage {
            key: KeyId::parse(key).ok()?,
            stream: self.stream.as_deref().and_then(|stream| StreamId::parse(stream).ok()),
            hour: self.hour,
            accepted: delta.accepted,
            last_accept_time: delta.last_accept_time,
            last_refuse_time: delta.last_refuse_time,
            refused: by_reason(&delta.refused),
            dry_run: by_reason(&delta.dry_run),
            events: delta.events.iter().map(Events::count).collect(),
            timed: delta.timed,
            delay_seconds: delta.delay_seconds,
        })
    }
}

impl Events {
    fn count(&self) -> EventCount<'_> {
        let values = self.values.iter().map(|(code, micros)| {
            let code = core::str::from_utf8(code).ok().filter(|_| *code != NO_CURRENCY);
            Value { currency: code.unwrap_or(OTHER).into(), micros: *micros }
        });
        EventCount { name: self.name.as_ref().into(), count: self.count, values: values.collect() }
    }
}

fn plus(sum: u64, more: u64) -> u64 {
    sum.saturating_add(more).min(REPORT_COUNT_MAX)
}

fn within(micros: i64) -> i64 {
    let most = i64::try_from(REPORT_MICROS_MAX).unwrap_or(i64::MAX);
    micros.clamp(most.saturating_neg(), most)
}
