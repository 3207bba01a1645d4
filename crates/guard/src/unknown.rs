//! Secrets that no key has: the ones that are tried most, by the beginning of their digests, in bounded
//! memory (Metwally, Agrawal, El Abbadi: Space-Saving, 2005).
//!
//! The counts of all entries add up to all that was noted. One that is tried more often than the
//! others together leave room for is there; one that is there was tried at least `count_min` times.

use mpgate_contract::Digest;
use serde::{Deserialize, Serialize};

/// Entries that are kept: a page that somebody reads.
const ENTRIES_MAX: usize = 32;

/// The unknown secrets that are tried most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownSecrets(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// The first 32 bits of the digest, and never more.
    prefix: u32,
    count: u64,
    /// How many of those may have been another's, whose place this one took.
    taken_over: u64,
    last_time: u64,
}

/// What a status page says of one.
#[derive(Serialize)]
pub(crate) struct Shown {
    digest_prefix: String,
    count: u64,
    count_min: u64,
    last_time: u64,
}

impl UnknownSecrets {
    /// Notes that a secret of this digest was tried.
    pub fn note(&mut self, digest: &Digest, now: u64) {
        let [a, b, c, d, ..] = *digest.as_bytes();
        let prefix = u32::from_be_bytes([a, b, c, d]);
        self.add(&Entry { prefix, count: 1, taken_over: 0, last_time: now });
    }

    /// Whether none was tried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what another VM noted.
    pub fn merge(&mut self, others: &Self) {
        for entry in &others.0 {
            self.add(entry);
        }
    }

    fn add(&mut self, new: &Entry) {
        if let Some(known) = self.0.iter_mut().find(|entry| entry.prefix == new.prefix) {
            known.count = known.count.saturating_add(new.count);
            known.taken_over = known.taken_over.saturating_add(new.taken_over);
            known.last_time = known.last_time.max(new.last_time);
        } else if self.0.len() < ENTRIES_MAX {
            self.0.push(new.clone());
        } else if let Some(least) = self.0.iter_mut().min_by_key(|entry| entry.count) {
            *least = Entry {
                count: least.count.saturating_add(new.count),
                taken_over: least.count.saturating_add(new.taken_over),
                ..*new
            };
        }
    }

    /// For the status page, the most tried first.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let mut entries: Vec<&Entry> = self.0.iter().collect();
        entries.sort_by_key(|entry| (core::cmp::Reverse(entry.count), entry.prefix));
        let shown = entries.into_iter().map(|entry| Shown {
            digest_prefix: format!("{:08x}", entry.prefix),
            count: entry.count,
            count_min: entry.count.saturating_sub(entry.taken_over),
            last_time: entry.last_time,
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn json(unknown: &UnknownSecrets) -> serde_json::Value {
        serde_json::to_value(unknown.shown()).expect("JSON")
    }

    #[test]
    fn few_are_counted_exactly() {
        let mut unknown = UnknownSecrets::default();
        assert!(unknown.is_empty());
        for (name, now) in [("once", 5), ("often", 6), ("often", 9), ("often", 8)] {
            unknown.note(&digest(name), now);
        }
        let prefix = |name: &str| digest(name).to_string()[..8].to_owned();
        let expected = serde_json::json!([
            {"digest_prefix": prefix("often"), "count": 3, "count_min": 3, "last_time": 9},
            {"digest_prefix": prefix("once"), "count": 1, "count_min": 1, "last_time": 5},
        ]);
        assert_eq!(json(&unknown), expected);
    }

    #[test]
    fn what_is_tried_most_is_seen_among_a_hundred_thousand_others() {
        let (mut all, mut vms) =
            (UnknownSecrets::default(), [(); 4].map(|()| UnknownSecrets::default()));
        let mut tried = HashMap::<String, u64>::new();
        for turn in 0..100_000_usize {
            // One in ten is the same, from whichever worker; the rest are tried once.
            let name = if turn % 10 == 3 { "leaked".to_owned() } else { format!("guess {turn}") };
            *tried.entry(digest(&name).to_string()[..8].to_owned()).or_default() += 1;
            vms[turn / 7 % 4].note(&digest(&name), turn as u64);
            if turn % 500 == 499 {
                for vm in &mut vms {
                    all.merge(&core::mem::take(vm));
                }
            }
        }
        assert_eq!(all.0.len(), ENTRIES_MAX);
        assert_eq!(all.0.iter().map(|entry| entry.count).sum::<u64>(), 100_000);
        for entry in &all.0 {
            let truth = tried[&format!("{:08x}", entry.prefix)];
            assert!(entry.count - entry.taken_over <= truth, "{entry:?}: {truth}");
        }
        let first = &all.shown()[0];
        assert_eq!(first.digest_prefix, digest("leaked").to_string()[..8]);
        assert!(first.count >= 10_000 && first.count_min > 5_000, "{}", first.count_min);
    }
}
