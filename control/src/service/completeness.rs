//! What a backend says it sent beside what the gates counted: how much is missing, and whether anybody can
//! tell. Pure: no clock, no database.

use std::collections::BTreeMap;

use mpgate_contract::limits::REPORT_NAMES_MAX;
use mpgate_contract::{EventPattern, OTHER};
use mpgate_guard::recommended_event;

use crate::model::{Counted, Measure, Total, UsageSum, ValueTotal};

/// What the gates counted of one sender, stream and day.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Requests.
    accepted: i64,
    /// By name: of the protocol, of a grant, a grant's pattern, or [`OTHER`].
    events: BTreeMap<String, i64>,
    /// Millionths, by event and currency.
    values: BTreeMap<(String, String), i64>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) measure: Measure,
    pub(super) gate_count: Option<i64>,
    pub(super) values: Vec<ValueTotal>,
}

impl Seen {
    /// Adds what was counted with one of the sender's keys.
    pub(super) fn add(&mut self, sum: &UsageSum) {
        let total = match sum.counted {
            Counted::Accepted => &mut self.accepted,
            Counted::Event => self.events.entry(sum.name.clone()).or_default(),
            Counted::Value => {
                self.values.entry((sum.name.clone(), sum.currency.clone())).or_default()
            }
            Counted::Refused | Counted::DryRun | Counted::Timed | Counted::Delay => return,
        };
        *total = total.saturating_add(sum.sum);
    }

    fn measure(&self, event: &str) -> Measure {
        let counted = self.events.values().fold(0_i64, |sum, it| sum.saturating_add(*it));
        if counted == 0 && self.accepted > 0 {
            return Measure::BodiesNotRead;
        }
        let has_more = self.may_have_more(event);
        match self.events.contains_key(event) {
            false if has_more => Measure::EventNotNamed,
            true if has_more => Measure::Partly,
            // A request has an event at least.
            _ if self.accepted > counted => Measure::Partly,
            _ => Measure::Measured,
        }
    }

    /// Whether events of this name may be counted under another.
    fn may_have_more(&self, event: &str) -> bool {
        let has_other = event != OTHER && self.events.contains_key(OTHER);
        // A gate counts a name that it has no room for under `other`. A day of fewer names had room for all.
        if has_other && self.events.len() >= REPORT_NAMES_MAX.saturating_sub(1) {
            return true;
        }
        // Gates count these by their own names.
        if recommended_event(event).is_some() {
            return false;
        }
        let covers = |name: &String| {
            name != event && EventPattern::parse(name).is_ok_and(|pattern| pattern.covers(event))
        };
        // An event that has its own name here is one that a grant names.
        let is_without_a_name = has_other && !self.events.contains_key(event);
        is_without_a_name || self.events.keys().any(covers)
    }

    /// The value in one currency; `None` where it is among those that were not told apart.
    fn micros(&self, event: &str, currency: &str) -> Option<i64> {
        let value = |currency: &str| self.values.get(&(event.to_owned(), currency.to_owned()));
        match value(currency) {
            Some(micros) => Some(*micros),
            None if value(OTHER).is_some() => None,
            None => Some(0),
        }
    }
}

/// Holds a total against what was counted on its day.
pub(super) fn compare(total: &Total, seen: &Seen) -> Compared {
    let measure = seen.measure(&total.event);
    if matches!(measure, Measure::BodiesNotRead | Measure::EventNotNamed) {
        let values = total.values.iter().map(|(currency, micros)| ValueTotal {
            currency: currency.clone(),
            micros: *micros,
            gate_micros: None,
        });
        return Compared { measure, gate_count: None, values: values.collect() };
    }
    let mut micros: BTreeMap<&str, i64> = BTreeMap::new();
    for (currency, posted) in &total.values {
        micros.insert(currency, *posted);
    }
    // What only the gates counted is a gap too.
    for (_, currency) in seen.values.keys().filter(|(event, _)| *event == total.event) {
        micros.entry(currency).or_default();
    }
    let values = micros.into_iter().map(|(currency, micros)| ValueTotal {
        currency: currency.to_owned(),
        micros,
        gate_micros: seen.micros(&total.event, currency),
    });
    let gate_count = seen.events.get(&total.event).copied().unwrap_or(0);
    Compared { measure, gate_count: Some(gate_count), values: values.collect() }
}

#[cfg(test)]
mod tests {
    use mpgate_contract::StreamId;

    use super::*;
    use crate::model::SenderDay;

