//! Whose secret goes to which upstream, by mode and policy; with adopted secrets, and with a tracer.

use std::net::SocketAddr;
use std::time::Duration;

use mpgate_testbed::stack::purchase;
use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, EnvoyConfig, Stack, Upstream, poll};
use serde_json::{Value, json};

use super::search::{Canary, check, check_files, found, shown};

/// Secrets as GA4 makes them: no prefix, no checksum. Their owners typed them in.
const ADOPTED: &str = "adopted-Zk3vQ9xT7wLmB2cRf8YhNd";
const ADOPTED_DIGEST: &str = "2cfa102ba79fd4ecbec1886cc5bc85b4ae26762582cac3fc87fe9fd959aadc47";
const STRANGER: &str = "stranger-Hx4Nq8Wz2Rm6Vt1Jp5Kc9Lb";
const UPSTREAM: &str = "upstream-Qe7Yu3Io5Pa9Sd1Fg6Hj8Kl";

/// A stream for each mode and policy: `G-{mode}-{policy}`.
const MODES: [&str; 3] = ["enforce", "dry_run", "off"];
const POLICIES: [(&str, &str); 3] =
    [("none", "\"none\""), ("keep", "\"keep\""), ("replace", r#"{"replace":"GA4_API_SECRET"}"#)];

/// For a batch of spans, or a list.
const SOON: Duration = Duration::from_secs(20);

fn stream(mode: &str, policy: &str) -> String {
    format!("G-{}{}", mode.to_uppercase().replace('_', ""), policy.to_uppercase())
}

/// A control service that has one page, in which a secret was adopted.
fn control() -> Upstream {
    let streams: Vec<_> =
        MODES.iter().flat_map(|mode| POLICIES.map(|policy| (*mode, policy))).collect();
    let ids: Vec<_> = streams.iter().map(|(mode, (policy, _))| stream(mode, policy)).collect();
    let entries: Vec<_> = streams
        .iter()
        .zip(&ids)
        .map(|((mode, (_, secret)), id)| {
            let secret: Value = serde_json::from_str(secret).expect("JSON");
            json!({"revision": 1_000, "state": "active", "stream": {
                "id": id, "consumer": "acme", "environment": "production", "mode": mode,
                "upstream_secret": secret,
            }})
        })
        .collect();
    let key = json!({"revision": 1_000, "digest": ADOPTED_DIGEST, "state": "active",
        "grant": {"key_id": "000000000001", "sender": "billing", "streams": ids}});
    Upstream::start(move |asked| {
        let level = asked.path().contains("since=1000");
        let (from, keys, streams) = if level {
            (1_000, json!([]), json!([]))
        } else {
            (0, json!([key]), entries.clone().into())
        };
        Answer::json(
            200,
            &json!({
                "epoch": "adopted", "reset": !level, "from": from, "to": 1_000, "head": 1_000,
                "keys": keys, "streams": streams,
            }),
        )
    })
    .expect("a control service")
}

/// A tracer as the shipped file's comment wants it.
fn trace(config: &mut EnvoyConfig, collector: SocketAddr) {
    config.add_cluster("zipkin", collector).expect("a cluster");
    config.http().expect("http")["tracing"] = json!({
        "max_path_tag_length": 11,
        "spawn_upstream_span": true,
        "provider": {"name": "envoy.tracers.zipkin", "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
            "collector_cluster": "zipkin",
            "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON",
        }},
    });
}

/// Whose secrets a request of this stream takes to the upstream.
fn taken_on(mode: &str, policy: &str, secret: &str) -> &'static [&'static str] {
    match (mode, secret, policy) {
        ("enforce" | "dry_run", ADOPTED, "none") | ("enforce", STRANGER, _) => &[],
        // Its upstream would take no other for an event's, in no mode.
        (_, ADOPTED, "replace") => &["upstream"],
        (_, ADOPTED, _) => &["adopted"],
        // Not judged, or judged and forwarded all the same: it goes on with what it brought.
        _ => &["stranger"],
    }
}

fn is_of(received: &Received, stream: &str) -> bool {
    received.path().contains(&format!("measurement_id={stream}"))
}

#[test]
fn modes_and_policies_say_whose_secret_goes_on() {
    let directory = mpgate_testbed::directory().expect("a directory");
    let (control, upstream) = (control(), Upstream::start(|_| Answer::no_content()).expect("one"));
    let spans = Upstream::start(|_| Answer::Respond(202, Vec::new(), Vec::new())).expect("one");
    let collector = spans.address();
    let stack = Stack::builder()
        .directory(directory.path())
        .environment("GA4_API_SECRET", UPSTREAM)
        .control(control.address())
        .upstream(upstream.address())
        .edit(move |config| {
            trace(config, collector);
            Ok(())
        })
        .start()
        .expect("a stack");
    let canaries = [
        Canary::new("adopted", ADOPTED),
        Canary::new("stranger", STRANGER),
        Canary::new("upstream", UPSTREAM),
        Canary::new("gateway", &stack.gateway_token),
    ];

    for mode in MODES {
        for (policy, _) in POLICIES {
            for secret in [ADOPTED, STRANGER] {
                let stream = stream(mode, policy);
                let row = format!("{mode}, {policy}, {secret}");
                let before = upstream.received().len();
                let answer = stack.send(&purchase(&stream, secret)).expect("an answer");
                let forwarded = (mode, secret) != ("enforce", STRANGER);
                assert_eq!(answer.status, if forwarded { 204 } else { 401 }, "{row}");
                check(&canaries, &row, &shown(&answer), &[]);
                let received = upstream.received().split_off(before);
                assert_eq!(received.len(), usize::from(forwarded), "{row}");
                for received in received {
                    assert!(is_of(&received, &stream), "{row}: {}", received.path());
                    let all = [received.head, received.body].concat();
                    let found: Vec<_> = found(&canaries, &all).into_iter().collect();
                    assert_eq!(found, taken_on(mode, policy, secret), "{row}");
                }
            }
        }
    }

    // Only control gets the gateway's token, and nothing but that.
    for asked in control.received() {
        assert_eq!(asked.header("authorization"), Some(format!("Bearer {}", stack.gateway_token)));
        check(&canaries, "a question to control", &asked.head, &["gateway"]);
    }
    check_spans(&spans, &canaries);
    check_files(&canaries, directory.path(), &[("gateway-token", &["gateway"])]);
}

/// Spans name the path and hold no secret.
fn check_spans(spans: &Upstream, canaries: &[Canary]) {
    let named = || {
        let all: Vec<_> = spans.received().iter().flat_map(|sent| sent.body.clone()).collect();
        let text = String::from_utf8_lossy(&all).into_owned();
        (text.matches("/mp/collect\"").count() >= 18).then_some(text)
    };
    let text = poll::until("a span of each request", SOON, named).expect("spans");
    check(canaries, "a span", text.as_bytes(), &[]);
    for sent in spans.received() {
        check(canaries, "a span's head", &sent.head, &[]);
    }
}
