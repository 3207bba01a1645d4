//! Completeness: a backend's own totals of a day, held against what the gates counted, and kept beside it.
//!
//! No revision and no event in the trail: nothing here changes what anybody may do, and each row says who
//! posted it and when.

use std::collections::{BTreeMap, BTreeSet};

use mpgate_contract::{ConsumerId, StreamId};
use serde_json::Value;

use super::access::{Caller, Permission};
use super::completeness::{Seen, compare};
use super::usage::{KEPT_SECONDS, SUMS_MAX};
use super::{Answer, Listed, Listing, Service, consumers, resource};
use crate::model::{
    DAY_SECONDS, Reconciliation, Refusal, Seconds, SenderDay, Span, Total, TotalFault, UsageQuery,
};
use crate::store::Read;
use crate::time;

/// Totals of one request.
pub const TOTALS_MAX: usize = 5_000;

/// Events of one sender, stream and day: each is a series of the metrics.
const EVENTS_MAX: usize = 200;

/// One row as it was posted: an event's total in one currency, or without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedTotal {
    /// Which day of whom.
    pub of: SenderDay,
    /// Which event.
    pub event: String,
    /// In which currency; none where it has no value.
    pub currency: Option<String>,
    /// How many.
    pub count: i64,
    /// What they were worth, in millionths.
    pub micros: i64,
}

/// Totals by day, then by event.
type Days = BTreeMap<SenderDay, BTreeMap<String, Total>>;

impl Service {
    /// Holds a backend's totals against what the gates counted, and keeps both. What was kept of the same
    /// sender, stream and day is replaced.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`]; [`Refusal::Totals`], and nothing of it is kept.
    pub async fn reconcile(
        &self,
        caller: &Caller,
        consumer: &ConsumerId,
        posted: &[PostedTotal],
    ) -> Answer<Vec<Value>> {
        caller.may_to(Permission::Reconcile, consumer)?;
        let mut write = self.store.write().await?;
        // Once more, with the lock: who was shut out meanwhile posts nothing more.
        let caller = caller.again(write.reader()).await?;
        caller.may_to(Permission::Reconcile, consumer)?;
        consumers::find(write.reader(), consumer).await?;
        let now = time::now();
        let (days, mut faults) = merge(posted);
        faults.extend(expect_known(write.reader(), consumer, posted, now).await?);
        if !faults.is_empty() {
            faults.sort_by_key(|fault| fault.place);
            return Err(Refusal::Totals(faults).into());
        }
        let mut answer = Vec::new();
        let mut counted = Counted::default();
        for (of, events) in &days {
            let seen = counted.of(write.reader(), consumer, of).await?;
            let all: Vec<_> = events
                .values()
                .map(|total| reconciliation(&caller, consumer, total, seen, now))
                .collect();
            write.put_reconciliations(consumer, of, &all).await?;
            answer.extend(all.iter().map(resource::reconciliation));
        }
        write.commit().await?;
        Ok(answer)
    }

    /// Part of what backends posted of a consumer, in the order in which it came.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`].
    pub async fn reconciliations(
        &self,
        caller: &Caller,
        consumer: &ConsumerId,
        listing: Listing,
    ) -> Answer<Listed> {
        caller.may_to(Permission::Read, consumer)?;
        let mut read = self.store.read().await?;
        consumers::find(&mut *read, consumer).await?;
        let mut scan = listing.scan();
        while let Some(slice) = scan.next() {
            let part = read.reconciliations(consumer, slice).await?;
            scan.take(part.items.iter().map(resource::reconciliation).collect(), part.next);
        }
        Ok(scan.end())
    }
}

/// Brings the rows of one event together; and what cannot be brought together.
fn merge(posted: &[PostedTotal]) -> (Days, Vec<TotalFault>) {
    let mut days = Days::new();
    let mut faults = Vec::new();
    let mut first: BTreeMap<_, usize> = BTreeMap::new();
    for (place, row) in posted.iter().enumerate() {
        let mut fault = |member, rule: String| faults.push(TotalFault { place, member, rule });
        if let Some(first) = first.get(&(&row.of, &row.event, &row.currency)) {
            fault("event", format!("It is there twice: it is the total of totals[{first}]."));
            continue;
        }
        first.insert((&row.of, &row.event, &row.currency), place);
        if row.currency.is_none() && row.micros != 0 {
            fault("currency", "A value has a currency; name it.".to_owned());
        }
        let events = days.entry(row.of.clone()).or_default();
        if events.len() >= EVENTS_MAX && !events.contains_key(&row.event) {
            let rule = format!("At most {EVENTS_MAX} events of one sender, stream and day.");
            fault("event", rule);
            continue;
        }
        let total = events.entry(row.event.clone()).or_insert_with(|| Total {
            of: row.of.clone(),
            event: row.event.clone(),
            count: 0,
            values: Vec::new(),
        });
        total.count = total.count.saturating_add(row.count);
        total.values.extend(row.currency.clone().map(|currency| (currency, row.micros)));
    }
    (days, faults)
}