    type Counts<'a> = &'a [(&'a str, i64)];
    type Values<'a> = &'a [(&'a str, &'a str, i64)];

    fn seen(accepted: i64, events: Counts<'_>, values: Values<'_>) -> Seen {
        let events = events.iter().map(|(name, count)| ((*name).to_owned(), *count));
        let values = values.iter().map(|(event, currency, micros)| {
            (((*event).to_owned(), (*currency).to_owned()), *micros)
        });
        Seen { accepted, events: events.collect(), values: values.collect() }
    }

    fn total(event: &str, count: i64, values: &[(&str, i64)]) -> Total {
        let stream = StreamId::parse("G-A").expect("an id");
        Total {
            of: SenderDay { sender: "billing".to_owned(), stream, day: 0 },
            event: event.to_owned(),
            count,
            values: values.iter().map(|(code, micros)| ((*code).to_owned(), *micros)).collect(),
        }
    }

    /// Rows: what the gates counted (requests, events), the event that was posted, and what they say of it.
    #[test]
    fn every_row_of_events() {
        use Measure::{BodiesNotRead, EventNotNamed, Measured, Partly};
        let rows: [(i64, Counts<'_>, &str, Measure, Option<i64>); 19] = [
            (10, &[("purchase", 10)], "purchase", Measured, Some(10)),
            // Several events a request.
            (2, &[("purchase", 10)], "purchase", Measured, Some(10)),
            (10, &[("purchase", 7), ("refund", 3)], "purchase", Measured, Some(7)),
            // Counted, but not this one: none of it came.
            (10, &[("refund", 10)], "purchase", Measured, Some(0)),
            // Nothing came at all.
            (0, &[], "purchase", Measured, Some(0)),
            // No body was read, so nothing is known of events.
            (10, &[], "purchase", BodiesNotRead, None),
            // Fewer events than requests: some bodies were not read.
            (10, &[("purchase", 7)], "purchase", Partly, Some(7)),
            (10, &[("refund", 7)], "purchase", Partly, Some(0)),
            // Among those without a name of their own.
            (10, &[("other", 10)], "signed_contract", EventNotNamed, None),
            (10, &[("signed_*", 10)], "signed_contract", EventNotNamed, None),
            (10, &[("signed_*", 10)], "purchase", Measured, Some(0)),
            (10, &[("signed_*", 3), ("signed_contract", 7)], "signed_contract", Partly, Some(7)),
            (10, &[("other", 3), ("signed_contract", 7)], "signed_contract", Measured, Some(7)),
            // The protocol's names are counted as themselves: all of it is lost, whatever else there is.
            (10, &[("other", 10)], "purchase", Measured, Some(0)),
            (10, &[("purch*", 10)], "purchase", Measured, Some(0)),
            (10, &[("purch*", 3), ("purchase", 7)], "purchase", Measured, Some(7)),
            (10, &[("other", 3), ("purchase", 7)], "purchase", Measured, Some(7)),
            // A backend may post these as they are counted.
            (10, &[("other", 10)], "other", Measured, Some(10)),
            (10, &[("signed_*", 10)], "signed_*", Measured, Some(10)),
        ];
        for (accepted, events, event, measure, count) in rows {
            let compared = compare(&total(event, 10, &[]), &seen(accepted, events, &[]));
            assert_eq!((compared.measure, compared.gate_count), (measure, count), "{events:?}");
        }
    }

    /// A gate that had no room for one more name may have any under `other`.
    #[test]
    fn where_names_had_no_room_any_event_may_be_other() {
        use Measure::{EventNotNamed, Measured, Partly};
        let names: Vec<_> = (0..REPORT_NAMES_MAX).map(|number| format!("event_{number}")).collect();
        let full = REPORT_NAMES_MAX - 2;
        for (with, names, event, measure, count) in [
            (&["other"][..], full - 1, "purchase", Measured, Some(0)),
            (&["other"], full, "purchase", EventNotNamed, None),
            (&["other", "purchase"], full - 1, "purchase", Partly, Some(1)),
            (&["other"], full, "event_0", Partly, Some(1)),
            (&["other"], full, "other", Measured, Some(1)),
            // Nothing is under `other`: all had room.
            (&[], full + 2, "purchase", Measured, Some(0)),
        ]
        .map(|(with, count, event, measure, found)| {
            let names = names.iter().take(count).map(String::as_str);
            let counts: Vec<_> = names.chain(with.iter().copied()).map(|name| (name, 1)).collect();
            (with, counts, event, measure, found)
        }) {
            let compared = compare(&total(event, 10, &[]), &seen(1, &names, &[]));
            let found = (compared.measure, compared.gate_count);
            assert_eq!(found, (measure, count), "{event} {with:?} {}", names.len());
        }
    }

    /// Rows: values that the gates counted, those that were posted, and both side by side.
    #[test]
    fn every_row_of_values() {
        type Row<'a> = (Values<'a>, &'a [(&'a str, i64)], &'a [(&'a str, i64, Option<i64>)]);
        let rows: [Row<'_>; 7] = [
            (&[("purchase", "EUR", 7)], &[("EUR", 9)], &[("EUR", 9, Some(7))]),
            // Another event's value is none of this one's.
            (&[("refund", "EUR", 7)], &[("EUR", 9)], &[("EUR", 9, Some(0))]),
            (&[], &[], &[]),
            // What only the gates counted.
            (&[("purchase", "USD", 7)], &[("EUR", 9)], &[("EUR", 9, Some(0)), ("USD", 0, Some(7))]),
            // It may be among those that were not told apart.
            (
                &[("purchase", "other", 7)],
                &[("EUR", 9)],
                &[("EUR", 9, None), ("other", 0, Some(7))],
            ),
            (&[("purchase", "other", 7)], &[("other", 9)], &[("other", 9, Some(7))]),
            (
                &[("purchase", "EUR", -1), ("purchase", "other", 7)],
                &[("EUR", -1)],
                &[("EUR", -1, Some(-1)), ("other", 0, Some(7))],
            ),
        ];
        for (counted, posted, expected) in rows {
            let compared =
                compare(&total("purchase", 1, posted), &seen(1, &[("purchase", 1)], counted));
            let found: Vec<_> = compared
                .values
                .iter()
                .map(|it| (it.currency.as_str(), it.micros, it.gate_micros))
                .collect();
            assert_eq!(found, expected, "{counted:?}");
        }
        let unknown = compare(&total("purchase", 1, &[("EUR", 9)]), &seen(1, &[], &[]));
        assert_eq!(unknown.values.first().and_then(|it| it.gate_micros), None);
    }
}
