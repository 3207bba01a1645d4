//! `/debug/mp/collect` answers here, as GA4's validation server would, and forwards nothing.

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{SHOP, Stack};
use mpgate_testbed::{IssuedKey, Request};
use serde_json::json;

use super::ways::Way;
use super::{FREE, LOGIN, STRICT, Streams, assert_refused, login_of};
use crate::terms::counted;

fn debug(stream: &str, key: &IssuedKey) -> Request {
    Request::post(format!("/debug/mp/collect?api_secret={}&measurement_id={stream}", key.secret))
}

#[test]
fn the_debug_endpoint_validates_for_those_who_have_the_secret() {
    let streams = Streams::on(Stack::start().expect("a stack"));
    let Streams { stack, web, orders } = &streams;
    let gate = stack.envoy.address();
    let bad = r#"{"client_id":"1.2","events":[{"name":"_bad"}]}"#;
    let named = json!([{
        "fieldPath": "events",
        "description": "Event at index: [0] has invalid name [_bad]. Names must start with an alphabetic character.",
        "validationCode": "NAME_INVALID",
    }]);
    for way in Way::ALL {
        for stream in [SHOP, STRICT, FREE] {
            let name = format!("{stream}, {way:?}");
            let answer = way.send(gate, &debug(stream, web), LOGIN.as_bytes());
            assert_eq!((answer.status, &*answer.text()), (200, r#"{"validationMessages":[]}"#));
            assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));

            let answer = way.send(gate, &debug(stream, web), bad.as_bytes());
            assert_eq!(answer.status, 200, "{name}");
            assert_eq!(
                answer.json().expect("JSON"),
                json!({"validationMessages": named}),
                "{name}"
            );

            let answer = way.send(gate, &debug(stream, web), b"{");
            let messages = &answer.json().expect("JSON")["validationMessages"];
            assert_eq!(
                (answer.status, &messages[0]["validationCode"]),
                (200, &"VALUE_INVALID".into())
            );
        }
        let name = format!("{way:?}");
        let stranger =
            Request::post(format!("/debug/mp/collect?measurement_id={SHOP}&api_secret=x"));
        let rows = [
            ("a stranger", stranger, LOGIN.as_bytes().to_vec(), 401, "unknown_secret"),
            ("a stream of others", debug("G-OTHER00001", web), vec![], 403, "stream_not_granted"),
            (
                "an event beside the grant",
                debug(FREE, orders),
                bad.into(),
                403,
                "event_not_granted",
            ),
            ("too large", debug(FREE, web), login_of(130_001), 413, "body_too_large"),
            (
                "encoded",
                debug(FREE, web).header("content-encoding", "gzip"),
                vec![0x1f, 0x8b],
                415,
                "content_encoded",
            ),
        ];
        for (row, head, body, status, reason) in rows {
            let answer = way.send(gate, &head, &body);
            assert_refused(&format!("{row}, {name}"), &answer, status, reason);
        }
    }
    let target = format!("/debug/mp/collect?measurement_id={SHOP}&api_secret={}", web.secret);
    let get = Request::get(target);
    let over_http2 = Http2::connect(gate).and_then(|mut client| client.send(&get));
    for answer in [stack.send(&get), over_http2] {
        let answer = answer.expect("an answer");
        assert_refused("a GET", &answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow").as_deref(), Some("POST"));
    }

    assert_eq!(streams.events_at_the_collector(), 0);
    let ways = Way::ALL.len() as u64;
    for (outcome, reason, expected) in [
        ("accepted", "none", 3 * ways),
        ("accepted", "protocol_violation", 3 * ways),
        ("accepted", "body_unreadable", 3 * ways),
        ("refused", "unknown_secret", ways),
    ] {
        let labels = [("outcome", outcome), ("reason", reason)];
        assert_eq!(counted(stack, &labels), expected, "{labels:?}");
    }
}
