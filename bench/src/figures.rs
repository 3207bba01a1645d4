//! From slices to figures: medians with their range, and what the targets say of them.

use serde::Serialize;

use crate::measure::Visit;
use crate::variants::{
    BARE, GATE, GATE_BODY, GATE_GRANTS, GATE_LARGE, GATE_MANY, GATE_OFF, GATE_REFUSES, GRPC, SDK,
    SKIP_LARGE, Variant,
};

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Microseconds of CPU that the bare proxy took under the same load, the median of the whole run.
    pub(crate) bare: f64,
    /// What the row takes more of such microseconds: median, least and most of its visits' medians.
    pub(crate) extra: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// What a lone sender waits longer, in microseconds.
    pub(crate) p50_extra: f64,
    /// What of memory the row has more than the bare proxy, in KiB.
    pub(crate) resident_extra: i64,
    pub(crate) visits: Vec<Visit>,
}

impl Row {
    fn of(name: &'static str, bare: f64, visits: Vec<Visit>) -> Self {
        let each: Vec<f64> = visits.iter().map(|visit| bare * median(visit.shares())).collect();
        let all = visits.iter().flat_map(Visit::shares);
        let memory =
            |visit: &Visit| visit.own_resident.cast_signed() - visit.bare_resident.cast_signed();
        Self {
            name,
            bare,
            extra: bare * median(all),
            least: each.iter().copied().fold(f64::INFINITY, f64::min),
            most: each.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            p50_extra: median(visits.iter().map(|visit| visit.own_p50 - visit.bare_p50)),
            resident_extra: visits.iter().map(memory).max().unwrap_or_default(),
            visits,
        }
    }

    /// A request through the row's Envoy over one through the bare proxy.
    pub(crate) fn ratio(&self) -> f64 {
        (self.bare + self.extra) / self.bare
    }
}

/// The rows of a run. All that were sent the same speak of one bare proxy, so that their microseconds are of one size.
pub(crate) fn rows(variants: &[&'static Variant], visits: Vec<Vec<Visit>>) -> Vec<Row> {
    let bare = |of: &Variant| {
        let alike = variants.iter().zip(&visits).filter(|(other, _)| other.load() == of.load());
        median(alike.flat_map(|(_, visits)| visits.iter().flat_map(|visit| visit.bare.clone())))
    };
    let bare: Vec<f64> = variants.iter().map(|variant| bare(variant)).collect();
    let rows = variants.iter().zip(bare).zip(visits);
    rows.map(|((variant, bare), visits)| Row::of(variant.name, bare, visits)).collect()
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// What noise makes of a row that does nothing: the farthest that a visit of it came from zero.
pub(crate) fn noise(rows: &[Row]) -> Option<f64> {
    let bare = rows.iter().filter(|row| row.name.starts_with(BARE));
    bare.map(|row| row.least.abs().max(row.most.abs())).reduce(f64::max)
}

/// A promise about figures of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) at_most: f64,
}

impl Target {
    pub(crate) fn is_met(&self) -> bool {
        self.measured <= self.at_most
    }
}

/// Bytes of an entry of the list as it lies in shared data: digest, stamp, state, length, grant.
const ENTRY_BYTES: f64 = 32.0 + 12.0 + 1.0 + 2.0 + 75.0;

/// What can be said of the targets with the rows that were measured.
pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let extra = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.extra);
    let share = |one: &str, other: &str, at_most: f64| {
        let measured = extra(one)? / extra(other)?;
        Some(Target { what: format!("{one} / {other}"), measured, at_most })
    };
    let level = |one: &str, other: &str| {
        let (measured, at_most) = (extra(one)? - extra(other)?, noise(rows)?);
        Some(Target { what: format!("{one} - {other}, us, within the noise"), measured, at_most })
    };
    let memory = || {
        let resident =
            |name| rows.iter().find(|row| row.name == name).map(|row| row.resident_extra);
        #[expect(clippy::cast_precision_loss, reason = "kilobytes of a process")]
        let grown = (resident(GATE_MANY)? - resident(GATE)?) as f64 * 1_024.0;
        let measured = grown / (99_000.0 * ENTRY_BYTES);
        let what = "memory that 99 000 more keys take / their raw bytes".to_owned();
        Some(Target { what, measured, at_most: 2.0 })
    };
    let all = [
        share(GATE, GRPC, 0.25),
        share(GATE_GRANTS, GRPC, 0.25),
        share(GATE, SDK, 1.5),
        share(GATE_GRANTS, SDK, 1.5),
        share(GATE_BODY, SDK, 2.0),
        share(GATE_LARGE, SKIP_LARGE, 1.5),
        level(GATE_OFF, SDK),
        level(GATE_REFUSES, GATE),
        level(GATE_MANY, GATE),
        memory(),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::VARIANTS;

    fn row(name: &'static str, own: f64) -> Row {
        let visit = Visit {
            bare: vec![50.0, 50.0],
            own: vec![own],
            bare_p50: 100.0,
            own_p50: 100.0,
            bare_resident: 1,
            own_resident: 1,
        };
        Row::of(name, 50.0, vec![visit])
    }

    #[test]
    fn rows_of_one_load_are_told_in_microseconds_of_one_bare_proxy() {
        let visit = |bare, own| Visit {
            bare: vec![bare, bare],
            own: vec![own],
            bare_p50: 0.0,
            own_p50: 0.0,
            bare_resident: 0,
            own_resident: 0,
        };
        let variants: Vec<_> = [BARE, SDK, GRPC, SKIP_LARGE]
            .map(|name| VARIANTS.iter().find(|variant| variant.name == name).expect("a row"))
            .into();
        // The second was visited while the machine was half as fast.
        let visits = [(50.0, 50.0), (100.0, 120.0), (50.0, 100.0), (80.0, 160.0)];
        let rows = rows(&variants, visits.map(|(bare, own)| vec![visit(bare, own)]).into());
        let told: Vec<(f64, f64)> = rows.iter().map(|row| (row.bare, row.extra.round())).collect();
        assert_eq!(told, [(50.0, 0.0), (50.0, 10.0), (50.0, 50.0), (80.0, 80.0)]);
    }

    #[test]
    fn medians() {
        assert!(median([3.0, 1.0, 2.0].into_iter()).total_cmp(&2.0).is_eq());
        assert!(median([4.0, 1.0, 2.0, 3.0].into_iter()).total_cmp(&2.5).is_eq());
    }

    #[test]
    fn a_target_is_a_share_of_what_the_other_adds() {
        let rows = [row(BARE, 51.0), row(SDK, 56.0), row(GATE, 59.0), row(GRPC, 86.0)];
        let percent = |target: &Target| ((100.0 * target.measured).round(), target.is_met());
        let told: Vec<(f64, bool)> = targets(&rows).iter().map(percent).collect();
        assert_eq!(told, [(25.0, true), (150.0, true)]);
        assert!(noise(&rows).is_some_and(|noise| (noise - 1.0).abs() < 1e-9));
    }
}
