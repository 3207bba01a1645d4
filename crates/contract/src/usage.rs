//! What a gate tells control of the use of its keys: a report, and why one is not believed.
//!
//! A report holds what was counted since the one before. It carries the number of the VM that counted and a
//! sequence that only grows, so that one that is sent twice counts once.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{EventPattern, KeyId, StreamId, limits};

/// The name of what has no name of its own in a report.
pub const OTHER: &str = "other";

/// The seconds of an hour.
pub const HOUR_SECONDS: u64 = 3_600;

/// One report: `POST /v1/usageReports`.
#[derive(Debug, Serialize, Deserialize)]
pub struct UsageReport<'a> {
    /// The gate's name.
    #[serde(borrow)]
    pub gate: Cow<'a, str>,
    /// The VM that counted: 16 hexadecimal digits, new for each.
    #[serde(borrow)]
    pub vm: Cow<'a, str>,
    /// Which of that VM's reports it is: 1, 2, 3.
    pub sequence: u64,
    /// What was counted. A key may appear more than once.
    #[serde(borrow)]
    pub keys: Vec<KeyUsage<'a>>,
    /// Requests whose key had no room in the VM's memory.
    #[serde(default)]
    pub left_out: u64,
}

/// What was counted of one key, one stream and one hour.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyUsage<'a> {
    /// Which key.
    pub key: KeyId,
    /// Which stream, if the list has the one that was asked for.
    #[serde(default)]
    pub stream: Option<StreamId>,
    /// When its hour began, Unix seconds.
    pub hour: u64,
    /// Requests accepted.
    #[serde(default)]
    pub accepted: u64,
    /// When one was last accepted, Unix seconds.
    #[serde(default)]
    pub last_accept_time: Option<u64>,
    /// When one was last refused, or would have been, Unix seconds.
    #[serde(default)]
    pub last_refuse_time: Option<u64>,
    /// Requests refused, by reason.
    #[serde(borrow, default)]
    pub refused: Vec<Count<'a>>,
    /// Requests let through that enforcement would have refused, by reason.
    #[serde(borrow, default)]
    pub dry_run: Vec<Count<'a>>,
    /// Events of accepted requests whose body was read, by name: of the grant or the protocol, else [`OTHER`].
    #[serde(borrow, default)]
    pub events: Vec<EventCount<'a>>,
    /// How many of these events said when they happened.
    #[serde(default)]
    pub timed: u64,
    /// The seconds from then to the gate, added up.
    #[serde(default)]
    pub delay_seconds: u64,
}

/// How many events there were of one name, and what they were worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCount<'a> {
    /// The name, or a pattern of the grant.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// How many.
    pub count: u64,
    /// Their values, by currency.
    #[serde(borrow, default)]
    pub values: Vec<Value<'a>>,
}

/// How many there were of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count<'a> {
    /// The name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// How many.
    pub count: u64,
}

/// What events of one currency were worth together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value<'a> {
    /// Its code, or [`OTHER`].
    #[serde(borrow)]
    pub currency: Cow<'a, str>,
    /// Millionths of its unit.
    pub micros: i64,
}

/// Why a report is refused. Nothing of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFault {
    /// Over [`limits::REPORT_BYTES_MAX`].
    TooLarge,
    /// Not the JSON of a report.
    Unreadable,
    /// A gate's name that is too long, or a VM's number that is none.
    BadReporter,
    /// The sequence is 0.
    BadSequence,
    /// More keys, or names of one key, than a report may have.
    TooMany,
    /// An event, a reason or a currency that cannot be one.
    BadName,
    /// A number that nothing real reaches, or an hour that does not begin with one.
    BadNumber,
}

impl ReportFault {
    /// What that means, for whoever has to do something about it.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::TooLarge => "the report has more than 1 MiB",
            Self::Unreadable => "it is not the JSON of a usage report",
            Self::BadReporter => {
                "gate has more than 255 bytes, or vm is not 16 hexadecimal digits in lower case"
            }
            Self::BadSequence => "sequence begins at 1 and has 63 bits",
            Self::TooMany => "it has more than 50 keys, or a key with more than 64 names of a kind",
            Self::BadName => "an event, a reason or a currency cannot be one",
            Self::BadNumber => "a number is too large, or an hour is not the beginning of one",
        }
    }
}

