//! Rates: Envoy's own limits, per sender behind the gate and per source address in front of it.
//! Buckets are made small and never filled again here; the figures are the shipped files' business.

use std::net::{IpAddr, Ipv4Addr};

use mpgate_testbed::http1::Http1;
use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{CLUB, CONSUMER, SHOP, Stack, purchase};
use mpgate_testbed::{EnvoyConfig, IssuedKey, Request, Response};
use serde_json::{Value, json};

const SENDERS: usize = 100;

/// What each sender may send, and what the one with a limit of its own may.
const TOKENS: usize = 3;
const TOKENS_OF_THE_ONE: usize = 5;

/// What one address may cost in refusals.
const REFUSALS: usize = 4;

/// A bucket that is not filled again while a test runs.
fn bucket(tokens: usize) -> Value {
    json!({"max_tokens": tokens, "tokens_per_fill": 1, "fill_interval": "3600s"})
}

#[test]
fn a_hundred_senders_each_with_a_bucket_of_its_own() {
    let stack = Stack::builder()
        .edit(|config| {
            let limit =
                &mut config.http_filter("envoy.filters.http.local_ratelimit")?["typed_config"];
            limit["descriptors"] = json!([
                {"entries": [{"key": "sender"}], "token_bucket": bucket(TOKENS)},
                {"entries": [{"key": "sender", "value": "nightly-import"}],
                 "token_bucket": bucket(TOKENS_OF_THE_ONE)},
            ]);
            // A refusal would be a 204 now; a 429 stays one.
            config.gate()?["silent"] = true.into();
            Ok(())
        })
        .start()
        .expect("a stack");
    let keys: Vec<IssuedKey> = (0..SENDERS)
        .map(|number| {
            let sender = if number == 1 { "nightly-import" } else { &*format!("sender-{number}") };
            stack.control.create_key(CONSUMER, sender, &[SHOP]).expect("a key")
        })
        .collect();
    stack.envoy.wait_for_revision(keys[SENDERS - 1].revision).expect("the keys");
    let send = |number: usize| {
        let request = purchase(SHOP, &keys[number].secret).header("x-mpgate-sender", "sender-99");
        stack.send(&request).expect("an answer")
    };

    for _ in 0..TOKENS {
        assert_eq!(send(0).status, 204);
    }
    assert_limited("a sender that ran dry", &send(0));
    for number in 1..SENDERS {
        let tokens = if number == 1 { TOKENS_OF_THE_ONE } else { TOKENS };
        let statuses: Vec<u16> = (0..=tokens).map(|_| send(number).status).collect();
        let expected = [&vec![204; tokens][..], &[429]].concat();
        assert_eq!(statuses, expected, "sender {number}: neither forged away nor spent by others");
    }
    assert_limited("no fresh bucket after 99 others", &send(0));
    let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
    let answer = http2.send(&purchase(SHOP, &keys[0].secret)).expect("an answer");
    assert_limited("the same bucket over HTTP/2", &answer);

    // A second key of that sender is no second bucket, and who is refused names no sender.
    let second = stack.issue("sender-0", &[SHOP]).expect("a key");
    assert_limited(
        "a second key",
        &stack.send(&purchase(SHOP, &second.secret)).expect("an answer"),
    );
    let guessed = purchase(SHOP, "guessed").header("x-mpgate-sender", "sender-0");
    assert_eq!(stack.send(&guessed).expect("an answer").status, 204, "silent");

    let forwarded = (SENDERS - 1) * TOKENS + TOKENS_OF_THE_ONE;
    let counted = stack.envoy.stat("per_sender.http_local_rate_limit.rate_limited");
    assert_eq!(counted.expect("a stat"), 3 + SENDERS as u64, "{forwarded} forwarded");
    let reached = stack.envoy.stat("cluster.analytics.upstream_rq_total").expect("a stat");
    assert_eq!(reached, forwarded as u64);
}

/// A stack in which an address may cost few refusals.
fn few_refusals() -> Stack {
    let few = |config: &mut EnvoyConfig| {
        let host = "/route_config/virtual_hosts/0/typed_per_filter_config/per_source/descriptors/0";
        let shared = config.http()?.pointer_mut(host).expect("the shared buckets");
        shared["token_bucket"] = bucket(REFUSALS);
        let front = &mut config.http_filter("per_source")?["typed_config"]["descriptors"][0];
        front["token_bucket"] = bucket(REFUSALS);
        Ok(())
    };
    Stack::builder().edit(few).start().expect("a stack")
}

