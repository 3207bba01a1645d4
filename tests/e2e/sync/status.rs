//! What a gate says of itself: whether it is ready, where senders are, if it is told to; and all the
//! rest on a listener of its own, for its operator.

use std::fs;

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{SHOP, Stack};
use mpgate_testbed::{Answer, EnvoyConfig, Request, envoy, http1, poll};
use serde_json::{Value, json};

use super::relay::Relay;
use super::{SOON, answer, wait_for_answer};

fn ready(config: &mut EnvoyConfig) -> anyhow::Result<()> {
    config.gate()?["ready"] = true.into();
    config.gate()?["control"]["wait_seconds"] = 0.into();
    Ok(())
}

/// Waits for a status page of which this is true.
fn status(stack: &Stack, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let waited = poll::until(what, SOON, || {
        last = stack.envoy.status().expect("a status page");
        is(&last).then(|| last.clone())
    });
    waited.unwrap_or_else(|_| panic!("{what}: {last:#}"))
}

#[test]
fn ready_says_whether_there_is_a_list_and_nothing_more() {
    let (nowhere, lease) = envoy::nowhere().expect("an address");
    let stack = Stack::builder().edit(ready).control(nowhere).without_list().start();
    let stack = stack.expect("a stack");
    let probes = || {
        let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
        let get = Request::get("/mpgate/ready");
        let secret = Request::get(format!("/mpgate/ready?api_secret={}", stack.billing.secret));
        let head = Request::new("HEAD", "/mpgate/ready");
        [http2.send(&get), stack.send(&get), stack.send(&secret), http2.send(&head)]
            .map(|answer| answer.expect("an answer"))
    };
    let assert_all = |status: u16| {
        let answers = probes();
        for answer in &answers {
            assert_eq!((answer.status, answer.text().as_str()), (status, ""), "{answer:?}");
        }
        // With a live secret, a guessed one or none: the same headers.
        assert_eq!(answers[1].header("content-type"), answers[2].header("content-type"));
    };
    assert_all(503);
    assert_eq!(stack.envoy.status().expect("a page")["ready"], false);
    drop(lease);
    let _relay = Relay::at(nowhere, &stack.control);
    wait_for_answer(&stack, SHOP, &stack.billing.secret, 204, "");
    assert_all(200);
    // It is a path of the gate's, and no other is; nor may anybody write there.
    for (method, path) in [
        ("POST", "/mpgate/ready"),
        ("GET", "/mpgate/ready/x"),
        ("GET", "/mpgate/status"),
        ("GET", "/mpgate"),
    ] {
        let answer = stack.send(&Request::new(method, path)).expect("an answer");
        assert_eq!((answer.status, &*answer.reason()), (404, "unknown_path"), "{method} {path}");
    }
    let events = stack.collector.wait_for_events(1).expect("events");
    assert_eq!(events.len(), 1, "a probe went on");
    let log = stack.envoy.wait_for_access_log(12).expect("the access log");
    assert!(log.iter().any(|line| line["verdict"] == "probe" && line["action"] == "answer"));
    // Eight probes, and none of them counted.
    let metrics = stack.envoy.metrics().expect("metrics");
    let counted = |reason| metrics.sum("mpgate_requests_total", &[("reason", reason)]);
    let all = metrics.sum("mpgate_requests_total", &[]);
    assert!((counted("unknown_path") - 4.0).abs() < 0.5, "{metrics:?}");
    assert!((counted("none") - 1.0).abs() < 0.5, "{metrics:?}");
    assert!((all - 5.0 - counted("no_list")).abs() < 0.5, "{metrics:?}");
}

#[test]
fn what_is_answered_here_is_logged_without_its_query() {
    let directory = mpgate_testbed::directory().expect("a directory");
    let file = directory.path().join("status.log");
    let path = file.to_string_lossy().into_owned();
    let log_paths = move |config: &mut EnvoyConfig| {
        ready(config)?;
        // What nobody should write into an access log, and somebody will.
        let format = "/access_log/0/typed_config/log_format/json_format/path";
        let http = config.http()?;
        *http.pointer_mut(format).expect("a format") = "%REQ(:PATH)%".into();
        let mut log = http["access_log"].clone();
        log[0]["typed_config"]["path"] = path.into();
        let status = "/filter_chains/0/filters/0/typed_config";
        config.status_listener()?.pointer_mut(status).expect("HTTP")["access_log"] = log;
        Ok(())
    };
    let stack = Stack::builder().edit(log_paths).start().expect("a stack");
    let ready = Request::get("/mpgate/ready?api_secret=canary-of-a-probe");
    assert_eq!(stack.send(&ready).expect("an answer").status, 200);
    for path in ["/mpgate/status?api_secret=canary-of-a-page", "/x?api_secret=canary-of-a-slip"] {
        http1::send(stack.envoy.status_address(), &Request::get(path)).expect("an answer");
    }
    let probes = stack.envoy.wait_for_access_log(1).expect("the access log");
    assert_eq!(probes[0]["path"], "/mpgate/ready");
    let pages = poll::until("two lines of the status listener", SOON, || {
        fs::read_to_string(&file).ok().filter(|text| text.lines().count() == 2)
    });
    let pages = pages.expect("a log");
    assert!(pages.contains("/mpgate/status") && !pages.contains("canary"), "{pages}");
}

