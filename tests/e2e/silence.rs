//! Silence: a refusal looks like GA4's answer to anything, of a gate or of a stream, and is told to the
//! operator all the same. Never where the sender is not at fault.

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{CLUB, SHOP, Stack, purchase};
use mpgate_testbed::{EnvoyConfig, Request, Response};
use serde_json::json;

use crate::terms::{self, counted};

const QUIET: &str = "G-QUIET00001";
const LOUD: &str = "G-LOUD000001";
const REHEARSAL: &str = "G-REHEARSAL1";
/// Its upstream needs a secret that Envoy's environment does not have.
const POOR: &str = "G-POOR000001";

const BAD: &str = r#"{"client_id":"1.2","events":[{"name":"_bad"}]}"#;

fn silent(config: &mut EnvoyConfig) -> anyhow::Result<()> {
    config.gate()?["silent"] = true.into();
    Ok(())
}

/// Sends over HTTP/1.1 and HTTP/2.
fn both(stack: &Stack, name: &str, request: &Request) -> [Response; 2] {
    let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
    [stack.send(request), http2.send(request)]
        .map(|answer| answer.unwrap_or_else(|error| panic!("{name}: {error:#}")))
}

/// What an answer says, without what differs between any two.
fn said(answer: &Response) -> (u16, Vec<String>, String) {
    let mut names: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(&**name, "date" | "connection"))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    names.sort();
    (answer.status, names, answer.text())
}

#[test]
fn a_silent_gate_says_nothing_to_whom_it_refuses() {
    let stack = Stack::builder().edit(silent).start().expect("a stack");
    terms::stream(&stack, LOUD, &json!({"silent": false}));
    terms::stream(&stack, REHEARSAL, &json!({"mode": "dry_run"}));
    terms::stream(&stack, QUIET, &json!({"protocolRules": "enforce"}));
    terms::stream(&stack, POOR, &json!({"upstreamSecret": "replace(NOBODY_SETS_THIS)"}));
    let web = terms::key(&stack, "web", &[QUIET, LOUD, POOR], &json!({}));
    let narrow = terms::key(&stack, "narrow", &[QUIET], &json!({"events": ["login"]}));
    let spent = terms::key(&stack, "spent", &[SHOP], &json!({}));
    stack.revoke(&spent).expect("revoked");
    let to = |stream: &str, secret: &str| {
        Request::post(format!("/mp/collect?measurement_id={stream}&api_secret={secret}"))
    };

    let rows = [
        ("unknown_secret", to(SHOP, "guessed").body(BAD)),
        ("malformed_secret", to(SHOP, &web.secret[..web.secret.len() - 1])),
        ("missing_secret", Request::post(format!("/mp/collect?measurement_id={SHOP}"))),
        ("stream_missing", Request::post(format!("/mp/collect?api_secret={}", web.secret))),
        ("stream_not_granted", purchase(CLUB, &web.secret)),
        ("revoked", purchase(SHOP, &spent.secret)),
        ("exposed", purchase(QUIET, &web.secret).header("origin", "https://shop.example")),
        ("event_not_granted", purchase(QUIET, &narrow.secret)),
        ("protocol_violation", to(QUIET, &web.secret).body(BAD)),
        ("body_unreadable", to(QUIET, &web.secret).body("{")),
        ("content_encoded", purchase(QUIET, &web.secret).header("content-encoding", "br")),
        ("body_too_large", to(QUIET, &web.secret).body(vec![b' '; 130_001])),
        ("bad_query", to(SHOP, "%zz")),
        ("method_not_allowed", Request::get(format!("/mp/collect?measurement_id={SHOP}"))),
    ];
    let [mut first, mut first2] = [None, None];
    for (reason, request) in &rows {
        let labels = [("outcome", "refused"), ("reason", *reason)];
        let before = counted(&stack, &labels);
        let [http1, http2] = both(&stack, reason, request).map(|answer| said(&answer));
        assert_eq!((http1.0, &*http1.2), (204, ""), "{reason}");
        assert_eq!(first.get_or_insert_with(|| http1.clone()), &http1, "{reason}: all alike");
        assert_eq!(first2.get_or_insert_with(|| http2.clone()), &http2, "{reason}: all alike");
        assert_eq!(counted(&stack, &labels), before + 2, "{reason} is told to the operator");
    }
    assert!(stack.collector.events().expect("events").is_empty());

    for (name, request, status, reason) in [
        ("a stream with a voice", to(LOUD, "guessed"), 401, "unknown_secret"),
        ("another path", Request::post("/mp/other"), 404, "unknown_path"),
        ("the gateway's own fault", to(POOR, &web.secret), 503, "upstream_secret_missing"),
    ] {
        for answer in both(&stack, name, &request) {
            assert_eq!((answer.status, &*answer.reason()), (status, reason), "{name}");
            assert_eq!(answer.header("retry-after").is_some(), status == 503, "{name}");
        }
    }
    both(&stack, "dry run forwards", &to(REHEARSAL, "guessed"));
    assert_eq!(stack.collector.wait_for_events(2).expect("events").len(), 2);
    let genuine = both(&stack, "genuine", &purchase(QUIET, &web.secret));
    assert!(genuine.iter().all(|answer| answer.status == 204));
    assert_eq!(stack.collector.wait_for_events(4).expect("events").len(), 4);
}

