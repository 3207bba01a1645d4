//! What the gates counted of each key: taken once, kept by the hour, shown in sums.
//!
//! A gateway may only speak of keys that are in its own list. What it says of others is ignored, and told to
//! the operator instead of to it.

use std::collections::BTreeMap;

use mpgate_contract::{ConsumerId, HOUR_SECONDS, KeyId, KeyUsage, UsageReport};
use serde_json::{Map, Value, json};

use super::access::{Caller, Permission};
use super::{Answer, Service};
use crate::model::{
    Counted, KeyUse, Refusal, Scope, Seconds, Span, UsageCount, UsageQuery, UsageSum,
};
use crate::time;

/// How long the hours are kept.
pub(super) const KEPT_SECONDS: Seconds = 400 * 24 * 60 * 60;

/// How long a VM that says nothing is remembered. A report that comes again later counts again.
const REPORTER_SECONDS: Seconds = 30 * 24 * 60 * 60;

/// Numbers forgotten in one transaction.
const FORGET_LIMIT: u32 = 1_000;

/// Sums read for one answer.
pub(super) const SUMS_MAX: u32 = 100_000;

/// What sums are asked for.
#[derive(Clone, Debug)]
pub struct UsageQuestion {
    /// Of this sender only.
    pub sender: Option<String>,
    /// Of this key only.
    pub key: Option<KeyId>,
    /// From the hour that this is in; without it, a day before the end.
    pub start: Option<Seconds>,
    /// Hours that begin before this; without it, now.
    pub end: Option<Seconds>,
    /// What one row covers.
    pub span: Span,
    /// One row for each key.
    pub by_key: bool,
    /// One row for each stream.
    pub by_stream: bool,
}

impl Service {
    /// Counts a report; `false` if it was counted before. Nobody learns which keys there are.
    ///
    /// # Errors
    /// The database failed: nothing was counted, and the report may come again.
    pub async fn report_usage(&self, caller: &Caller, report: &UsageReport<'_>) -> Answer<bool> {
        caller.may(Permission::ReportUsage)?;
        let mut write = self.store.write().await?;
        // Once more, with the lock: who was shut out meanwhile, or bound to others, is believed no more.
        let caller = caller.again(write.reader()).await?;
        let (now, principal) = (time::now(), &caller.principal.id);
        let scope = Scope::of(&caller.principal);
        if !write.take_report(principal, &report.vm, report.sequence, now).await? {
            return Ok(false);
        }
        let keys: Vec<_> = report.keys.iter().map(|usage| usage.key.clone()).collect();
        let places = write.reader().places(&keys).await?;
        let (mut uses, mut counts, mut strangers) = (Vec::new(), Vec::new(), 0_u64);
        for (usage, place) in report.keys.iter().zip(places) {
            if !place.is_some_and(|(consumer, environment)| scope.holds(&consumer, environment)) {
                strangers = strangers.saturating_add(1);
                continue;
            }
            uses.push((usage.key.clone(), use_of(usage, now)));
            counts.extend(counts_of(usage, now));
        }
        write.add_uses(&uses).await?;
        write.add_usage(&counts).await?;
        write.commit().await?;
        if strangers > 0 || report.left_out > 0 {
            tracing::warn!(
                principal = principal.as_str(),
                keys_not_its_own = strangers,
                requests_left_out = report.left_out,
                "a gateway's report was not counted whole"
            );
        }
        Ok(true)
    }

    /// What the gates counted of a consumer's keys.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`]; [`Refusal::Invalid`] if it is more than an answer holds.
    pub async fn usage(
        &self,
        caller: &Caller,
        consumer: &ConsumerId,
        question: UsageQuestion,
    ) -> Answer<Value> {
        caller.may_to(Permission::Read, consumer)?;
        let mut read = self.store.read().await?;
        read.consumer(consumer).await?.ok_or(Refusal::NoConsumer)?;
        let end = question.end.unwrap_or_else(time::now);
        let start = question.start.unwrap_or_else(|| end.saturating_sub(Span::Day.seconds()));
        if start >= end {
            return Err(Refusal::Invalid("startTime", "It is before endTime.").into());
        }
        let query = UsageQuery {
            consumer: consumer.clone(),
            sender: question.sender,
            key: question.key,
            start,
            end,
            span: question.span,
            limit: SUMS_MAX.saturating_add(1),
        };
        let sums = read.usage(&query).await?;
        if sums.len() > SUMS_MAX as usize {
            const RULE: &str =
                "That is more than one answer holds: ask for less time, a sender, or days.";
            return Err(Refusal::Invalid("startTime", RULE).into());
        }
        let mut rows: BTreeMap<_, Row> = BTreeMap::new();
        for sum in sums {
            let key = question.by_key.then(|| sum.key.as_str().to_owned());
            let stream = question.by_stream.then(|| sum.stream.clone());
            let group = (sum.start, sum.sender.clone(), key, stream);
            rows.entry(group).or_default().add(&sum);
        }
        let rows: Vec<_> = rows
            .into_iter()
            .map(|((start, sender, key, stream), row)| {
                let mut members = row.members();
                members.insert("sender".to_owned(), sender.into());
                if let Some(key) = key {
                    let name = format!("measurementConsumers/{consumer}/apiKeys/{key}");
                    members.insert("apiKey".to_owned(), name.into());
                }
                if let Some(stream) = stream {
                    members.insert("stream".to_owned(), stream.into());
                }
                if question.span != Span::Whole {
                    members.insert("startTime".to_owned(), time::to_text(start).into());
                }
                Value::Object(members)
            })
            .collect();
        let (start, end) = (time::to_text(start), time::to_text(end));
        Ok(json!({"startTime": start, "endTime": end, "usage": rows}))
    }

