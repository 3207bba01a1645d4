//! What one VM counts of each key, and which report of it is due to control.
//!
//! At least once and counted once: a report that control did not acknowledge is sent again as it was,
//! under the same sequence, and nothing newer goes before it. Time is an argument: Unix seconds for what is
//! counted, milliseconds of a clock that nobody sets for when to send.
//!
//! A VM that ends in order leaves its reports to the others ([`Usage::leave`], [`Usage::adopt`]).
//!
//! Memory is bounded: so many slots (a key, a stream, an hour), so many names in each. What has no room
//! counts under `other`, or as left out.

mod delta;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use mpgate_contract::limits::{REPORT_COUNT_MAX, REPORT_KEYS_MAX};
use mpgate_contract::{HOUR_SECONDS, KeyUsage, UsageReport};

use self::delta::Delta;
use crate::{Decision, Outcome, backoff_milliseconds};

/// Where control takes reports.
pub const USAGE_PATH: &str = "/v1/usageReports";

/// Slots that a VM keeps until they are reported.
const SLOTS_MAX: usize = 10_000;

/// How long after the first use that nobody was told of a report is sent.
const FIRST_MILLISECONDS: u64 = 1_000;

/// How long after one report the next is sent.
const PAUSE_MILLISECONDS: u64 = 10_000;

/// The pauses after failures.
const RETRY_MILLISECONDS: u64 = 1_000;
const RETRY_MILLISECONDS_MAX: u64 = 30_000;

/// How long an answer is waited for. Envoy ends a question sooner; should it ever forget one, or should
/// who asked be gone, it is sent again.
const ANSWER_MILLISECONDS: u64 = 15_000;

/// What one VM has counted and not yet reported.
#[derive(Debug)]
pub struct Usage {
    gate: String,
    vm: String,
    sequence: u64,
    /// By key id. A key has few: its streams, and two hours at an hour's end.
    slots: HashMap<String, Vec<Slot>>,
    slots_count: usize,
    left_out: u64,
    outbox: Option<Outbox>,
    /// How many reports were begun, adopted ones too.
    begun: u64,
    /// Reports of VMs that ended, in their order.
    adopted: VecDeque<Vec<u8>>,
    next_at: u64,
    reported_at: Option<u64>,
    failures: u32,
}

#[derive(Debug)]
struct Slot {
    stream: Option<String>,
    hour: u64,
    delta: Delta,
}

/// The report that control has to acknowledge before there is another.
#[derive(Debug)]
struct Outbox {
    body: Vec<u8>,
    sent_at: Option<u64>,
}

/// What came of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Control has it, now or already.
    Counted,
    /// Control will never take it.
    Refused,
    /// It did not arrive, or could not be counted now.
    Failed,
}

impl Heard {
    /// Reads the status of an answer; empty where there is none.
    #[must_use]
    pub const fn of(status: &[u8]) -> Self {
        match status {
            b"200" => Self::Counted,
            // An older control has no such path, and a token may be put right: both are tried again.
            b"400" | b"413" | b"422" => Self::Refused,
            _ => Self::Failed,
        }
    }

    /// The word for it: metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Usage {
    /// Nothing yet. `vm` tells this VM from all others.
    #[must_use]
    pub fn new(gate: &str, vm: u64) -> Self {
        Self {
            gate: gate.to_owned(),
            vm: format!("{vm:016x}"),
            sequence: 0,
            slots: HashMap::new(),
            slots_count: 0,
            left_out: 0,
            outbox: None,
            begun: 0,
            adopted: VecDeque::new(),
            next_at: 0,
            reported_at: None,
            failures: 0,
        }
    }

    /// Counts a decision, if it is about a key that the list has.
    pub fn note(&mut self, decision: &Decision<'_>, unix_seconds: u64, milliseconds: u64) {
        let Some(key) = decision.key_id else {
            return;
        };
        if decision.outcome == Outcome::Off {
            return;
        }
        if self.is_empty() && self.outbox.is_none() {
            let soon = milliseconds.saturating_add(FIRST_MILLISECONDS);
            let paused = self.reported_at.map_or(0, |at| at.saturating_add(PAUSE_MILLISECONDS));
            self.next_at = soon.max(paused);
        }
        let hour = unix_seconds.saturating_sub(unix_seconds.checked_rem(HOUR_SECONDS).unwrap_or(0));
        match self.slot(key, decision.stream, hour) {
            Some(delta) => delta.note(decision, unix_seconds),
            None => self.left_out = self.left_out.saturating_add(1).min(REPORT_COUNT_MAX),
        }
    }

