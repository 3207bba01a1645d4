//! `x-mpgate-*` is the gate's word to the upstream: a client's is removed on every path, in every mode
//! and in any case; with an underscore it is refused.

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{SHOP, Stack, purchase};
use mpgate_testbed::{Answer, EnvoyConfig, Request, Upstream};
use serde_json::json;

const DRY: &str = "G-DRY0000001";
const IDLE: &str = "G-IDLE000001";

const NAMES: [&str; 8] = [
    "x-mpgate-sender",
    "X-MPGATE-SENDER",
    "X-Mpgate-Sender",
    "x-mpGATE-key",
    "x-mpgate-",
    "x-mpgate-sender-2",
    "x-mpgate-verdict",
    "X-MPGATE-",
];

const UNDERSCORED: [&str; 4] =
    ["x_mpgate_sender", "x-mpgate_sender", "X_MPGATE_SENDER", "x_mpgate-sender"];

fn shared(config: &mut EnvoyConfig) -> anyhow::Result<()> {
    config.gate()?["unknown_paths"] = "pass".into();
    let all = json!({"name": "all", "match": {"prefix": "/"}, "route": {"cluster": "analytics"}});
    config.routes()?.push(all);
    Ok(())
}

#[test]
fn a_clients_word_for_the_gate_is_removed_everywhere() {
    let upstream = Upstream::start(|_| Answer::no_content()).expect("an upstream");
    let stack = Stack::builder().edit(shared).upstream(upstream.address()).start();
    let stack = stack.expect("a stack");
    stack.add_stream(DRY, Some("dry_run"), "none").expect("a stream");
    stack.add_stream(IDLE, Some("off"), "none").expect("a stream");
    for (place, request, sender) in [
        ("enforce", purchase(SHOP, &stack.billing.secret), Some("billing")),
        ("dry_run", purchase(DRY, "guessed"), None),
        ("dry_run, a known key", purchase(DRY, &stack.billing.secret), None),
        ("off", purchase(IDLE, "guessed"), None),
        ("another path", Request::post("/other").body("{}"), None),
        ("a longer path", Request::post("/mp/collect/x").body("{}"), None),
        ("another method on another path", Request::get("/"), None),
    ] {
        for name in NAMES {
            let own = request.clone().header(name, "forged").header("x-mpgat", "stays");
            let own = own.header(name, "forged twice");
            let lower = request.clone().header(name.to_ascii_lowercase(), "forged");
            let lower = lower.header("x-mpgat", "stays");
            let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
            for protocol in ["HTTP/1.1", "HTTP/2"] {
                let row = format!("{name} in {place} over {protocol}");
                let before = upstream.received().len();
                let answer =
                    if protocol == "HTTP/2" { http2.send(&lower) } else { stack.send(&own) };
                assert_eq!(answer.expect(&row).status, 204, "{row}");
                let received = upstream.received();
                let [got] = &received[before..] else { panic!("{row}: {received:?}") };
                assert!(!got.contains("forged"), "{row}: {got:?}");
                assert_eq!(got.header("x-mpgat").as_deref(), Some("stays"), "{row}");
                assert_eq!(got.header("x-mpgate-sender").as_deref(), sender, "{row}");
                let head = String::from_utf8_lossy(&got.head).to_ascii_lowercase();
                assert_eq!(head.matches("mpgate").count(), usize::from(sender.is_some()), "{row}");
            }
        }
        for name in UNDERSCORED {
            let before = upstream.received().len();
            let answer = stack.send(&request.clone().header(name, "forged")).expect("an answer");
            assert_eq!(answer.status, 400, "{name} in {place}");
            assert_eq!(upstream.received().len(), before, "{name} in {place}");
        }
    }
}
