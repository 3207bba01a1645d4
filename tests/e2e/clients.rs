//! Real traffic from a public client that nobody here wrote: `ga4mp` from `PyPI`, pinned by version and
//! hash in `clients/requirements.txt` and kept under `target/`. It needs `python3` with `pip`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mpgate_testbed::process::Process;
use mpgate_testbed::stack::Stack;
use mpgate_testbed::{IssuedKey, toolchain};
use serde_json::{Value, json};

use crate::terms::{self, counted};

const PATIENCE: Duration = Duration::from_mins(2);

const WEB: &str = "G-WEB0000001";
const APP: &str = "1:1234567890:web:abcdef0123";

/// The wheel; Python imports from it as it is.
fn ga4mp() -> PathBuf {
    let here = toolchain::root().join("target/ga4mp");
    let wheel = here.join("ga4mp-2.0.4-py3-none-any.whl");
    if !wheel.is_file() {
        // pip checks the hash before it puts the file there.
        let status = Command::new("python3")
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--require-hashes",
                "--requirement",
            ])
            .arg(scripts().join("requirements.txt"))
            .arg("--dest")
            .arg(&here)
            .status()
            .expect("python3, which the test of ga4mp needs");
        assert!(status.success(), "python3 -m pip cannot download ga4mp: {status}");
    }
    wheel
}

fn scripts() -> PathBuf {
    toolchain::root().join("tests/e2e/clients")
}

/// Runs the sender and reads what it printed.
fn sent(stack: &Stack, key: &IssuedKey, directory: &Path) -> Vec<Value> {
    let mut command = Command::new("python3");
    command
        .arg(scripts().join("ga4mp_sender.py"))
        .env("PYTHONPATH", ga4mp())
        .env("GATE", stack.envoy.address().to_string())
        .env("WEB_STREAM", WEB)
        .env("APP_STREAM", APP)
        .env("SECRET", &key.secret);
    let mut python = Process::start("ga4mp", command, directory).expect("python3");
    let ended = python.wait_for("ga4mp", PATIENCE, |python| {
        let out = python.stdout();
        out.contains("wrong secret").then_some(out)
    });
    let out = ended.expect("all of it is sent");
    out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn ga4mp_under_enforced_rules() {
    let stack = Stack::start().expect("a stack");
    for stream in [WEB, APP] {
        terms::stream(&stack, stream, &json!({"protocolRules": "enforce"}));
    }
    let events = json!({"events": ["purchase", "login", "session_start"]});
    let key = terms::key(&stack, "shop", &[WEB, APP], &events);
    let directory = mpgate_testbed::directory().expect("a directory");
    let told = sent(&stack, &key, directory.path());
    let expected = [
        json!(["web", null]),
        json!(["app", null]),
        json!(["app, purchase", null]),
        json!(["batch of 27", null]),
        json!(["user", null]),
        json!(["postponed", null]),
        json!(["an hour ago", null]),
        json!(["debug", null]),
        json!(["debug, reserved", null]),
        json!(["reserved", [422, "protocol_violation"]]),
        json!(["wrong secret", [401, "unknown_secret"]]),
    ];
    assert_eq!(told, expected, "ga4mp's send answers nothing when all is well");

    // It splits a batch of 27 into 25 and 2, and sends postponed events one by one, each without its
    // list. So it breaks no rule by itself.
    let came = stack.collector.wait_for_events(9).expect("events");
    let shape = |events: &Value| {
        events.as_array().map_or("no list".to_owned(), |all| all.len().to_string())
    };
    let bodies: Vec<Value> = came
        .iter()
        .map(|event| {
            let web = format!("/mp/collect?measurement_id={WEB}");
            let app = format!("/mp/collect?firebase_app_id={}", APP.replace(':', "%3A"));
            assert!([web, app].contains(&event.path().to_owned()), "{}", event.path());
            assert!(!event.contains(&key.secret), "{event:?}");
            serde_json::from_str(event.body()).expect("JSON")
        })
        .collect();
    let shapes: Vec<String> = bodies.iter().map(|body| shape(&body["events"])).collect();
    assert_eq!(shapes, ["1", "1", "1", "25", "2", "1", "no list", "no list", "1"]);
    assert_eq!(bodies[0]["events"][0]["params"]["items"][0]["item_name"], "A caf\u{e9} chair");
    assert_eq!(bodies[5]["user_properties"], json!({"plan": {"value": "gold"}}));
    assert!(bodies[7]["timestamp_micros"].is_u64(), "{}", bodies[7]);

    for (labels, count) in [
        (&[("outcome", "accepted"), ("reason", "none")][..], 9 + 1),
        (&[("outcome", "accepted"), ("reason", "protocol_violation")], 1),
        (&[("outcome", "refused"), ("reason", "protocol_violation")], 1),
        (&[("outcome", "refused"), ("reason", "unknown_secret")], 1),
        (&[("sender", "shop")], 9 + 1 + 1 + 1),
    ] {
        assert_eq!(counted(&stack, labels), count, "{labels:?}");
    }
}