impl<'a> UsageReport<'a> {
    /// Reads a report. Nothing of it is believed before all of it is checked.
    ///
    /// # Errors
    /// The first [`ReportFault`] found.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReportFault> {
        if body.len() > limits::REPORT_BYTES_MAX {
            return Err(ReportFault::TooLarge);
        }
        let report: Self = serde_json::from_slice(body).map_err(|_| ReportFault::Unreadable)?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_vm = report.vm.len() == 16 && report.vm.bytes().all(is_hex);
        if !is_vm || report.gate.len() > limits::REPORT_GATE_BYTES_MAX {
            return Err(ReportFault::BadReporter);
        }
        if report.sequence == 0 || i64::try_from(report.sequence).is_err() {
            return Err(ReportFault::BadSequence);
        }
        if report.keys.len() > limits::REPORT_KEYS_MAX {
            return Err(ReportFault::TooMany);
        }
        if report.left_out > limits::REPORT_COUNT_MAX {
            return Err(ReportFault::BadNumber);
        }
        report.keys.iter().try_for_each(KeyUsage::check)?;
        Ok(report)
    }
}

impl KeyUsage<'_> {
    fn check(&self) -> Result<(), ReportFault> {
        let values = || self.events.iter().flat_map(|event| &event.values);
        let names = [self.refused.len(), self.dry_run.len(), self.events.len(), values().count()];
        if names.iter().any(|names| *names > limits::REPORT_NAMES_MAX) {
            return Err(ReportFault::TooMany);
        }
        let are_names = self.refused.iter().chain(&self.dry_run).all(|it| is_reason(&it.name))
            && self.events.iter().all(|it| EventPattern::parse(&it.name).is_ok())
            && values().all(|it| it.currency == OTHER || is_currency(&it.currency));
        if !are_names {
            return Err(ReportFault::BadName);
        }
        let times = [self.last_accept_time, self.last_refuse_time].into_iter().flatten();
        let reasons = self.refused.iter().chain(&self.dry_run).map(|it| it.count);
        let counts = reasons.chain(self.events.iter().map(|it| it.count));
        let sums = [self.accepted, self.timed, self.delay_seconds];
        let fits = counts.chain(sums).all(|count| count <= limits::REPORT_COUNT_MAX)
            && times.chain([self.hour]).all(|time| time <= limits::REPORT_TIME_MAX)
            && values().all(|it| it.micros.unsigned_abs() <= limits::REPORT_MICROS_MAX)
            && self.hour.is_multiple_of(HOUR_SECONDS);
        if fits { Ok(()) } else { Err(ReportFault::BadNumber) }
    }
}

