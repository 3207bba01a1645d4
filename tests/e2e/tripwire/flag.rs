//! A forgotten `allow_on_headers_stop_iteration`: Envoy never shows the body that the gate waits for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mpgate_testbed::stack::{SHOP, purchase};

use super::way::{Caught, Way, open};

const FLAG: &str = "allow_on_headers_stop_iteration";

/// Below the shipped `stream_idle_timeout`, at which a request that nobody answers would end.
const IN_TIME: Duration = Duration::from_secs(8);

#[test]
fn a_forgotten_flag_is_answered_and_named() {
    let forgotten = Way::new("forgotten", Caught::Unavailable, |config| {
        let plugin = config.plugin().expect("a plugin").as_object_mut().expect("a plugin");
        plugin.remove(FLAG).expect("the flag");
    });
    let (stack, listeners) = open("demo.yaml", vec![forgotten]);
    let secret = &stack.billing.secret;
    listeners[0].wait_for_its_list();

    // To the shipped listener beside it, whose VM has never seen a body: a head, and nothing more.
    let mut slow = TcpStream::connect(stack.envoy.address()).expect("a connection");
    let body = r#"{"client_id":"1.2","events":[{"name":"purchase"}]}"#;
    let head = format!(
        "POST /mp/collect?measurement_id={SHOP}&api_secret={secret} HTTP/1.1\r\nhost: gate\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).expect("sent");

    for _ in 0..2 {
        let asked = Instant::now();
        let answer = listeners[0].send(&purchase(SHOP, secret));
        let took = asked.elapsed();
        assert_eq!((answer.status, answer.header("retry-after").as_deref()), (503, Some("1")));
        assert!(took < IN_TIME, "{took:?}");
    }
    assert!(stack.envoy.log().contains(FLAG), "the flag is not named");
    assert!(stack.collector.events().expect("events").is_empty());

    // By now the slow one has waited twice as long as the watch does. It is no victim of it.
    slow.write_all(body.as_bytes()).expect("sent");
    let mut told = String::new();
    slow.read_to_string(&mut told).expect("an answer");
    assert!(told.starts_with("HTTP/1.1 204 "), "{told}");
    assert_eq!(stack.envoy.log().matches(FLAG).count(), 2, "blamed, and not missing");
}
