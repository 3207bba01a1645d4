//! What the gate counts reaches control, once and exactly, whatever happens on the way; and control says
//! what it means for each key.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use mpgate_testbed::discovery::Discovered;
use mpgate_testbed::stack::{CONSUMER, SHOP, Stack, purchase};
use mpgate_testbed::upstream::Received;
use mpgate_testbed::{
    Answer, EnvoyConfig, Request, Response, Upstream, artifacts, envoy, http1, poll,
};
use serde_json::Value;

use super::relay::pass;
use super::{SOON, answer, wait_for_answer};

/// Runs a verb of the command line, with JSON out.
fn mpgate(stack: &Stack, arguments: &[&str]) -> Value {
    let mut command = Command::new(artifacts::control().expect("mpgate"));
    command.env_clear().args(arguments).args(["--consumer", CONSUMER, "--output", "json", "--url"]);
    command.arg(format!("http://{}", stack.control.address()));
    let ran = command.arg("--token-file").arg(stack.control.admin_token_file()).output();
    let ran = ran.expect("it runs");
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

/// What control has of a sender, all keys together.
fn used(stack: &Stack, sender: &str) -> Value {
    let arguments = ["usage", "--sender", sender, "--by", "sender"];
    mpgate(stack, &arguments)["usage"][0].clone()
}

fn wait_for_use(stack: &Stack, sender: &str, member: &str, count: i64) -> Value {
    let mut last = Value::Null;
    let waited = poll::until("control to know", SOON, || {
        last = used(stack, sender);
        let found = last[member].as_i64().unwrap_or(0);
        assert!(found <= count, "more than there were: {last}");
        (found == count).then_some(())
    });
    assert!(waited.is_ok(), "{member} {count} did not come: {last}");
    last
}

fn advice(stack: &Stack, key: &str) -> String {
    let keys = mpgate(stack, &["keys", "list", "--show-deleted"]);
    let keys = keys["apiKeys"].as_array().expect("keys");
    let key = keys.iter().find(|it| it["name"] == key).expect("the key");
    key["advice"].to_string()
}

fn send(stack: &Stack, secret: &str, times: usize, expected: (u16, &str)) {
    for _ in 0..times {
        let got = answer(stack, SHOP, secret);
        assert_eq!((got.0, &*got.1), expected);
    }
}

#[test]
fn control_knows_which_keys_are_used_and_which_are_still_tried() {
    let mut stack = Stack::builder().concurrency(4).start().expect("a stack");
    let (billing, crm) = (stack.billing.name.clone(), stack.crm.name.clone());
    let secret = stack.billing.secret.clone();
    assert!(advice(&stack, &billing).contains("NEVER_USED"));
    // Each request has a connection of its own, so that all workers count.
    send(&stack, &secret, 40, (204, ""));
    let row = wait_for_use(&stack, "billing", "accepted", 40);
    assert_eq!(row["eventsByName"]["purchase"], 40, "{row}");
    assert_eq!(row["valueMicros"]["purchase"]["EUR"], 40 * 42_500_000_i64, "{row}");
    assert!(!advice(&stack, &billing).contains("NEVER_USED"));
    assert!(advice(&stack, &crm).contains("NEVER_USED"));

    // Control is away for a while: what was counted meanwhile arrives, once.
    stack.control.kill();
    send(&stack, &secret, 30, (204, ""));
    let log = poll::until("reports to fail", SOON, || {
        let log = stack.envoy.log();
        log.contains("control did not take the report").then_some(log)
    });
    assert!(log.is_ok(), "nobody missed control");
    send(&stack, &secret, 10, (204, ""));
    stack.control.restart().expect("control is back");
    wait_for_use(&stack, "billing", "accepted", 80);

    // A revoked key counts too, and control says so.
    stack.revoke(&stack.billing).expect("revoked");
    assert!(!advice(&stack, &billing).contains("STILL_TRIED"));
    send(&stack, &secret, 7, (403, "revoked"));
    let row = wait_for_use(&stack, "billing", "refused", 7);
    assert_eq!(row["refusedByReason"]["revoked"], 7, "{row}");
    assert_eq!(row["accepted"], 80, "{row}");
    assert!(advice(&stack, &billing).contains("STILL_TRIED"));
}

/// Another module makes other VMs: what the former ones counted and had not told is told by the new ones.
#[test]
fn a_push_of_another_module_loses_no_count() {
    for part in [Discovered::Gate, Discovered::Listener] {
        let discover = move |config: &mut EnvoyConfig| {
            config.discover(part);
            Ok(())
        };
        let drain = ["--drain-time-s", "1"];
        let stack = Stack::builder().concurrency(4).arguments(&drain).edit(discover);
        let stack = stack.start().expect("a stack");
        let secret = stack.billing.secret.clone();
        let directory = mpgate_testbed::directory().expect("a directory");
        send(&stack, &secret, 20, (204, ""));
        wait_for_use(&stack, "billing", "accepted", 20);
        for number in 1..=3 {
            let module = artifacts::other_module(number, directory.path()).expect("a module");
            // Next to a report that was just told, they wait ten seconds: longer than their VMs have.
            send(&stack, &secret, 20, (204, ""));
            stack.envoy.push(|plugin| plugin.module(&module)).expect("pushed");
            let all = 20 + 20 * i64::try_from(number).expect("a count");
            wait_for_use(&stack, "billing", "accepted", all);
        }
    }
}

/// Asks the real control what the gate asked, word for word.
fn forward(address: SocketAddr, received: &Received) -> Option<Response> {
    let head = String::from_utf8_lossy(&received.head).into_owned();
    let method = head.split(' ').next().unwrap_or_default();
    let mut request = Request::new(method, received.path());
    for name in ["authorization", "content-type", "x-mpgate-gate", "x-mpgate-instance"] {
        if let Some(value) = received.header(name) {
            request = request.header(name, value);
        }
    }
    http1::send(address, &request.body(&received.body)).ok()
}

#[test]
fn a_report_whose_answer_is_lost_or_that_is_replayed_counts_once() {
    let (front, lease) = envoy::nowhere().expect("an address");
    let builder = Stack::builder().concurrency(4).control(front).without_list();
    let stack = builder.start().expect("a stack");
    drop(lease);
    let control = stack.control.address();
    let reports: Arc<Mutex<Vec<Received>>> = Arc::default();
    let kept = Arc::clone(&reports);
    let lost = Mutex::new(HashSet::new());
    let relay = Upstream::at(front, move |received| {
        let Some(response) = forward(control, received) else { return Answer::Close };
        if received.path() == "/v1/usageReports" {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(received.clone());
            let mut lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
            // Control counts it, and the gate does not get to know the first time.
            if lost.insert(received.body.clone()) {
                return Answer::Close;
            }
        }
        pass(&response)
    });
    let relay = relay.expect("a relay");
    let secret = stack.billing.secret.clone();
    wait_for_answer(&stack, SHOP, &secret, 204, "");
    send(&stack, &secret, 20, (204, ""));
    wait_for_use(&stack, "billing", "accepted", 21);
    // Every report comes a second time, as it was.
    let all_twice = || {
        let reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        let bodies: HashSet<_> = reports.iter().map(|report| report.body.clone()).collect();
        (!reports.is_empty() && reports.len() == 2 * bodies.len()).then_some(())
    };
    poll::until("each report to come again", SOON, all_twice).expect("sent again");
    let taken = reports.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for report in &taken {
        let answer = forward(control, report).expect("an answer");
        assert_eq!((answer.status, &*answer.text()), (200, r#"{"counted":false}"#));
    }
    // What is counted afterwards is the proof that nothing else was.
    assert_eq!(stack.send(&purchase(SHOP, &secret)).expect("an answer").status, 204);
    wait_for_use(&stack, "billing", "accepted", 22);
    drop(relay);
}