#[test]
fn without_being_told_to_a_gate_does_not_say_whether_it_is_ready() {
    let stack = Stack::start().expect("a stack");
    let answer = stack.send(&Request::get("/mpgate/ready")).expect("an answer");
    assert_eq!((answer.status, &*answer.reason()), (404, "unknown_path"));
}

#[test]
fn the_status_page_says_where_the_gate_stands() {
    let (front, lease) = envoy::nowhere().expect("an address");
    let stack = Stack::builder().edit(ready).control(front).without_list().start();
    let stack = stack.expect("a stack");
    let page = stack.envoy.status().expect("a page");
    assert_eq!((&page["ready"], &page["revision"]), (&json!(false), &json!(0)));
    drop(lease);
    let relay = Relay::at(front, &stack.control);
    let page = status(&stack, "a list", |page| page["ready"] == true);
    let expected = json!({
        "gate": "demo", "version": env!("CARGO_PKG_VERSION"),
        "capabilities": ["events", "source_networks", "certificate_names"],
        "mode": "enforce", "protocol_rules": "dry_run", "silent": false, "environment": null,
        "unknown_paths": "refuse", "max_staleness_seconds": 86_400, "when_stale": "last_list",
        "control": "mpgate_control", "phase": "live", "revision": stack.crm.revision,
        "entries": {"keys": 2, "streams": 2}, "origin": "control", "stale": false,
    });
    for (member, value) in expected.as_object().expect("members") {
        assert_eq!(&page[member], value, "{member}: {page:#}");
    }
    assert!(page["epoch"].as_str().is_some_and(|epoch| !epoch.is_empty()));
    assert!(page["last_sync_time"].as_u64().is_some_and(|time| time > 1_700_000_000));

    let key = stack.issue("till", &[SHOP]).expect("a key");
    status(&stack, "one more", |page| page["entries"]["keys"] == 3);
    stack.revoke(&key).expect("revoked");
    status(&stack, "one less", |page| page["entries"]["keys"] == 2);

    // What is wrong with a page is told for the whole Envoy, whoever polled.
    let refused =
        |fault: &str| stack.envoy.status().expect("a page")["refused_pages"][fault].clone();
    for (fault, body) in [("unreadable", "{}"), ("unreadable", "no"), ("bad_epoch", "")] {
        let before = refused(fault).as_u64().unwrap_or(0);
        let body = body.to_owned();
        relay.spoil(Box::new(move |response| {
            if body.is_empty() {
                let mut page: Value = response.json().expect("a page");
                page["epoch"] = "".into();
                return Answer::json(200, &page);
            }
            Answer::Respond(200, Vec::new(), body.into_bytes())
        }));
        let page = status(&stack, fault, |page| page["refused_pages"][fault] == before + 1);
        assert_eq!(page["results"][fault], before + 1);
        assert_eq!(page["entries"]["keys"], 2);
    }

    // No secret and no digest.
    let text = stack.envoy.status().expect("a page").to_string();
    let own = [&stack.billing.secret, &stack.crm.secret, &stack.gateway_token];
    assert!(own.iter().all(|secret| !text.contains(secret.as_str())), "{text}");
    let longest = text.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
    assert!(longest < Some(64), "a digest: {text}");
}

#[test]
fn the_status_listener_leads_nowhere() {
    let stack = Stack::start().expect("a stack");
    for (method, path) in [
        ("GET", "/"),
        ("POST", "/mpgate/status"),
        ("GET", "/mpgate/status/"),
        ("GET", "/mpgate/ready"),
        ("GET", "/stats"),
        ("GET", "/v1/allowlist/changes"),
    ] {
        let request = Request::new(method, path);
        let answer = http1::send(stack.envoy.status_address(), &request).expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (404, ""), "{method} {path}");
    }
    for secret in [&*stack.billing.secret, "guess"] {
        let event = mpgate_testbed::stack::purchase(SHOP, secret);
        let answer = http1::send(stack.envoy.status_address(), &event).expect("an answer");
        assert_eq!(answer.status, 404);
    }
    assert_eq!(answer(&stack, SHOP, &stack.billing.secret).0, 204);
    let events = stack.collector.wait_for_events(1).expect("events");
    assert_eq!(events.len(), 1, "only what came to the gate's own listener went on");
}
