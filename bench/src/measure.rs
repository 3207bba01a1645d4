//! One visit of one row: a bare Envoy and the row's own are started, warmed up, and then take turns. What the row
//! costs is its slice as a share of the mean of the bare slices before and after.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::envoy::{Envoy, Run};
use crate::events;
use crate::load::{Event, flow, latencies};
use crate::surroundings::Surroundings;
use crate::variants::{Filter, Sent, Variant};

/// An Envoy is warm when two slices in a row agree within this share: V8 has then compiled what is hot.
const AGREE: f64 = 0.05;
const WARM_UPS_MAX: usize = 12;

/// How long and how often.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Plan {
    /// Fresh processes for each row.
    pub(crate) generations: usize,
    /// Slices of a row in one pair of processes.
    pub(crate) rounds: usize,
    /// The length of a slice.
    pub(crate) slice: Duration,
    /// Slices of load before the first that counts; at least two.
    pub(crate) warm_up: Duration,
    /// Senders that send at the same time.
    pub(crate) senders: usize,
    /// Events of the lone sender.
    pub(crate) latencies: usize,
}

/// What one pair of processes showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Visit {
    /// CPU time of a request through the bare proxy, in microseconds, slice by slice.
    pub(crate) bare: Vec<f64>,
    /// The same through the row's Envoy; each lies between two of the bare ones.
    pub(crate) own: Vec<f64>,
    /// The median time of one event of a lone sender, in microseconds, bare and own.
    pub(crate) bare_p50: f64,
    pub(crate) own_p50: f64,
    /// Resident memory after the load, in KiB, bare and own.
    pub(crate) bare_resident: u64,
    pub(crate) own_resident: u64,
}

impl Visit {
    /// What each slice costs more than its bare neighbours, as a share of them: a machine that is half as fast for
    /// a while makes both dearer, and the difference, but not the share.
    pub(crate) fn shares(&self) -> impl Iterator<Item = f64> + '_ {
        let neighbours = self.bare.windows(2).map(|pair| pair.iter().sum::<f64>() / 2.0);
        self.own.iter().zip(neighbours).map(|(own, bare)| own / bare - 1.0)
    }
}

pub(crate) async fn visit(variant: &Variant, plan: &Plan, around: &Surroundings) -> Result<Visit> {
    let bare = Envoy::start(Filter::Nothing, variant.workers, around, Run::Plain)?;
    let own = Envoy::of(variant, around)?;
    let event = events::of(variant.sent);
    // The bare proxy has nobody who would refuse.
    let bare_event = Event { status: 204, ..event.clone() };
    let slice = |envoy, event, time| slice(envoy, variant, event, plan.senders, time);
    for (envoy, event) in [(&bare, &bare_event), (&own, &event)] {
        let mut last = slice(envoy, event, plan.warm_up).await.with_context(|| envoy.log())?;
        for _ in 0..WARM_UPS_MAX {
            let next = slice(envoy, event, plan.warm_up).await?;
            if (next - last).abs() <= last * AGREE {
                break;
            }
            last = next;
        }
    }

    let mut visit = Visit {
        bare: vec![slice(&bare, &bare_event, plan.slice).await?],
        own: Vec::with_capacity(plan.rounds),
        bare_p50: 0.0,
        own_p50: 0.0,
        bare_resident: 0,
        own_resident: 0,
    };
    for _ in 0..plan.rounds {
        visit.own.push(slice(&own, &event, plan.slice).await?);
        visit.bare.push(slice(&bare, &bare_event, plan.slice).await?);
    }
    let count = if variant.sent == Sent::Large { plan.latencies / 5 } else { plan.latencies };
    visit.bare_p50 =
        median_micros(latencies(bare.address, variant.protocol, &bare_event, count).await?);
    visit.own_p50 = median_micros(latencies(own.address, variant.protocol, &event, count).await?);
    visit.bare_resident = bare.resident_kib()?;
    visit.own_resident = own.resident_kib()?;
    Ok(visit)
}

/// CPU time of one request, in microseconds.
async fn slice(
    envoy: &Envoy,
    variant: &Variant,
    event: &Event,
    senders: usize,
    time: Duration,
) -> Result<f64> {
    let before = envoy.cpu_time()?;
    let answered = flow(envoy.address, variant.protocol, senders, event, time).await?;
    let used = envoy.cpu_time()?.saturating_sub(before);
    ensure!(answered > 0, "nothing was answered in {time:?}");
    #[expect(clippy::cast_precision_loss, reason = "some thousand answers")]
    Ok(used.as_secs_f64() * 1e6 / answered as f64)
}

fn median_micros(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_held_against_its_neighbours() {
        let visit = Visit {
            bare: vec![48.0, 52.0, 108.0],
            own: vec![75.0, 120.0],
            bare_p50: 0.0,
            own_p50: 0.0,
            bare_resident: 0,
            own_resident: 0,
        };
        assert_eq!(visit.shares().collect::<Vec<_>>(), [0.5, 0.5]);
    }
}
