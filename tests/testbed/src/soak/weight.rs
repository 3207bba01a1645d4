//! What a list costs: the memory of an Envoy that holds it, and the time that requests lose while it
//! is loaded.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::feed::{Feed, Key};
use super::load::{Load, Tally};
use super::pace::pause;
use super::scene::RECOVERY;
use super::wire::Wire;
use crate::stack::{Builder, CLUB, SHOP, Stack, purchase};
use crate::{Envoy, poll};

/// Connections of genuine senders, and their requests a second: below what the shipped configurations
/// let one sender send.
const LINES: usize = 24;
const RATE: u32 = 800;

/// Requests flow for so long before anything is measured, so that every worker has its buffers.
const WARM: Duration = Duration::from_secs(3);

/// What we promise of a first load: no worker is blocked for longer.
const BLOCKED_MICROS: f64 = 5_000.0;

/// What an Envoy weighs.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// Its workers.
    pub workers: u32,
    /// The keys of its list; nothing for an Envoy without the gate.
    pub keys: Option<usize>,
    /// Resident memory in KiB, after requests have flowed.
    pub resident_kib: u64,
    /// What of it Envoy's heap has given out, in KiB. The modules' own memory is not in it.
    pub allocated_kib: u64,
}

/// What requests felt of a list that was loaded.
#[derive(Clone, Debug)]
pub struct FirstLoad {
    /// Envoy's workers.
    pub workers: u32,
    /// The keys of the list.
    pub keys: usize,
    /// Entries in a page.
    pub page_entries: u64,
    /// Whether every worker took every page, which is the most that can be asked of one.
    pub everywhere: bool,
    /// From the first question until all of it was in force.
    pub took: Duration,
    /// Requests that flowed before.
    pub before: Tally,
    /// Requests that flowed meanwhile.
    pub meanwhile: Tally,
    /// The workers' event loops before.
    pub turns_before: Turns,
    /// The workers' event loops meanwhile.
    pub turns_meanwhile: Turns,
}

/// How long the event loops of Envoy's workers took for their turns. What blocks a worker is in one of
/// them; so are all requests that came at once, and the time in which the machine ran something else.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// All turns.
    pub all: u64,
    /// Those over 5 ms.
    pub over: u64,
    /// The longest took at most so long: the end of Envoy's bucket.
    pub longest: Duration,
}

/// Weighs an Envoy with so many keys, or without the gate.
///
/// # Errors
/// Something does not start, or the list does not come.
pub fn weigh(workers: u32, keys: Option<usize>) -> Result<Weight> {
    let (feed, wire) = (Feed::start()?, Wire::new()?);
    let is_gated = keys.is_some();
    let builder = builder(workers, &wire).edit(move |config| {
        if is_gated {
            return Ok(());
        }
        // The status page is a module too.
        let listeners = "/static_resources/listeners";
        let all = config.document().pointer_mut(listeners).and_then(Value::as_array_mut);
        all.context("no listeners")?.truncate(1);
        config.remove_http_filter("mpgate")?;
        config.remove_http_filter("envoy.filters.http.rbac")
    });
    let mut stack = builder.start()?;
    if let Some(keys) = keys {
        let head = feed.replace("weighed", &list(&stack, keys));
        wire.lead_to(feed.address());
        stack.envoy.wait_for_revision(head)?;
        // The first and the last.
        for secret in ["other-0", &stack.billing.secret] {
            poll::until_ok("a genuine event to pass", RECOVERY, || {
                let answer = stack.envoy.send(&purchase(SHOP, secret))?;
                Ok((answer.status == 204).then_some(()))
            })?;
        }
    }
    let tally = flow(&stack, WARM);
    ensure!(tally.sent == tally.accepted, "{:?}", tally.told);
    let id = stack.envoy.process().id();
    let resident_kib = resident(id)?;
    // Told every five seconds.
    pause(Duration::from_secs(5));
    let allocated_kib = stack.envoy.stat("server.memory_allocated")? / 1_024;
    Ok(Weight { workers, keys, resident_kib, allocated_kib })
}