    /// Forgets what is too old, a little at a time; whether there may be more.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_usage(&self) -> Answer<bool> {
        let now = time::now();
        let (hours, vms) = (now.saturating_sub(KEPT_SECONDS), now.saturating_sub(REPORTER_SECONDS));
        let mut write = self.store.write().await?;
        let forgotten = write.forget_usage(hours, vms, FORGET_LIMIT).await?;
        write.commit().await?;
        Ok(forgotten >= u64::from(FORGET_LIMIT))
    }
}

/// A gate's clock may be ahead; nothing was used in the future.
fn use_of(usage: &KeyUsage<'_>, now: Seconds) -> KeyUse {
    let time = |time: Option<u64>| time.and_then(|time| Seconds::try_from(time).ok());
    KeyUse {
        last_accept_time: time(usage.last_accept_time).map(|time| time.min(now)),
        last_refuse_time: time(usage.last_refuse_time).map(|time| time.min(now)),
    }
}

/// An hour that cannot be, because a gate's clock is wrong, is this one.
fn counts_of(usage: &KeyUsage<'_>, now: Seconds) -> Vec<UsageCount> {
    let length = Seconds::try_from(HOUR_SECONDS).unwrap_or(Seconds::MAX);
    let this = now.saturating_sub(now.rem_euclid(length));
    let hour = Seconds::try_from(usage.hour).unwrap_or(this);
    let is_kept = (now.saturating_sub(KEPT_SECONDS)..=this).contains(&hour);
    let count = |counted, name: &str, currency: &str, count: i64| UsageCount {
        key: usage.key.clone(),
        hour: if is_kept { hour } else { this },
        stream: usage.stream.clone(),
        counted,
        name: name.to_owned(),
        currency: currency.to_owned(),
        count,
    };
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut counts = vec![
        count(Counted::Accepted, "", "", signed(usage.accepted)),
        count(Counted::Timed, "", "", signed(usage.timed)),
        count(Counted::Delay, "", "", signed(usage.delay_seconds)),
    ];
    for (counted, list) in [(Counted::Refused, &usage.refused), (Counted::DryRun, &usage.dry_run)] {
        counts.extend(list.iter().map(|it| count(counted, &it.name, "", signed(it.count))));
    }
    for event in &usage.events {
        counts.push(count(Counted::Event, &event.name, "", signed(event.count)));
        let values = event.values.iter();
        counts.extend(values.map(|it| count(Counted::Value, &event.name, &it.currency, it.micros)));
    }
    counts.retain(|count| count.count != 0);
    counts
}

/// Sums of one group.
#[derive(Default)]
struct Row {
    accepted: i64,
    timed: i64,
    delay: i64,
    refused: BTreeMap<String, i64>,
    dry_run: BTreeMap<String, i64>,
    events: BTreeMap<String, i64>,
    values: BTreeMap<(String, String), i64>,
}

impl Row {
    fn add(&mut self, sum: &UsageSum) {
        let name = || sum.name.clone();
        let total = match sum.counted {
            Counted::Accepted => &mut self.accepted,
            Counted::Timed => &mut self.timed,
            Counted::Delay => &mut self.delay,
            Counted::Refused => self.refused.entry(name()).or_default(),
            Counted::DryRun => self.dry_run.entry(name()).or_default(),
            Counted::Event => self.events.entry(name()).or_default(),
            Counted::Value => self.values.entry((name(), sum.currency.clone())).or_default(),
        };
        *total = total.saturating_add(sum.sum);
    }

    /// Names are members of objects: there are few, and a client asks for one.
    fn members(self) -> Map<String, Value> {
        let sum = |map: &BTreeMap<String, i64>| {
            map.values().fold(0_i64, |sum, it| sum.saturating_add(*it))
        };
        let mut members = Map::new();
        let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
        set("accepted", self.accepted.into());
        set("refused", sum(&self.refused).into());
        set("refusedByReason", json!(self.refused));
        set("dryRun", sum(&self.dry_run).into());
        set("dryRunByReason", json!(self.dry_run));
        set("events", sum(&self.events).into());
        set("eventsByName", json!(self.events));
        let mut values: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for ((event, currency), micros) in self.values {
            values.entry(event).or_default().insert(currency, micros);
        }
        set("valueMicros", json!(values));
        if let Some(mean) = self.delay.checked_div(self.timed) {
            set("meanDelaySeconds", mean.into());
        }
        members
    }
}