/// A word of the gate's: a newer gate may have reasons that this version does not know.
fn is_reason(text: &str) -> bool {
    (1..=limits::REASON_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Whether a text is the code of a currency, as ISO 4217 writes them.
#[must_use]
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn good() -> Json {
        json!({"gate": "edge", "vm": "0123456789abcdef", "sequence": 1, "keys": [{
            "key": "000000000001", "hour": 3_600, "accepted": 2, "last_accept_time": 3_601,
            "last_refuse_time": 3_602, "refused": [{"name": "revoked", "count": 1}],
            "dry_run": [{"name": "unknown_event", "count": 1}],
            "stream": "G-A", "timed": 1, "delay_seconds": 60,
            "events": [{"name": "purchase", "count": 2, "values": [
                    {"currency": "EUR", "micros": 1}, {"currency": "other", "micros": -1}]},
                {"name": "shop_*", "count": 1, "values": []},
                {"name": "other", "count": 1, "values": []}],
        }], "left_out": 0})
    }

    /// One row a behaviour: where to put what, and the fault.
    #[test]
    fn every_row_of_the_report_table() {
        let key = |member: &str| format!("/keys/0/{member}");
        let name = |of: &str| format!("/keys/0/{of}/0/name");
        let names = |count: usize| json!(vec![json!({"name": "a", "count": 1}); count]);
        let keys = |count: usize| json!(vec![good()["keys"][0].clone(); count]);
        for (at, value, fault) in [
            ("/sequence".to_owned(), json!(1), None),
            ("/sequence".to_owned(), json!(0), Some(ReportFault::BadSequence)),
            ("/sequence".to_owned(), json!(u64::MAX), Some(ReportFault::BadSequence)),
            ("/sequence".to_owned(), json!(-1), Some(ReportFault::Unreadable)),
            ("/vm".to_owned(), json!("0123456789abcde"), Some(ReportFault::BadReporter)),
            ("/vm".to_owned(), json!("0123456789ABCDEF"), Some(ReportFault::BadReporter)),
            ("/gate".to_owned(), json!("g".repeat(256)), Some(ReportFault::BadReporter)),
            ("/keys".to_owned(), keys(50), None),
            ("/keys".to_owned(), keys(51), Some(ReportFault::TooMany)),
            ("/keys".to_owned(), json!([]), None),
            (key("key"), json!("x"), Some(ReportFault::Unreadable)),
            (key("stream"), Json::Null, None),
            (key("stream"), json!("G-a"), Some(ReportFault::Unreadable)),
            (
                key("events/0/values"),
                json!(vec![json!({"currency": "EUR", "micros": 1}); 65]),
                Some(ReportFault::TooMany),
            ),
            (key("delay_seconds"), json!(u64::MAX), Some(ReportFault::BadNumber)),
            (key("hour"), json!(3_601), Some(ReportFault::BadNumber)),
            (key("hour"), json!(3_600_u64 << 33), Some(ReportFault::BadNumber)),
            (key("accepted"), json!(1_000_000_000_000_u64), None),
            (key("accepted"), json!(1_000_000_000_001_u64), Some(ReportFault::BadNumber)),
            (key("last_refuse_time"), Json::Null, None),
            (key("last_refuse_time"), json!(1_u64 << 40), Some(ReportFault::BadNumber)),
            (key("events"), names(64), None),
            (key("events"), names(65), Some(ReportFault::TooMany)),
            (name("events"), json!("a b"), Some(ReportFault::BadName)),
            (name("refused"), json!("Revoked"), Some(ReportFault::BadName)),
            (name("dry_run"), json!(""), Some(ReportFault::BadName)),
            (key("events/0/values/0/currency"), json!("eur"), Some(ReportFault::BadName)),
            (key("events/0/values/0/micros"), json!(9_000_000_000_000_000_i64), None),
            (key("events/0/values/0/micros"), json!(i64::MIN), Some(ReportFault::BadNumber)),
            (key("events/0/values/0/micros"), json!(0.5), Some(ReportFault::Unreadable)),
            ("/left_out".to_owned(), json!(u64::MAX), Some(ReportFault::BadNumber)),
        ] {
            let mut report = good();
            let place = report.pointer_mut(&at).expect("the place is there");
            *place = value;
            let text = report.to_string();
            assert_eq!(UsageReport::parse(text.as_bytes()).err(), fault, "{at}: {text:.300}");
        }
    }

    #[test]
    fn a_report_is_what_was_written() {
        let text = good().to_string();
        let report = UsageReport::parse(text.as_bytes()).expect("a good report");
        assert_eq!(serde_json::to_value(&report).ok(), Some(good()));
        let large = vec![b' '; limits::REPORT_BYTES_MAX + 1];
        assert_eq!(UsageReport::parse(&large).err(), Some(ReportFault::TooLarge));
    }

    /// What a newer gate says beside is not understood, and no reason to refuse the rest.
    #[test]
    fn unknown_members_are_ignored_and_doubled_ones_are_not() {
        let more = good().to_string().replacen('{', r#"{"new":1,"#, 1);
        assert!(UsageReport::parse(more.as_bytes()).is_ok());
        let twice = good().to_string().replacen('{', r#"{"sequence":9,"#, 1);
        assert_eq!(UsageReport::parse(twice.as_bytes()).err(), Some(ReportFault::Unreadable));
    }
}
