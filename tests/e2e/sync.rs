//! The gate's list follows control: revocations arrive everywhere at once, and nothing that goes wrong
//! between the two takes a good list away or brings a revoked key back.

mod epochs;
mod garbage;
mod http2;
mod inline;
mod outage;
mod pollers;
mod pushed;
mod receipts;
mod relay;
mod revocation;
mod status;
mod token;
mod two_gates;
mod usage;

use std::time::Duration;

use mpgate_testbed::stack::{Stack, purchase};
use mpgate_testbed::{Envoy, poll};

/// For what the gate does by itself; a refused token makes it pause for five seconds.
const SOON: Duration = Duration::from_secs(20);

/// What the gate answers to an event with this secret: the status and the reason.
fn answer(stack: &Stack, stream: &str, secret: &str) -> (u16, String) {
    let answer = stack.send(&purchase(stream, secret)).expect("an answer");
    (answer.status, answer.reason())
}

/// Waits until the gate answers so.
fn wait_for_answer(stack: &Stack, stream: &str, secret: &str, status: u16, reason: &str) {
    let mut last = (0, String::new());
    let waited = poll::until("an answer", SOON, || {
        last = answer(stack, stream, secret);
        (last == (status, reason.to_owned())).then_some(())
    });
    assert!(waited.is_ok(), "{status} {reason} did not come; the last was {last:?}");
}

/// How often the gate asked with this result.
fn results(envoy: &Envoy, result: &str) -> f64 {
    envoy.metrics().expect("metrics").sum("mpgate_sync_total", &[("result", result)])
}
