//! A real run, and what it answers to the panels' queries.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mpgate_testbed::dashboards::Query;
use mpgate_testbed::prometheus::tools;
use mpgate_testbed::watched::Watched;
use mpgate_testbed::{Prometheus, poll};
use serde_json::Value;
use tempfile::TempDir;

/// How long senders send.
const LENGTH: Duration = Duration::from_mins(4);

/// From one point of a line to the next.
const STEP_SECONDS: u64 = 4;

/// What Grafana would put in the place of its variables.
const VALUES: [(&str, &str); 3] =
    [("__rate_interval", "15s"), ("gate", ".*"), ("sender", "billing|crm|nightly")];

/// A run that is over; its Prometheus still answers.
pub(super) struct Record {
    watched: Watched,
    /// Seconds since 1970.
    pub(super) from: u64,
    pub(super) to: u64,
    _directory: TempDir,
}

/// A series with its name in the legend.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    /// Seconds since 1970, and the value there.
    pub(super) points: Vec<(u64, f64)>,
}

/// Lets senders send for some minutes, now more, now less.
pub(super) fn run() -> Result<Record> {
    let tools = tools(&mut |step| println!("  {step}"))?;
    let directory = mpgate_testbed::directory()?;
    let watched = Watched::start(&tools, directory.path())?;
    println!("  senders send for {} minutes", LENGTH.as_secs() / 60);
    let (started, from) = (Instant::now(), now());
    let mut round = 0;
    poll::until_ok("the end of the run", 2 * LENGTH, || {
        let elapsed = started.elapsed().as_secs_f64();
        // Six rounds a second on the whole, in waves of a minute and a half.
        let due = 6.0 * elapsed - 40.0 * (elapsed / 15.0).sin();
        if round_number(round) < due {
            watched.send(round)?;
            round += 1;
        }
        Ok((started.elapsed() > LENGTH).then_some(()))
    })?;
    Ok(Record { watched, from, to: now(), _directory: directory })
}

impl Record {
    /// What a query answers: over the time of the run, or at its end.
    pub(super) fn lines(&self, query: &Query, is_over_time: bool) -> Result<Vec<Line>> {
        let (prometheus, expression) = (&self.watched.prometheus, query.with(&VALUES));
        let answer = self.answer(prometheus, &expression, is_over_time)?;
        answer.as_array().context("a list")?.iter().map(|series| line(query, series)).collect()
    }

    fn answer(&self, prometheus: &Prometheus, query: &str, is_over_time: bool) -> Result<Value> {
        if is_over_time {
            prometheus.query_range(query, self.from, self.to, STEP_SECONDS)
        } else {
            prometheus.query(query)
        }
    }
}

fn line(query: &Query, series: &Value) -> Result<Line> {
    let labels: BTreeMap<String, String> = serde_json::from_value(series["metric"].clone())?;
    let values = match series["values"].as_array() {
        Some(values) => values.clone(),
        None => vec![series["value"].clone()],
    };
    let point = |value: &Value| {
        let (time, number) = (value[0].as_f64()?, value[1].as_str()?.parse().ok()?);
        Some((seconds(time), number))
    };
    let points =
        values.iter().map(|value| point(value).context("a point")).collect::<Result<_>>()?;
    Ok(Line { name: query.named(&labels), labels, points })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time after 1970")]
fn seconds(time: f64) -> u64 {
    time as u64
}

#[expect(clippy::cast_precision_loss, reason = "a run has some thousand rounds")]
fn round_number(round: u64) -> f64 {
    round as f64
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}