#[test]
fn an_address_pays_for_what_is_refused_and_for_nothing_else() {
    let stack = few_refusals();
    stack.add_stream("G-DRYRUN0001", Some("dry_run"), "none").expect("a stream");
    stack.add_stream("G-OFF0000001", Some("off"), "none").expect("a stream");
    let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
    let genuine = purchase(SHOP, &stack.billing.secret);
    for round in 0..3 * REFUSALS {
        for (name, request) in [
            ("genuine", &genuine),
            ("without a body", &Request::post(genuine_target(&stack))),
            ("dry_run", &purchase("G-DRYRUN0001", "guessed")),
            ("off", &purchase("G-OFF0000001", "guessed")),
        ] {
            assert_eq!(stack.send(request).expect("an answer").status, 204, "{name} {round}");
            let answer = http2.send(request).expect("an answer");
            assert_eq!(answer.status, 204, "{name} {round}, HTTP/2");
        }
    }

    for event in stack.collector.events().expect("events") {
        assert_eq!(event.header("x-mpgate-unjudged"), None, "the mark stays in the gateway");
    }

    // Whatever the sender writes, it pays: four refusals, then nothing from this address.
    let forged = purchase(SHOP, "guessed")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-mpgate-sender", "billing")
        .header("x-mpgate-unjudged", "0");
    assert_eq!(stack.send(&forged).expect("an answer").status, 401);
    assert_eq!(stack.send(&genuine).expect("an answer").status, 204);
    assert_eq!(http2.send(&forged).expect("an answer").status, 401);
    assert_eq!(stack.send(&purchase(CLUB, &stack.billing.secret)).expect("an answer").status, 403);
    // With one token left there is still room for any number of genuine requests, one by one.
    for _ in 0..3 {
        assert_eq!(stack.send(&genuine).expect("an answer").status, 204);
    }
    assert_eq!(stack.send(&forged).expect("an answer").status, 401);
    assert_limited("a forger", &stack.send(&forged).expect("an answer"));
    assert_limited("a forger over HTTP/2", &http2.send(&forged).expect("an answer"));
    assert_limited("its neighbour", &stack.send(&genuine).expect("an answer"));

    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let mut other = Http1::connect_from(elsewhere, stack.envoy.address()).expect("a connection");
    assert_eq!(other.send(&genuine).expect("an answer").status, 204, "another address");
    assert_eq!(other.send(&forged).expect("an answer").status, 401, "another address");

    // The gate saw none of those that were limited.
    let unknown = [("reason", "unknown_secret"), ("outcome", "refused")];
    let metrics = stack.envoy.metrics().expect("metrics");
    assert!((metrics.sum("mpgate_requests_total", &unknown) - 4.0).abs() < f64::EPSILON);
    let limited = stack.envoy.stat("per_source.http_local_rate_limit.rate_limited");
    assert_eq!(limited.expect("a stat"), 3);
}

fn genuine_target(stack: &Stack) -> String {
    format!("/mp/collect?measurement_id={SHOP}&api_secret={}", stack.billing.secret)
}

#[test]
fn paths_that_have_no_route_are_paid_for_too() {
    let stack = few_refusals();
    let wrong = Request::post(genuine_target(&stack).replace("/mp/", "/g/"));
    for _ in 0..REFUSALS {
        assert_eq!(stack.send(&wrong).expect("an answer").status, 404);
    }
    assert_limited("a prober", &stack.send(&wrong).expect("an answer"));
    let genuine = purchase(SHOP, &stack.billing.secret);
    assert_eq!(stack.send(&genuine).expect("an answer").status, 204, "another bucket");
}

fn assert_limited(name: &str, answer: &Response) {
    assert_eq!((answer.status, &*answer.reason()), (429, "rate_limited"), "{name}: {answer:?}");
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"), "{name}");
    let content_type = answer.header("content-type");
    assert_eq!(content_type.as_deref(), Some("application/problem+json"), "{name}");
    assert_eq!(answer.json().expect("a problem")["status"], 429, "{name}");
}
