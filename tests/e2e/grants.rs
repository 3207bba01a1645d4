//! What a key may do: events, networks, certificates, times, the gate's environment, and grants that
//! ask for more than this gate can check.

mod pages;
mod peers;

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{SHOP, Stack, purchase};
use mpgate_testbed::{EnvoyConfig, Request};
use serde_json::json;

use crate::terms;

const REHEARSAL: &str = "G-REHEARSAL1";

#[test]
fn event_patterns() {
    let stack = Stack::start().expect("a stack");
    let exact = terms::key(&stack, "exact", &[SHOP], &json!({"events": ["login", "sign_up"]}));
    let prefix = terms::key(&stack, "prefix", &[SHOP], &json!({"events": ["tutorial_*"]}));
    let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
    let rows = [
        ("an exact name", &exact, r#"{"events":[{"name":"login"},{"name":"sign_up"}]}"#, None),
        ("one event, no list", &exact, r#"{"events":{"name":"login"}}"#, None),
        ("an escaped name", &exact, r#"{"events":[{"name":"lo\u0067in"}]}"#, None),
        ("no events", &exact, r#"{"client_id":"1.2"}"#, None),
        ("events after all else", &exact, r#"{"userId":"u","events":[{"name":"login"}]}"#, None),
        ("a prefix", &prefix, r#"{"events":[{"name":"tutorial_begin"}]}"#, None),
        ("nothing but the prefix", &prefix, r#"{"events":[{"name":"tutorial_"}]}"#, None),
        ("longer than exact", &exact, r#"{"events":[{"name":"login_"}]}"#, Some(0)),
        ("another case", &exact, r#"{"events":[{"name":"Login"}]}"#, Some(0)),
        (
            "the last of three",
            &exact,
            r#"{"events":[{"name":"login"},{"name":"login"},{"name":"x"}]}"#,
            Some(2),
        ),
        ("half a prefix", &prefix, r#"{"events":[{"name":"tutorial"}]}"#, Some(0)),
        ("the pattern itself", &exact, r#"{"events":[{"name":"login*"}]}"#, Some(0)),
        ("no name", &exact, r#"{"events":[{"name":"login"},{"params":{}}]}"#, Some(1)),
        ("a name that is no text", &exact, r#"{"events":[{"name":7}]}"#, Some(0)),
        ("one event, no list", &exact, r#"{"events":{"name":"purchase"}}"#, Some(0)),
    ];
    for (name, key, body, refused) in rows {
        let target = format!("/mp/collect?measurement_id={SHOP}&api_secret={}", key.secret);
        let request = Request::post(target).body(body);
        let (http1, http2) = (stack.send(&request), http2.send(&request));
        for answer in [http1, http2] {
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            let Some(index) = refused else {
                assert_eq!(answer.status, 204, "{name}: {}", answer.text());
                continue;
            };
            let said = (answer.status, &*answer.reason());
            assert_eq!(said, (403, "event_not_granted"), "{name}: {}", answer.text());
            let detail = answer.json().expect("a problem")["detail"].to_string();
            assert!(detail.contains(&format!("events[{index}]")), "{name}: {detail}");
        }
    }
    // Two names for one field are two readings.
    let target = format!("/mp/collect?measurement_id={SHOP}&api_secret={}", exact.secret);
    for body in [
        r#"{"events":[{"name":"login"}],"events":[{"name":"purchase"}]}"#,
        r#"{"events":[{"name":"login"}],"Events":[{"name":"purchase"}]}"#,
        r#"{"events":[{"name":"login","name":"purchase"}]}"#,
    ] {
        let answer = stack.send(&Request::post(&target).body(body)).expect("an answer");
        assert_eq!((answer.status, &*answer.reason()), (400, "body_unreadable"), "{body}");
    }
    let granted = rows.iter().filter(|(.., refused)| refused.is_none()).count();
    assert_eq!(stack.collector.wait_for_events(2 * granted).expect("events").len(), 2 * granted);
}

#[test]
fn a_gate_that_serves_one_environment() {
    let staging = |config: &mut EnvoyConfig| {
        config.gate()?["environment"] = "staging".into();
        Ok(())
    };
    let stack = Stack::builder().edit(staging).start().expect("a stack");
    terms::stream(&stack, REHEARSAL, &json!({"environment": "staging"}));
    let rehearser = terms::key(&stack, "rehearser", &[REHEARSAL], &json!({}));
    for (stream, key, said) in [
        (SHOP, &stack.billing, (403, "wrong_environment")),
        (REHEARSAL, &rehearser, (204, "")),
        (REHEARSAL, &stack.billing, (403, "stream_not_granted")),
    ] {
        let answer = stack.send(&purchase(stream, &key.secret)).expect("an answer");
        assert_eq!((answer.status, &*answer.reason()), said, "{stream}");
    }
    assert_eq!(stack.collector.wait_for_events(1).expect("events").len(), 1);
}