/// Senders and streams must be the consumer's: they are labels of the metrics. Days must be over, and within what
/// is kept.
async fn expect_known(
    read: &mut dyn Read,
    consumer: &ConsumerId,
    posted: &[PostedTotal],
    now: Seconds,
) -> Answer<Vec<TotalFault>> {
    let senders: BTreeSet<String> = read.senders(consumer).await?.into_iter().collect();
    let mut streams: BTreeMap<&StreamId, bool> = BTreeMap::new();
    let mut faults = Vec::new();
    for (place, PostedTotal { of, .. }) in posted.iter().enumerate() {
        let mut fault = |member, rule: &str| {
            faults.push(TotalFault { place, member, rule: rule.to_owned() });
        };
        if !senders.contains(&of.sender) {
            fault("sender", "No API key of the measurement consumer has or had this sender.");
        }
        if !streams.contains_key(&of.stream) {
            streams.insert(&of.stream, read.stream(consumer, &of.stream).await?.is_some());
        }
        if streams.get(&of.stream) != Some(&true) {
            fault("stream", "The measurement consumer has and had no such data stream.");
        }
        if let Some(rule) = day_fault(of.day, now) {
            fault("day", rule);
        }
    }
    Ok(faults)
}

fn day_fault(day: Seconds, now: Seconds) -> Option<&'static str> {
    if day.saturating_add(DAY_SECONDS) > now {
        return Some("The day is not over in UTC; post it when it is.");
    }
    if day < now.saturating_sub(KEPT_SECONDS) {
        return Some("The day is longer ago than counts are kept, which is 400 days.");
    }
    None
}

/// What the gates counted on the days that are asked for; of one sender and day it is read once.
#[derive(Default)]
struct Counted {
    of: Option<(String, Seconds)>,
    streams: BTreeMap<String, Seen>,
    nothing: Seen,
}

impl Counted {
    async fn of(
        &mut self,
        read: &mut dyn Read,
        consumer: &ConsumerId,
        of: &SenderDay,
    ) -> Answer<&Seen> {
        let wanted = Some((of.sender.clone(), of.day));
        if self.of != wanted {
            let query = UsageQuery {
                consumer: consumer.clone(),
                sender: Some(of.sender.clone()),
                key: None,
                start: of.day,
                end: of.day.saturating_add(DAY_SECONDS),
                span: Span::Day,
                limit: SUMS_MAX.saturating_add(1),
            };
            self.streams.clear();
            let sums = read.usage(&query).await?;
            if sums.len() > SUMS_MAX as usize {
                const RULE: &str =
                    "Control holds more numbers of a sender and day than it adds up.";
                return Err(Refusal::Invalid("totals", RULE).into());
            }
            for sum in sums {
                self.streams.entry(sum.stream.clone()).or_default().add(&sum);
            }
            self.of = wanted;
        }
        Ok(self.streams.get(of.stream.as_str()).unwrap_or(&self.nothing))
    }
}

fn reconciliation(
    caller: &Caller,
    consumer: &ConsumerId,
    total: &Total,
    seen: &Seen,
    now: Seconds,
) -> Reconciliation {
    let compared = compare(total, seen);
    Reconciliation {
        consumer: consumer.clone(),
        of: total.of.clone(),
        event: total.event.clone(),
        count: total.count,
        measure: compared.measure,
        gate_count: compared.gate_count,
        values: compared.values,
        principal: caller.principal.id.clone(),
        reconcile_time: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_over_and_kept() {
        let (day, kept) = (1_795_219_200, 400 * DAY_SECONDS);
        for (now, is_good) in [
            (day, false),
            (day + DAY_SECONDS - 1, false),
            (day + DAY_SECONDS, true),
            (day + kept, true),
            (day + kept + 1, false),
        ] {
            assert_eq!(day_fault(day, now).is_none(), is_good, "{now}");
        }
    }
}