#[test]
fn a_silent_stream_in_a_gate_with_a_voice() {
    let stack = Stack::start().expect("a stack");
    terms::stream(&stack, QUIET, &json!({"silent": true}));
    let web = terms::key(&stack, "web", &[SHOP, QUIET], &json!({}));
    let good = r#"{"client_id":"1.2","events":[{"name":"login"}]}"#;
    let debug = |stream: &str, secret: &str, body: &str| {
        let target = format!("/debug/mp/collect?measurement_id={stream}&api_secret={secret}");
        Request::post(target).body(body)
    };

    for (name, request, status, reason) in [
        ("the stream", purchase(QUIET, "guessed"), 204, ""),
        ("another stream", purchase(SHOP, "guessed"), 401, "unknown_secret"),
        ("no stream", Request::post("/mp/collect?api_secret=guessed"), 400, "stream_missing"),
        ("a stream nobody has", purchase("G-NOBODY0001", "guessed"), 401, "unknown_secret"),
        ("debug of another stream", debug(SHOP, "guessed", good), 401, "unknown_secret"),
        ("debug, too large", debug(QUIET, "guessed", &" ".repeat(130_001)), 413, "body_too_large"),
    ] {
        for answer in both(&stack, name, &request) {
            assert_eq!((answer.status, &*answer.reason()), (status, reason), "{name}");
        }
    }
    // Whoever asks, the debug endpoint says the same, as Google's does: it is no oracle for secrets.
    for body in [good, BAD, "{", ""] {
        let friend = both(&stack, body, &debug(QUIET, &web.secret, body));
        let stranger = both(&stack, body, &debug(QUIET, "guessed", body));
        for (friend, stranger) in friend.iter().zip(&stranger) {
            assert_eq!(friend.status, 200, "{body}");
            assert_eq!(said(friend), said(stranger), "{body}");
        }
    }
    let unknown = [("stream", QUIET), ("reason", "unknown_secret"), ("outcome", "refused")];
    assert_eq!(counted(&stack, &unknown), 2 + 2 + 4 * 2);
    assert!(stack.collector.events().expect("events").is_empty());
}

#[test]
fn a_silent_gate_that_has_no_list_yet_says_so() {
    let (nobody, _lease) = mpgate_testbed::envoy::nowhere().expect("an address");
    let stack = Stack::builder().edit(silent).control(nobody).without_list().start();
    let stack = stack.expect("a stack");
    let debug = Request::post(format!("/debug/mp/collect?measurement_id={SHOP}&api_secret=x"));
    for request in [purchase(SHOP, &stack.billing.secret), purchase(SHOP, "guessed"), debug] {
        for answer in both(&stack, "no list", &request) {
            assert_eq!((answer.status, &*answer.reason()), (503, "no_list"));
            assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
        }
    }
}
