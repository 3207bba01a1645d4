//! What the shipped configurations do before and behind the gate: limits, admin listener, the token
//! for control. One stack for each, since a limit that is spent stays spent.

use std::time::Duration;

use mpgate_testbed::stack::{CLUB, CONSUMER, SHOP, Stack, purchase};
use mpgate_testbed::{Answer, EnvoyConfig, Request, Upstream, http1, poll};

const SOON: Duration = Duration::from_secs(10);

/// One byte more than the protocol allows.
const TOO_LARGE_BYTES: usize = 130_001;

#[test]
fn a_sender_that_floods_takes_nobody_elses_place() {
    let few = |config: &mut EnvoyConfig| {
        let limit = config.http_filter("envoy.filters.http.local_ratelimit")?;
        let bucket = &mut limit["typed_config"]["descriptors"][0]["token_bucket"];
        bucket["max_tokens"] = 2.into();
        bucket["tokens_per_fill"] = 1.into();
        bucket["fill_interval"] = "3600s".into();
        Ok(())
    };
    let stack = Stack::builder().edit(few).start().expect("a stack");
    let billing = purchase(SHOP, &stack.billing.secret);
    let statuses: Vec<u16> =
        (0..3).map(|_| stack.send(&billing).expect("an answer").status).collect();
    assert_eq!(statuses, [204, 204, 429]);
    let refused = stack.send(&billing).expect("an answer");
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));

    // More others than Envoy keeps buckets for by default (20), each with a bucket of its own.
    let others: Vec<_> = (0..25)
        .map(|number| {
            stack.control.create_key(CONSUMER, &format!("sender-{number}"), &[SHOP]).expect("a key")
        })
        .collect();
    stack.envoy.wait_for_revision(stack.control.head().expect("a head")).expect("the keys");
    for other in &others {
        let answer = stack.send(&purchase(SHOP, &other.secret)).expect("an answer");
        assert_eq!(answer.status, 204, "{}", other.name);
    }
    assert_eq!(stack.send(&billing).expect("an answer").status, 429, "no fresh bucket");
}

#[test]
fn a_body_over_the_limit_reaches_nobody_and_shows_no_secret() {
    let stack = Stack::start().expect("a stack");
    let secret = &stack.crm.secret;
    // Blanks behind a value are JSON.
    let event = r#"{"client_id":"1.2","events":[{"name":"purchase"}]}"#;
    let mut body = event.as_bytes().to_vec();
    body.resize(TOO_LARGE_BYTES, b' ');
    let sized = purchase(CLUB, secret).body(&body);
    let path = format!("/mp/collect?measurement_id={CLUB}&api_secret={secret}");
    let mut chunked = format!("{TOO_LARGE_BYTES:x}\r\n").into_bytes();
    chunked.extend(&body);
    chunked.extend(b"\r\n0\r\n\r\n");
    let chunked = Request::post(path).header("transfer-encoding", "chunked").body(chunked);
    let unknown = purchase(CLUB, "guessed").body(&body);
    for request in [&sized, &chunked] {
        assert_eq!(stack.send(request).expect("an answer").status, 413);
    }
    assert_eq!(stack.send(&unknown).expect("an answer").status, 401, "not held first");
    let largest = purchase(CLUB, secret).body(&body[..TOO_LARGE_BYTES - 1]);
    assert_eq!(stack.send(&largest).expect("an answer").status, 204);

    stack.envoy.wait_for_access_log(4).expect("four lines");
    assert_eq!(stack.collector.events().expect("events").len(), 1);
    let upstream = mpgate_testbed::stack::UPSTREAM_SECRET;
    for text in [stack.envoy.log(), stack.envoy.access_log_text()] {
        assert!(!text.contains(secret) && !text.contains(upstream), "{text}");
    }
}

#[test]
fn the_admin_listener_shows_counters_and_nothing_else() {
    let stack = Stack::start().expect("a stack");
    let status =
        |request: &Request| http1::send(stack.envoy.admin(), request).expect("an answer").status;
    for path in ["/ready", "/stats", "/stats/prometheus", "/stats?usedonly"] {
        assert_eq!(status(&Request::get(path)), 200, "{path}");
    }
    for path in ["/", "/config_dump", "/certs", "/clusters", "/server_info", "/stats/recentlookups"]
    {
        assert_eq!(status(&Request::get(path)), 403, "{path}");
    }
    for path in ["/quitquitquit", "/logging?level=debug", "/runtime_modify", "/reset_counters"] {
        assert_eq!(status(&Request::post(path)), 403, "{path}");
    }
}

#[test]
fn the_gateways_token_is_added_by_envoy_and_rotated_without_a_restart() {
    let control = Upstream::start(|_| Answer::Respond(503, Vec::new(), Vec::new()))
        .expect("a control that is down");
    let stack =
        Stack::builder().control(control.address()).without_list().start().expect("a stack");
    let bears = |token: &str| {
        let bearer = format!("Bearer {token}");
        let last = control.received().pop()?;
        (last.header("authorization")? == bearer).then_some(())
    };
    let token = stack.gateway_token.clone();
    poll::until("the token", SOON, || bears(&token)).expect("it is sent");
    // A file written by hand ends in a newline.
    stack.envoy.replace_gateway_token("another-token\n").expect("written");
    poll::until("the other token", SOON, || bears("another-token")).expect("it is sent");
    assert!(!stack.envoy.log().contains(&token), "the token is in no log");
}

#[test]
fn headers_that_only_look_alike_are_refused() {
    let stack = Stack::start().expect("a stack");
    let request = purchase(SHOP, &stack.billing.secret);
    let underscored = request.clone().header("x_mpgate_sender", "crm");
    assert_eq!(stack.send(&underscored).expect("an answer").status, 400);
    // What a client says of itself is replaced by what the gate knows.
    let claimed = request
        .header("x-mpgate-sender", "crm")
        .header("x-forwarded-for", "192.0.2.7")
        .header("x-envoy-retry-on", "5xx");
    assert_eq!(stack.send(&claimed).expect("an answer").status, 204);
    let events = stack.collector.wait_for_events(1).expect("an event");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].header("x-mpgate-sender"), Some("billing"));
    for absent in ["x-forwarded-for", "x-envoy-retry-on", "x-envoy-external-address"] {
        assert_eq!(events[0].header(absent), None, "{absent}");
    }
}
