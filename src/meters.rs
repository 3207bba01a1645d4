//! Metrics. Label values come from the allowlist and from fixed enums only, and are bounded for as long
//! as Envoy runs: it never frees a series. Which names have series of their own, `guard::Labels` says.
//!
//! To define a metric costs an id each time, so every id is kept, by its labels: what was counted once is
//! counted again without a name being built. See `docs/metrics.md`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use mpgate_contract::UNKNOWN;
use mpgate_guard::series::{self, Kind, Series};
use mpgate_guard::{
    Decision, EVENT_LABELS_MAX, Heard, Labels, Outcome, Reason, STREAM_LABELS_MAX, Seen, Settings,
    SyncState,
};

use crate::host::{self, EnvoySharedData};

pub(crate) struct Meters {
    gate: String,
    senders: Labels<EnvoySharedData>,
    streams: Labels<EnvoySharedData>,
    events: Labels<EnvoySharedData>,
    by_sender: RefCell<HashMap<String, OfSender>>,
    /// By full name: what is not counted at every request.
    others: RefCell<HashMap<String, u32>>,
}

/// The metrics of one sender.
#[derive(Default)]
struct OfSender {
    requests: HashMap<String, Ids<(Outcome, Option<Reason>)>>,
    events: HashMap<String, Ids<Outcome>>,
    delay: Option<u32>,
    body_bytes: Option<u32>,
}

/// A few ids, looked through.
type Ids<T> = Vec<(T, u32)>;

impl Meters {
    pub(crate) fn new(settings: &Settings) -> Self {
        let labels =
            |kind, most| Labels::new(EnvoySharedData::default(), &settings.gate, kind, most);
        Self {
            gate: settings.gate.clone(),
            senders: labels("senders", settings.senders_max),
            streams: labels("streams", STREAM_LABELS_MAX),
            events: labels("events", EVENT_LABELS_MAX),
            by_sender: RefCell::default(),
            others: RefCell::default(),
        }
    }

    /// Counts a request and its events.
    pub(crate) fn count(&self, decision: &Decision<'_>) {
        self.of_sender(decision.sender, |of_sender, sender| {
            self.count_request(of_sender, sender, decision);
            self.count_events(of_sender, sender, decision);
        });
    }

    fn count_request(&self, of_sender: &mut OfSender, sender: &str, decision: &Decision<'_>) {
        let (outcome, reason) = (decision.outcome, decision.reason);
        let stream = decision.stream;
        let label = || stream.map_or(UNKNOWN, |stream| self.streams.label(stream));
        let stream = stream.unwrap_or(UNKNOWN);
        entry(&mut of_sender.requests, stream, label, |ids, stream| {
            let name = || {
                let reason = reason.map_or("none", Reason::label);
                series::REQUESTS.with(&[&self.gate, sender, stream, outcome.label(), reason])
            };
            add(id_of(ids, (outcome, reason), name), 1);
        });
    }

    fn count_events(&self, of_sender: &mut OfSender, sender: &str, decision: &Decision<'_>) {
        let outcome = decision.outcome;
        // A body has room for 43 000 events, and to count each by itself takes longer than to read it.
        for alike in decision.events.chunk_by(|one, other| one.name == other.name) {
            let Some(Seen { name, .. }) = alike.first() else {
                continue;
            };
            // What is not a grant's own is one of a fixed list.
            let label = || match name {
                Cow::Borrowed(name) => *name,
                Cow::Owned(name) => self.events.label(name),
            };
            entry(&mut of_sender.events, name, label, |ids, event| {
                let name = || series::EVENTS.with(&[&self.gate, sender, event, outcome.label()]);
                add(id_of(ids, outcome, name), alike.len());
            });
        }
        if outcome != Outcome::Accepted {
            return;
        }
        for delay in decision.events.iter().filter_map(|seen| seen.delay_seconds) {
            let series = &series::EVENT_DELAY;
            let id = of_sender.delay.or_else(|| define(series, &[&self.gate, sender]));
            of_sender.delay = id;
            if let Some(id) = id {
                host::record(id, delay);
            }
        }
    }

    /// What the bytes of a sender's bodies are counted in, with [`add`].
    pub(crate) fn body_bytes(&self, sender: Option<&str>) -> Option<u32> {
        self.of_sender(sender, |of_sender, sender| {
            let series = &series::REQUEST_BODY_BYTES;
            let id = of_sender.body_bytes.or_else(|| define(series, &[&self.gate, sender]));
            of_sender.body_bytes = id;
            id
        })
    }

    pub(crate) fn count_sync(&self, result: &str) {
        add(self.other(&series::SYNC, &[&self.gate, result]), 1);
    }

    pub(crate) fn count_report(&self, heard: Heard) {
        add(self.other(&series::REPORTS, &[&self.gate, heard.label()]), 1);
    }

    pub(crate) fn show_list(&self, state: &SyncState) {
        self.show(&series::ALLOWLIST_REVISION, state.since);
        self.show(&series::ALLOWLIST_ENTRIES, state.keys);
        self.show(&series::ALLOWLIST_STREAMS, state.streams);
        self.show(&series::ALLOWLIST_LAST_SYNC, state.synced_at);
    }

    pub(crate) fn show_stale(&self, is_stale: bool) {
        self.show(&series::ALLOWLIST_STALE, u64::from(is_stale));
    }

    fn show(&self, series: &Series, value: u64) {
        if let Some(id) = self.other(series, &[&self.gate]) {
            host::record(id, value);
        }
    }

    fn of_sender<T>(&self, sender: Option<&str>, act: impl FnOnce(&mut OfSender, &str) -> T) -> T {
        let label = || sender.map_or(UNKNOWN, |sender| self.senders.label(sender));
        entry(&mut self.by_sender.borrow_mut(), sender.unwrap_or(UNKNOWN), label, act)
    }

    fn other(&self, series: &Series, values: &[&str]) -> Option<u32> {
        let name = series.with(values);
        let known = self.others.borrow().get(&name).copied();
        known.or_else(|| {
            let id = host::define_metric(series.kind, &name)?;
            self.others.borrow_mut().insert(name, id);
            Some(id)
        })
    }
}

/// Adds to a counter, if there is one: Envoy refuses a name only when something is very wrong, and that
/// is told in its log.
pub(crate) fn add(id: Option<u32>, count: usize) {
    // Envoy takes an increment by nothing for a mistake.
    if let (Some(id), 1..) = (id, count) {
        host::increment(id, i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Acts on what is kept under this name, or else under its label. A name that is its own label is found
/// with one look.
fn entry<'n, V: Default, T>(
    all: &mut HashMap<String, V>,
    name: &'n str,
    label: impl FnOnce() -> &'n str,
    act: impl FnOnce(&mut V, &str) -> T,
) -> T {
    if let Some(known) = all.get_mut(name) {
        return act(known, name);
    }
    let label = label();
    act(all.entry(label.to_owned()).or_default(), label)
}

fn id_of<T: PartialEq>(ids: &mut Ids<T>, wanted: T, name: impl FnOnce() -> String) -> Option<u32> {
    let known = ids.iter().find(|(known, _)| *known == wanted).map(|(_, id)| *id);
    known.or_else(|| {
        let id = host::define_metric(Kind::Counter, &name())?;
        ids.push((wanted, id));
        Some(id)
    })
}

fn define(series: &Series, values: &[&str]) -> Option<u32> {
    host::define_metric(series.kind, &series.with(values))
}
