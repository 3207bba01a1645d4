//! Control is away: the last list stays. Control was never there: nobody can be told from a forger.

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{CLUB, SHOP, Stack, purchase};
use mpgate_testbed::{Request, envoy, poll};

use super::relay::Relay;
use super::{SOON, answer, results, wait_for_answer};

#[test]
fn the_last_list_stays_while_control_is_down() {
    let mut stack = Stack::start().expect("a stack");
    let revoked = stack.issue("till", &[SHOP]).expect("a key");
    stack.revoke(&revoked).expect("revoked");
    let expected = [
        (SHOP, stack.billing.secret.clone(), 204, ""),
        (CLUB, stack.crm.secret.clone(), 204, ""),
        (SHOP, revoked.secret.clone(), 403, "revoked"),
        (SHOP, "guessed".to_owned(), 401, "unknown_secret"),
        (CLUB, stack.billing.secret.clone(), 403, "stream_not_granted"),
    ];
    let assert_as_ever = |stack: &Stack, when: &str| {
        for (stream, secret, status, reason) in &expected {
            let got = answer(stack, stream, secret);
            assert_eq!((got.0, &*got.1), (*status, *reason), "{when}");
        }
    };
    assert_as_ever(&stack, "before");
    let synced = "mpgate_allowlist_last_sync_timestamp_seconds";
    stack.control.kill();
    let last = stack.envoy.metrics().expect("metrics").sum(synced, &[]);
    for times in 1..=4 {
        let unreachable = [("result", "unreachable")];
        stack
            .envoy
            .wait_for_metric("mpgate_sync_total", &unreachable, f64::from(times))
            .expect("asked");
        assert_as_ever(&stack, &format!("after {times} questions that nobody answered"));
    }
    let log = stack.envoy.log();
    assert_eq!(log.matches("no news from control: unreachable").count(), 1, "said once: {log}");
    let metrics = stack.envoy.metrics().expect("metrics");
    assert!(metrics.sum(synced, &[]) < last + 2.0, "a list that is not renewed looks renewed");

    stack.control.restart().expect("control is back");
    let new = stack.issue("bistro", &[SHOP]).expect("a key");
    assert_eq!(answer(&stack, SHOP, &new.secret).0, 204);
    assert_as_ever(&stack, "after control came back");
    stack.revoke(&stack.billing).expect("revoked");
    assert_eq!(answer(&stack, SHOP, &stack.billing.secret).1, "revoked");
    assert_eq!(answer(&stack, SHOP, &new.secret).0, 204);
}

#[test]
fn without_any_list_everybody_is_told_to_come_back() {
    let (nowhere, lease) = envoy::nowhere().expect("an address");
    let stack = Stack::builder().control(nowhere).without_list().start().expect("a stack");
    stack
        .envoy
        .wait_for_metric("mpgate_sync_total", &[("result", "unreachable")], 1.0)
        .expect("asked");
    let genuine = purchase(SHOP, &stack.billing.secret);
    let body = genuine.clone().header("content-type", "text/plain");
    for (name, request) in [
        ("a genuine event", genuine.clone()),
        ("another content type", body),
        ("a guessed secret", purchase(SHOP, "guessed")),
        ("no secret", Request::post("/mp/collect")),
        ("an unreadable query", Request::post("/mp/collect?%")),
        ("the debug endpoint", Request::post("/debug/mp/collect?api_secret=x")),
    ] {
        let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
        for answer in [stack.send(&request), http2.send(&request)] {
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, &*answer.reason()), (503, "no_list"), "{name}");
            assert_eq!(answer.header("retry-after").as_deref(), Some("1"), "{name}");
        }
    }
    // What needs no list is answered as ever.
    let status = |request: &Request| stack.send(request).expect("an answer").status;
    assert_eq!(status(&Request::post("/other")), 404);
    assert_eq!(status(&Request::get("/mp/collect")), 405);
    let unverified = [("outcome", "refused"), ("reason", "no_list"), ("sender", "unknown")];
    let counted = stack.envoy.metrics().expect("metrics").sum("mpgate_requests_total", &unverified);
    assert!((counted - 12.0).abs() < 0.5, "{counted} counted");
    let lines = stack.envoy.wait_for_access_log(14).expect("the access log");
    let told = lines.iter().filter(|line| line["verdict"] == "unverified").count();
    assert_eq!(told, 12, "{lines:?}");
    assert!(stack.collector.events().expect("events").is_empty());

    // It comes up at last.
    drop(lease);
    let _relay = Relay::at(nowhere, &stack.control);
    stack.envoy.wait_for_revision(stack.crm.revision).expect("the list");
    wait_for_answer(&stack, SHOP, &stack.billing.secret, 204, "");
    assert_eq!(answer(&stack, SHOP, "guessed").1, "unknown_secret");
}

#[test]
fn an_envoy_that_starts_again_needs_control_for_its_first_list() {
    let mut stack = Stack::start().expect("a stack");
    let revoked = stack.issue("till", &[SHOP]).expect("a key");
    stack.revoke(&revoked).expect("revoked");
    let told = |stack: &Stack, secret: &str| answer(stack, SHOP, secret);
    let is_back = |stack: &Stack| {
        // Until the list is there everybody is told to come back, and from then on it is as before.
        let back = poll::until("the first list", SOON, || {
            let got = told(stack, &stack.billing.secret);
            assert!((got.0, &*got.1) == (204, "") || got.1 == "no_list", "{got:?}");
            (got.0 == 204).then_some(())
        });
        back.expect("the list");
        assert_eq!(told(stack, &revoked.secret).1, "revoked");
        assert_eq!(told(stack, "guessed").1, "unknown_secret");
    };
    stack.envoy.restart().expect("Envoy");
    is_back(&stack);

    // Control is away: that Envoy went on, and the next one has nothing to go by.
    stack.control.kill();
    assert_eq!(told(&stack, &stack.billing.secret).0, 204);
    stack.envoy.restart().expect("Envoy");
    for times in 1..=3 {
        let unreachable = [("result", "unreachable")];
        let asked = f64::from(times);
        stack.envoy.wait_for_metric("mpgate_sync_total", &unreachable, asked).expect("asked");
        for secret in [&*stack.billing.secret, &*revoked.secret, "guessed"] {
            let got = told(&stack, secret);
            assert_eq!((got.0, &*got.1), (503, "no_list"), "after {times} questions");
        }
    }
    stack.control.restart().expect("control is back");
    is_back(&stack);
}

#[test]
fn in_dry_run_a_missing_list_stops_nobody() {
    let (nowhere, _lease) = envoy::nowhere().expect("an address");
    let dry = |config: &mut mpgate_testbed::EnvoyConfig| {
        config.gate()?["mode"] = "dry_run".into();
        Ok(())
    };
    let stack =
        Stack::builder().edit(dry).control(nowhere).without_list().start().expect("a stack");
    for secret in [&*stack.billing.secret, "guessed"] {
        assert_eq!(answer(&stack, SHOP, secret).0, 204);
    }
    let would = [("outcome", "dry_run"), ("reason", "no_list")];
    let counted = stack.envoy.metrics().expect("metrics").sum("mpgate_requests_total", &would);
    assert!((counted - 2.0).abs() < 0.5, "{counted} counted");
    assert!(results(&stack.envoy, "applied") < 0.5, "there was no list");
    let events = stack.collector.wait_for_events(2).expect("events");
    assert!(events.iter().all(|event| event.header("x-mpgate-sender").is_none()), "{events:?}");
}