    /// The report to send now, and its number among those of this VM and those that it adopted. It counts as sent.
    pub fn due(&mut self, milliseconds: u64) -> Option<(u64, &[u8])> {
        let waits = self.outbox.as_ref().and_then(|outbox| outbox.sent_at);
        let is_overdue =
            waits.is_none_or(|at| milliseconds.saturating_sub(at) >= ANSWER_MILLISECONDS);
        if milliseconds < self.next_at || !is_overdue {
            return None;
        }
        if self.outbox.is_none() {
            let body = self.adopted.pop_front().or_else(|| self.report())?;
            self.begun = self.begun.saturating_add(1);
            self.outbox = Some(Outbox { body, sent_at: None });
        }
        let outbox = self.outbox.as_mut()?;
        outbox.sent_at = Some(milliseconds);
        self.reported_at = Some(milliseconds);
        Some((self.begun, &outbox.body))
    }

    /// Takes what came of the report of this number.
    pub fn conclude(&mut self, number: u64, heard: Heard, milliseconds: u64) {
        if number != self.begun {
            return;
        }
        let Some(outbox) = &mut self.outbox else {
            return;
        };
        if heard == Heard::Failed {
            outbox.sent_at = None;
            self.failures = self.failures.saturating_add(1);
            let pause =
                backoff_milliseconds(RETRY_MILLISECONDS, self.failures, RETRY_MILLISECONDS_MAX);
            self.next_at = milliseconds.saturating_add(pause);
            return;
        }
        self.outbox = None;
        self.failures = 0;
        // What filled a report at once would fill the memory before the next is due.
        let is_pressed = self.slots_count >= REPORT_KEYS_MAX || !self.adopted.is_empty();
        let pause = if is_pressed { 0 } else { PAUSE_MILLISECONDS };
        self.next_at = self.reported_at.unwrap_or(milliseconds).saturating_add(pause);
    }

    /// Everything that control has not acknowledged, as the reports that this VM would have sent, in their order.
    /// Nothing is left here.
    pub fn leave(&mut self) -> Vec<Vec<u8>> {
        let mut reports: Vec<Vec<u8>> =
            self.outbox.take().map(|outbox| outbox.body).into_iter().collect();
        reports.extend(self.adopted.drain(..));
        reports.extend(core::iter::from_fn(|| self.report()));
        reports
    }

    /// Takes reports that other VMs left, to be sent from now on as they are: control has seen one of them perhaps,
    /// and knows it by its VM and its sequence.
    pub fn adopt(&mut self, reports: Vec<Vec<u8>>, milliseconds: u64) {
        if self.outbox.is_none() && !reports.is_empty() {
            self.next_at = milliseconds;
        }
        self.adopted.extend(reports);
    }

    fn is_empty(&self) -> bool {
        self.slots_count == 0 && self.left_out == 0
    }

    fn slot(&mut self, key: &str, stream: Option<&str>, hour: u64) -> Option<&mut Delta> {
        let has_room = self.slots_count < SLOTS_MAX;
        if !self.slots.contains_key(key) {
            if !has_room {
                return None;
            }
            self.slots.insert(key.to_owned(), Vec::new());
        }
        let slots = self.slots.get_mut(key)?;
        let is_it = |slot: &Slot| slot.hour == hour && slot.stream.as_deref() == stream;
        let at = match slots.iter().position(is_it) {
            Some(at) => at,
            None if has_room => {
                self.slots_count = self.slots_count.saturating_add(1);
                let stream = stream.map(str::to_owned);
                slots.push(Slot { stream, hour, delta: Delta::default() });
                slots.len().saturating_sub(1)
            }
            None => return None,
        };
        slots.get_mut(at).map(|slot| &mut slot.delta)
    }

    /// Takes as much as a report holds out of the slots.
    fn report(&mut self) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let mut taken = Vec::new();
        while taken.len() < REPORT_KEYS_MAX {
            let Some(key) = self.slots.keys().next().cloned() else {
                break;
            };
            let Entry::Occupied(mut slots) = self.slots.entry(key.clone()) else {
                break;
            };
            match slots.get_mut().pop() {
                Some(slot) => {
                    self.slots_count = self.slots_count.saturating_sub(1);
                    taken.push((key, slot));
                }
                None => drop(slots.remove()),
            }
        }
        let keys: Vec<KeyUsage<'_>> =
            taken.iter().filter_map(|(key, slot)| slot.usage(key)).collect();
        self.sequence = self.sequence.saturating_add(1);
        let report = UsageReport {
            gate: self.gate.as_str().into(),
            vm: self.vm.as_str().into(),
            sequence: self.sequence,
            keys,
            left_out: core::mem::take(&mut self.left_out),
        };
        serde_json::to_vec(&report).ok()
    }
}

#[cfg(test)]
mod tests;
