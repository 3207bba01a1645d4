//! The test bed itself: both shipped configurations carry an event from a sender to the collector,
//! and nothing that was started stays behind.

use mpgate_testbed::stack::{SHOP, Stack, purchase};
use mpgate_testbed::{http1, poll};
use std::time::Duration;

fn carries_an_event(config: &str) {
    let stack = Stack::builder().config(config).start().expect("a stack");
    let answer = stack.send(&purchase(SHOP, &stack.billing.secret)).expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
    let events = stack.collector.wait_for_events(1).expect("an event");
    assert_eq!(events[0].header("x-mpgate-sender"), Some("billing"));
    assert!(!events[0].contains(&stack.billing.secret));

    let spoofed = stack.send(&purchase(SHOP, "guessed")).expect("an answer");
    assert_eq!((spoofed.status, &*spoofed.reason()), (401, "unknown_secret"));
    let log = stack.envoy.wait_for_access_log(2).expect("two lines");
    assert_eq!(log[0]["sender"], "billing");
    assert_eq!(log[1]["reason"], "unknown_secret");

    let (envoy, collector) = (stack.envoy.address(), stack.collector.address());
    drop(stack);
    for address in [envoy, collector] {
        let gone = || std::net::TcpStream::connect(address).is_err().then_some(());
        poll::until("the end of everything", Duration::from_secs(5), gone).expect("gone");
        assert!(http1::send_bytes(address, b"").is_err());
    }
}

#[test]
fn the_demo_carries_an_event() {
    carries_an_event("demo.yaml");
}

#[cfg(feature = "tls")]
#[test]
fn production_carries_an_event_with_tls_on_every_side() {
    carries_an_event("production.yaml");
}

#[cfg(all(feature = "tls", feature = "http2"))]
#[test]
fn production_speaks_http2_too() {
    use mpgate_testbed::http2::Http2;
    use mpgate_testbed::stack::LISTENER_NAME;

    let stack = Stack::builder().config("production.yaml").start().expect("a stack");
    let authority = stack.authority().expect("an authority");
    let address = stack.envoy.address();
    let mut client = Http2::connect_tls(address, authority, LISTENER_NAME).expect("HTTP/2");
    let genuine = purchase(SHOP, &stack.billing.secret);
    let statuses: Vec<u16> = client
        .send_all(&[genuine.clone(), purchase(SHOP, "guessed"), genuine])
        .expect("answers")
        .iter()
        .map(|answer| answer.status)
        .collect();
    assert_eq!(statuses, [204, 401, 204]);
}
