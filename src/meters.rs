//! Metrics. Label values come from the allowlist and from fixed enums only, and are bounded: Envoy
//! never frees a series.
//!
//! A name carries its labels behind semicolons; the `stats_tags` of the shipped configurations turn
//! them into real labels. See `docs/metrics.md`.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use mpgate_guard::{Decision, Reason};

use crate::host;

pub(crate) struct Meters {
    senders_max: usize,
    senders: RefCell<HashSet<String>>,
    /// Metric ids by full name: to define a name again would cost an id each time.
    ids: RefCell<HashMap<String, u32>>,
}

impl Meters {
    pub(crate) fn new(senders_max: usize) -> Self {
        Self { senders_max, senders: RefCell::default(), ids: RefCell::default() }
    }

    pub(crate) fn count(&self, decision: &Decision<'_>) {
        let sender =
            decision.sender.as_deref().map_or("unknown", |sender| self.sender_label(sender));
        let stream = decision.stream.as_deref().unwrap_or("unknown");
        let outcome = decision.outcome.label();
        let reason = decision.reason.map_or("none", Reason::label);
        self.increment(&format!(
            "mpgate_requests_total;sender={sender};stream={stream};outcome={outcome};reason={reason}"
        ));
    }

    pub(crate) fn count_sync(&self, result: &str) {
        self.increment(&format!("mpgate_sync_total;result={result}"));
    }

    pub(crate) fn show_list(&self, revision: u64, synced_at: u64) {
        self.show("mpgate_allowlist_revision", revision);
        self.show("mpgate_allowlist_last_sync_timestamp_seconds", synced_at);
    }

    pub(crate) fn show_stale(&self, is_stale: bool) {
        self.show("mpgate_allowlist_stale", u64::from(is_stale));
    }

    fn sender_label<'a>(&self, sender: &'a str) -> &'a str {
        let mut senders = self.senders.borrow_mut();
        if senders.contains(sender) {
            return sender;
        }
        if senders.len() >= self.senders_max {
            return "other";
        }
        senders.insert(sender.to_owned());
        sender
    }

    fn increment(&self, name: &str) {
        if let Some(id) = self.id(name, host::define_counter) {
            host::increment(id);
        }
    }

    fn show(&self, name: &str, value: u64) {
        if let Some(id) = self.id(name, host::define_gauge) {
            host::record(id, value);
        }
    }

    fn id(&self, name: &str, define: fn(&str) -> Option<u32>) -> Option<u32> {
        let known = self.ids.borrow().get(name).copied();
        known.or_else(|| {
            let id = define(name)?;
            self.ids.borrow_mut().insert(name.to_owned(), id);
            Some(id)
        })
    }
}
