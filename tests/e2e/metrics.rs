//! What the gate tells on Envoy's Prometheus page and on its status page: which series there are, that
//! they are exact, and that nobody can make more of them.

mod bounded;
mod exact;
mod gates;
mod listener;
mod logged;
mod reloads;
mod told;
mod unknown;

use std::time::Duration;

use mpgate_testbed::{Request, Stack, poll};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// Events of these names and seconds of age, in one request.
fn events(stream: &str, secret: &str, events: &[(&str, Option<u64>)]) -> Request {
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let event = |(name, age): &(&str, Option<u64>)| {
        let time = age.map(|age| (now - age) * 1_000_000);
        json!({"name": name, "timestamp_micros": time, "params": {}})
    };
    let events: Vec<Value> = events.iter().map(event).collect();
    let path = format!("/mp/collect?measurement_id={stream}&api_secret={secret}");
    Request::post(path).json(&json!({"client_id": "1.2", "events": events}))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
fn sum(stack: &Stack, name: &str, labels: &[(&str, &str)]) -> u64 {
    stack.envoy.metrics().expect("metrics").sum(name, labels) as u64
}

/// Waits for a sum, as histograms show after a few seconds only.
fn wait_for_sum(stack: &Stack, name: &str, labels: &[(&str, &str)], wanted: u64) {
    let mut last = 0;
    let is_there = || {
        last = sum(stack, name, labels);
        (last == wanted).then_some(())
    };
    let shown = poll::until("a sum", SOON, is_there);
    assert!(shown.is_ok(), "{name}{labels:?} is {last} and not {wanted}");
}
