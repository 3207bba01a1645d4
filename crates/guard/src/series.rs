//! The series of a gate on Envoy's Prometheus page: one table, which the filter counts by and
//! `docs/metrics.md` is compared with.
//!
//! Envoy gives a module names only. A name carries its labels behind semicolons, and the `stats_tags` of
//! the shipped configurations make real labels of them.

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows.
    Counter,
    /// Is set.
    Gauge,
    /// Counts values in buckets.
    Histogram,
}

/// All series of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// The name that Prometheus sees.
    pub name: &'static str,
    /// What kind of metric.
    pub kind: Kind,
    /// The labels, in order. The first is always `gate`: two gates of one Envoy are two gates.
    pub labels: &'static [&'static str],
}

macro_rules! series {
    ($($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal [$($label:literal),*];)*) => {
        $($(#[$doc])* pub const $constant: Series =
            Series { name: $name, kind: Kind::$kind, labels: &["gate", $($label),*] };)*

        /// All of them, in the order of the documentation.
        pub const ALL: &[Series] = &[$($constant),*];
    };
}

series! {
    /// Requests that were decided.
    REQUESTS = Counter "mpgate_requests_total" ["sender", "stream", "outcome", "reason"];
    /// Events of bodies that were read.
    EVENTS = Counter "mpgate_events_total" ["sender", "event", "outcome"];
    /// From an accepted event to the gate.
    EVENT_DELAY = Histogram "mpgate_event_delay_seconds" ["sender"];
    /// Bytes of bodies.
    REQUEST_BODY_BYTES = Counter "mpgate_request_body_bytes_total" ["sender"];
    /// The revision that is in force.
    ALLOWLIST_REVISION = Gauge "mpgate_allowlist_revision" [];
    /// Keys in force.
    ALLOWLIST_ENTRIES = Gauge "mpgate_allowlist_entries" [];
    /// Streams in force.
    ALLOWLIST_STREAMS = Gauge "mpgate_allowlist_streams" [];
    /// How often the list was changed in this Envoy: workers see by it that what they remember may be old.
    ALLOWLIST_CHANGES = Gauge "mpgate_allowlist_changes" [];
    /// When control last answered with something that was taken.
    ALLOWLIST_LAST_SYNC = Gauge "mpgate_allowlist_last_sync_timestamp_seconds" [];
    /// Whether the list is older than `max_staleness_seconds`.
    ALLOWLIST_STALE = Gauge "mpgate_allowlist_stale" [];
    /// Questions to control, by what came of them.
    SYNC = Counter "mpgate_sync_total" ["result"];
    /// Usage reports to control, by what came of them.
    REPORTS = Counter "mpgate_reports_total" ["result"];
}

impl Series {
    /// Envoy's name for the series with these values, in the order of [`Self::labels`].
    #[must_use]
    pub fn with(&self, values: &[&str]) -> String {
        let mut name = self.name.to_owned();
        for (label, value) in self.labels.iter().zip(values) {
            for part in [";", label, "=", value] {
                name.push_str(part);
            }
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_prometheuss_and_unique() {
        let mut seen = std::collections::HashSet::new();
        for series in ALL {
            assert!(seen.insert(series.name), "{} twice", series.name);
            assert_eq!(series.labels.first(), Some(&"gate"), "{}", series.name);
            let is_total = series.name.ends_with("_total");
            assert_eq!(is_total, series.kind == Kind::Counter, "{}", series.name);
        }
    }

    #[test]
    fn labels_stand_behind_semicolons() {
        assert_eq!(ALLOWLIST_STALE.with(&["edge"]), "mpgate_allowlist_stale;gate=edge");
        assert_eq!(
            EVENTS.with(&["edge", "billing", "shop_*", "accepted"]),
            "mpgate_events_total;gate=edge;sender=billing;event=shop_*;outcome=accepted"
        );
    }
}