/// Lets an Envoy load so many keys while requests flow. It has a list already, so that they pass.
///
/// # Errors
/// Something does not start, or the list does not come.
pub fn first_load(
    workers: u32,
    keys: usize,
    everywhere: bool,
    page_entries: Option<u32>,
) -> Result<FirstLoad> {
    let (feed, wire) = (Feed::start()?, Wire::new()?);
    let builder = builder(workers, &wire).edit(move |config| {
        config.set("/enable_dispatcher_stats", true)?;
        config.set("/stats_flush_interval", "1s")?;
        if let Some(entries) = page_entries {
            config.gate()?["control"]["page_entries"] = entries.into();
        }
        if everywhere {
            config.gate()?["control"]["pollers"] = "all".into();
        }
        Ok(())
    });
    let stack = builder.start()?;
    wire.lead_to(stack.control.address());
    stack.envoy.wait_for_revision(stack.crm.revision)?;
    let head = feed.replace("loaded", &list(&stack, keys));
    flow(&stack, WARM);

    let start = turns(&stack.envoy)?;
    let before = flow(&stack, WARM);
    let middle = turns(&stack.envoy)?;
    let load = Load::start(stack.envoy.address(), &senders(&stack), LINES, RATE);
    let began = Instant::now();
    wire.lead_to(feed.address());
    let loaded = stack.envoy.wait_for_revision(head);
    let took = began.elapsed();
    let meanwhile = load.finish();
    loaded?;
    let end = turns(&stack.envoy)?;
    let page_entries = feed.largest_page();
    let turns_before = Turns::between(&start, &middle);
    let turns_meanwhile = Turns::between(&middle, &end);
    Ok(FirstLoad {
        workers,
        keys,
        page_entries,
        everywhere,
        took,
        before,
        meanwhile,
        turns_before,
        turns_meanwhile,
    })
}

fn builder(workers: u32, wire: &Wire) -> Builder {
    Stack::builder().concurrency(workers).control(wire.address()).without_list()
}

/// The genuine senders' keys come last: whoever is served has all of the list.
fn list(stack: &Stack, keys: usize) -> Vec<Key> {
    let others = keys.saturating_sub(2);
    let mut all: Vec<Key> =
        (0..others).map(|number| Key::new(SHOP, &format!("other-{number}"))).collect();
    all.push(Key::new(SHOP, &stack.billing.secret));
    all.push(Key::new(CLUB, &stack.crm.secret));
    all
}

fn senders(stack: &Stack) -> [(String, String); 2] {
    [(SHOP.to_owned(), stack.billing.secret.clone()), (CLUB.to_owned(), stack.crm.secret.clone())]
}

fn flow(stack: &Stack, time: Duration) -> Tally {
    let load = Load::start(stack.envoy.address(), &senders(stack), LINES, RATE);
    pause(time);
    load.finish()
}

fn resident(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).context("no VmRSS")?;
    Ok(kilobytes.trim().parse()?)
}

/// Turns of all workers' event loops so far, by their length: `(at most so many microseconds, turns)`.
/// Envoy tells once a second.
fn turns(envoy: &Envoy) -> Result<Vec<(f64, f64)>> {
    pause(Duration::from_millis(2_100));
    let metrics = envoy.metrics()?;
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for bucket in metrics.named("envoy_listener_manager_worker_dispatcher_loop_duration_us_bucket")
    {
        let Ok(most) = bucket.labels.get("le").map_or("", String::as_str).parse::<f64>() else {
            continue;
        };
        match sums.iter_mut().find(|(known, _)| known.total_cmp(&most).is_eq()) {
            Some((_, sum)) => *sum += bucket.value,
            None => sums.push((most, bucket.value)),
        }
    }
    ensure!(!sums.is_empty(), "Envoy tells nothing of its event loops");
    sums.sort_by(|one, other| one.0.total_cmp(&other.0));
    Ok(sums)
}

impl Turns {
    fn between(from: &[(f64, f64)], to: &[(f64, f64)]) -> Self {
        let counts: Vec<(f64, u64)> = from
            .iter()
            .zip(to)
            .map(|((most, before), (_, after))| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "counts"
                )]
                (*most, (after - before).max(0.0) as u64)
            })
            .collect();
        let all = counts.last().map_or(0, |(_, all)| *all);
        let short = counts.iter().rfind(|(most, _)| *most <= BLOCKED_MICROS);
        let longest = counts.iter().find(|(_, count)| *count == all).map_or(0.0, |(most, _)| *most);
        let longest = Duration::from_secs_f64(longest.min(3.6e9) / 1e6);
        Self { all, over: all - short.map_or(0, |(_, count)| *count), longest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_between_two_moments() {
        let before = [(2_500.0, 10.0), (5_000.0, 10.0), (10_000.0, 11.0), (f64::INFINITY, 11.0)];
        let after = [(2_500.0, 20.0), (5_000.0, 25.0), (10_000.0, 28.0), (f64::INFINITY, 28.0)];
        let turns = Turns::between(&before, &after);
        assert_eq!((turns.all, turns.over), (17, 2));
        assert_eq!(turns.longest, Duration::from_millis(10));
    }
}
