//! What a client can say to get around the gate, or to make Envoy do what the client wants.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mpgate_testbed::http2::Http2;
use mpgate_testbed::port::Lease;
use mpgate_testbed::stack::{SHOP, purchase};
use mpgate_testbed::{Answer, Request, Stack, Upstream, http1};

use crate::answers::origin::speak_http2;

/// Above every timeout: what is slower hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Headers that Envoy obeys, or writes, where it trusts who sends them.
const ENVOYS: [(&str, &str); 19] = [
    ("x-envoy-original-path", "/elsewhere"),
    ("x-envoy-force-trace", "true"),
    ("x-envoy-retry-on", "5xx,reset"),
    ("x-envoy-retry-grpc-on", "internal"),
    ("x-envoy-retriable-status-codes", "500"),
    ("x-envoy-retriable-header-names", "server"),
    ("x-envoy-max-retries", "9"),
    ("x-envoy-upstream-alt-stat-name", "exploded"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-upstream-rq-per-try-timeout-ms", "1"),
    ("x-envoy-expected-rq-timeout-ms", "1"),
    ("x-envoy-hedge-on-per-try-timeout", "true"),
    ("x-envoy-decorator-operation", "exploded"),
    ("x-envoy-downstream-service-cluster", "exploded"),
    ("x-envoy-downstream-service-node", "exploded"),
    ("x-envoy-internal", "true"),
    ("x-envoy-external-address", "192.0.2.1"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-request-id", "11111111-1111-1111-1111-111111111111"),
];

/// Fails where a retry would be wanted; slower than the shortest timeout that a client may ask for.
fn failing() -> Upstream {
    let failure = Answer::Respond(500, Vec::new(), Vec::new());
    let slow = Answer::After(Duration::from_millis(50), Box::new(failure));
    Upstream::start(move |_| slow.clone()).expect("an upstream")
}

#[test]
fn envoys_own_headers_are_not_the_clients() {
    let upstream = failing();
    let stack = Stack::builder().upstream(upstream.address()).start().expect("a stack");
    for (name, value) in ENVOYS {
        let before = upstream.received().len();
        let request = purchase(SHOP, &stack.billing.secret).header(name, value);
        let answer = stack.send(&request).expect("an answer");
        assert_eq!(answer.status, 500, "{name}: {}", answer.text());
        let received = upstream.received().split_off(before);
        assert_eq!(received.len(), 1, "{name}: it was sent again");
        assert_ne!(received[0].header(name).as_deref(), Some(value), "{name} reached the upstream");
    }
    let stats = http1::send(stack.envoy.admin(), &Request::get("/stats")).expect("stats").text();
    assert!(!stats.contains("exploded"), "a client named a series");
    let log = stack.envoy.wait_for_access_log(ENVOYS.len()).expect("an access log");
    for line in log {
        assert_eq!(line["path"], "/mp/collect");
        assert_eq!(line["source"], "127.0.0.1");
        assert_ne!(line["request_id"], "11111111-1111-1111-1111-111111111111");
    }
}

/// Other ways to speak than to send an event.
fn other_ways(secret: &str) -> Vec<(&'static str, u16, String)> {
    let head = |method: &str, secret: &str, more: &str| {
        let path = format!("/mp/collect?measurement_id={SHOP}&api_secret={secret}");
        format!("{method} {path} HTTP/1.1\r\nhost: gate\r\nconnection: close{more}\r\n\r\n")
    };
    let upgrade = |to: &str| format!(", upgrade\r\nupgrade: {to}\r\ncontent-length: 0");
    vec![
        ("CONNECT to the upstream", 404, "CONNECT upstream:80 HTTP/1.1\r\nhost: x\r\n\r\n".into()),
        ("a websocket, guessed", 403, head("GET", "guess", &upgrade("websocket"))),
        ("a websocket, genuine", 403, head("GET", secret, &upgrade("websocket"))),
        ("another protocol", 403, head("POST", secret, &upgrade("raw"))),
        ("TRACE", 405, head("TRACE", secret, "")),
        ("OPTIONS *", 404, "OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into()),
        ("a method of no name", 400, head("POSTX", secret, "\r\ncontent-length: 0")),
    ]
}

#[test]
fn there_is_no_other_way_to_speak() {
    let stack = Stack::start().expect("a stack");
    let address = stack.envoy.address();
    for (name, status, bytes) in other_ways(&stack.billing.secret) {
        let answer = http1::send_bytes(address, bytes.as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
    let mut client = Http2::connect(address).expect("a connection");
    let answer = client.send(&Request::new("CONNECT", "/mp/collect")).expect("an answer");
    assert_eq!(answer.status, 404, "CONNECT over HTTP/2");
    assert!(stack.collector.events().expect("events").is_empty());
}

/// Requests in a row, and one in the body of another: each is judged, none is taken for two.
#[test]
fn a_request_behind_a_genuine_one_is_judged_too() {
    let stack = Stack::start().expect("a stack");
    let secret = &stack.billing.secret;
    let post = |secret: &str, more: &str, body: &str| {
        let path = format!("/mp/collect?measurement_id={SHOP}&api_secret={secret}");
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nhost: x\r\n{more}content-length: {length}\r\n\r\n{body}")
    };
    let hidden = post("guess", "", "{}");
    let rows = [
        (
            "one after the other",
            post(secret, "", "{}") + &post("guess", "connection: close\r\n", "{}"),
            ["204", "401"].as_slice(),
            1,
        ),
        ("one in the other", post(secret, "connection: close\r\n", &hidden), &["204"], 2),
        (
            "expecting to continue",
            post(secret, "expect: 100-continue\r\nconnection: close\r\n", "{}"),
            &["100", "204"],
            3,
        ),
    ];
    for (name, bytes, expected, events) in rows {
        let mut socket = TcpStream::connect(stack.envoy.address()).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.write_all(bytes.as_bytes()).expect("sent");
        let mut told = String::new();
        socket.read_to_string(&mut told).expect("an answer");
        let statuses: Vec<_> = told
            .lines()
            .filter_map(|line| line.strip_prefix("HTTP/1.1 ")?.split(' ').next())
            .collect();
        assert_eq!(statuses, expected, "{name}: {told}");
        assert_eq!(
            stack.collector.wait_for_events(events).expect("events").len(),
            events,
            "{name}"
        );
    }
}

/// An upstream that speaks HTTP/2 is sent a request's trailers, and may read them as headers.
#[test]
fn the_gates_own_words_are_removed_from_trailers_too() {
    let upstream = Upstream::start(|_| Answer::no_content()).expect("an upstream");
    let lease = Lease::any().expect("a port");
    let (origin, translator) = (upstream.address(), lease.address());
    let stack = Stack::builder()
        .upstream(translator)
        .edit(move |config| {
            speak_http2(config, origin, translator);
            Ok(())
        })
        .start()
        .expect("a stack");
    stack.add_stream("G-OFF0000001", Some("off"), "none").expect("a stream");
    let mut client = Http2::connect(stack.envoy.address()).expect("a connection");
    let trailers = [("x-mpgate-sender", "forged"), ("x-checksum", "abc")];
    // Nothing is left of what is written anew; what is not judged loses the gate's own words only.
    for (stream, secret, passes) in
        [(SHOP, &*stack.billing.secret, false), ("G-OFF0000001", "whatever", true)]
    {
        let request = purchase(stream, secret);
        let answer = client.send_with_trailers(&request, &trailers).expect("an answer");
        assert_eq!(answer.status, 204, "{stream}");
        let received = upstream.received().pop().expect("a request");
        assert_eq!(received.contains("x-checksum"), passes, "{stream}");
        assert!(!received.contains("forged"), "{stream}: the client speaks for the gate");
    }
}
