//! What bodies say: 400, 403 and 422, however they are sent, and rules that only tell.

use mpgate_testbed::Request;
use mpgate_testbed::stack::{SHOP, Stack};
use serde_json::{Value, json};

use super::ways::Way;
use super::{FREE, LOGIN, STRICT, Streams, assert_refused, to};
use crate::terms::counted;

/// Breaks three rules in three places.
const THREE_VIOLATIONS: &str = r#"{"events":[{"name":"_bad"},{"name":"login","params":{"method":"x","firebase_screen":1}},
    {"name":"session_start"}]}"#;

/// Two readings: a first-wins parser sees `login`, a last-wins parser `purchase`.
const TWO_READINGS: &str = r#"{"client_id":"1.2","events":[{"name":"login","name":"purchase"}]}"#;

/// The third event is in no grant.
const UNGRANTED: &str = r#"{"client_id":"1.2","events":[{"name":"login"},{"name":"refund_part"},
    {"name":"purchase","params":{"transaction_id":"T","value":1,"currency":"EUR","items":[{"item_id":"a"}]}}]}"#;

#[test]
fn each_status_however_the_body_is_sent() {
    let streams = Streams::on(Stack::start().expect("a stack"));
    let Streams { stack, web, orders } = &streams;
    let stranger = Request::post(format!("/mp/collect?measurement_id={STRICT}&api_secret=guessed"));
    let rows = [
        ("violations", to(STRICT, web), THREE_VIOLATIONS, 422, "protocol_violation"),
        ("no JSON, rules enforced", to(STRICT, web), "login", 400, "body_unreadable"),
        ("two readings, rules enforced", to(STRICT, web), TWO_READINGS, 400, "body_unreadable"),
        ("two readings, an event grant", to(FREE, orders), TWO_READINGS, 400, "body_unreadable"),
        ("bytes behind it", to(SHOP, orders), &*format!("{LOGIN}{{}}"), 400, "body_unreadable"),
        ("an event beside the grant", to(FREE, orders), UNGRANTED, 403, "event_not_granted"),
        ("the grant before the rules", to(STRICT, orders), UNGRANTED, 403, "event_not_granted"),
        ("a stranger", stranger, LOGIN, 401, "unknown_secret"),
    ];
    for (name, head, body, status, reason) in &rows {
        for way in Way::ALL {
            let answer = way.send(stack.envoy.address(), head, body.as_bytes());
            assert_refused(&format!("{name}, {way:?}"), &answer, *status, reason);
            let problem = answer.json().expect("a problem");
            match *reason {
                "protocol_violation" => assert_three_violations(&problem),
                "event_not_granted" => {
                    let detail = problem["detail"].as_str().expect("a detail");
                    assert!(detail.starts_with("events[2]: "), "{name}: {detail}");
                    assert!(!answer.text().contains("purchase"), "{name}: {}", answer.text());
                }
                _ => assert_eq!(problem.get("validationMessages"), None, "{name}"),
            }
        }
    }
    assert_eq!(streams.events_at_the_collector(), 0, "nothing of them was forwarded");
    let refused = counted(stack, &[("outcome", "refused")]);
    assert_eq!(refused, (rows.len() * Way::ALL.len()) as u64);
}

fn assert_three_violations(problem: &Value) {
    let messages = problem["validationMessages"].as_array().expect("messages");
    let said: Vec<_> = messages
        .iter()
        .map(|message| (&message["validationCode"], &message["fieldPath"]))
        .collect();
    let expected = json!([
        ["NAME_INVALID", "events"],
        ["NAME_RESERVED", "events[1].params.firebase_screen"],
        ["NAME_RESERVED", "events"],
        ["VALUE_REQUIRED", "client_id"],
    ]);
    assert_eq!(json!(said), expected, "{problem}");
    assert!(messages.iter().all(|message| message["description"].is_string()), "{problem}");
}

#[test]
fn rules_in_dry_run_accept_and_tell() {
    let streams = Streams::on(Stack::start().expect("a stack"));
    let Streams { stack, web, orders } = &streams;
    let rows = [
        ("nothing to tell", to(SHOP, web), LOGIN, "none"),
        ("violations", to(SHOP, web), THREE_VIOLATIONS, "protocol_violation"),
        ("no reading", to(SHOP, web), TWO_READINGS, "body_unreadable"),
        (
            "encoded",
            to(SHOP, web).header("content-encoding", "gzip"),
            "\u{1f}\u{8b}",
            "content_encoded",
        ),
        ("no rules, violations", to(FREE, web), THREE_VIOLATIONS, "none"),
        ("no rules, no reading", to(FREE, web), TWO_READINGS, "none"),
        ("no rules, encoded", to(FREE, web).header("content-encoding", "br"), "x", "none"),
        ("rules enforced", to(STRICT, web), LOGIN, "none"),
        ("an event grant", to(FREE, orders), LOGIN, "none"),
        (
            "identity is no encoding",
            to(STRICT, web).header("content-encoding", "identity"),
            LOGIN,
            "none",
        ),
    ];
    for (name, head, body, reason) in rows {
        for way in Way::ALL {
            let labels = [("outcome", "accepted"), ("reason", reason)];
            let before = counted(stack, &labels);
            let answer = way.send(stack.envoy.address(), &head, body.as_bytes());
            assert_eq!(answer.status, 204, "{name}, {way:?}: {}", answer.text());
            assert_eq!(counted(stack, &labels), before + 1, "{name}, {way:?}");
            let events = stack.collector.wait_for_events(1).expect("an event");
            stack.collector.forget().expect("forgotten");
            assert_eq!(events.len(), 1, "{name}, {way:?}");
            assert_eq!(events[0].body(), body, "{name}, {way:?}");
        }
    }
    assert_eq!(counted(stack, &[("outcome", "refused")]), 0);
}
