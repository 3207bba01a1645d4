//! Control's own counters, and its Prometheus page. Label values are routes, methods and enums, or what
//! administrators made: never a path, a query or a client's text.
//!
//! Written by hand: the text format is a page of rules, and all of it is used here.

mod page;
mod text;
mod transactions;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::page::router;
pub(crate) use self::transactions::Counted;
use crate::model::Seconds;

/// The upper bounds of the durations' buckets, in seconds. A long poll takes up to 25.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What became of a gateway's usage report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReportResult {
    /// Counted.
    Counted,
    /// Counted before, and not again.
    Repeated,
    /// Wrong, or of somebody who may not.
    Refused,
    /// The database failed; it comes again.
    Failed,
}

impl ReportResult {
    const ALL: [Self; 4] = [Self::Counted, Self::Repeated, Self::Refused, Self::Failed];

    const fn label(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What this process counted since it started. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<Counts>,
    open_polls: AtomicI64,
    /// Transactions of the database that were begun: those that read, and those that may write.
    reads: AtomicU64,
    writes: AtomicU64,
    certificate_end: Mutex<Option<Seconds>>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    /// By method, route and status.
    http: BTreeMap<(&'static str, String, u16), u64>,
    /// By method and route.
    durations: BTreeMap<(&'static str, String), Durations>,
    /// By method and code.
    grpc: BTreeMap<(&'static str, &'static str), u64>,
    reports: BTreeMap<ReportResult, u64>,
}

/// How long requests took.
#[derive(Clone, Debug, Default)]
struct Durations {
    /// Of each bucket alone; the last has no bound.
    buckets: [u64; BUCKETS.len() + 1],
    seconds: f64,
}

impl Durations {
    fn note(&mut self, seconds: f64) {
        let at = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket = bucket.saturating_add(1);
        }
        self.seconds += seconds;
    }
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // What is in it is right whatever its holder died of.
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was answered.
    pub(crate) fn http(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let mut counts = self.counts();
        let count = counts.http.entry((method, route.to_owned(), status)).or_default();
        *count = count.saturating_add(1);
        counts.durations.entry((method, route.to_owned())).or_default().note(took.as_secs_f64());
    }

    /// A call was answered.
    pub(crate) fn grpc(&self, method: &'static str, code: &'static str) {
        let mut counts = self.counts();
        let count = counts.grpc.entry((method, code)).or_default();
        *count = count.saturating_add(1);
    }

    /// A usage report was answered.
    pub(crate) fn report(&self, result: ReportResult) {
        let mut counts = self.counts();
        let count = counts.reports.entry(result).or_default();
        *count = count.saturating_add(1);
    }

    /// The certificate that is in use ends then, as far as is known.
    pub(crate) fn certificate(&self, end: Option<Seconds>) {
        *self.certificate_end() = end;
    }

    fn certificate_end(&self) -> MutexGuard<'_, Option<Seconds>> {
        self.0.certificate_end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question is held open until what is returned is dropped.
    pub(crate) fn open_poll(&self) -> OpenPoll {
        self.0.open_polls.fetch_add(1, Ordering::Relaxed);
        OpenPoll(self.clone())
    }
}

/// A question that is held open.
pub(crate) struct OpenPoll(Metrics);

impl Drop for OpenPoll {
    fn drop(&mut self) {
        self.0.0.open_polls.fetch_sub(1, Ordering::Relaxed);
    }
}
