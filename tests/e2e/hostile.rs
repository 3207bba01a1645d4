//! Nothing a client sends traps the gate's VM or reaches the upstream unjudged.
//!
//! One worker, so one VM: whatever a row does to it, the genuine event behind the row meets it.

mod framing;
mod http2;
mod own_headers;
mod rewrites;

use mpgate_testbed::stack::{SHOP, Stack, purchase};
use mpgate_testbed::{Request, http1};

/// What these tests look at after each row.
struct Gate {
    stack: Stack,
    genuine: usize,
}

impl Gate {
    fn start() -> Self {
        let stack = Stack::builder().concurrency(1).start().expect("a stack");
        Self { stack, genuine: 0 }
    }

    /// Checks that the VM is the one that was started and that a genuine event passes.
    fn is_well_after(&mut self, name: &str) {
        let genuine = purchase(SHOP, &self.stack.billing.secret);
        let answer = self.stack.send(&genuine).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(answer.status, 204, "{name}: {}", answer.text());
        self.genuine += 1;
        for stat in ["success", "backoff", "failure"] {
            let stat = format!("wasm.mpgate.vm_reload_{stat}");
            assert_eq!(self.stack.envoy.stat(&stat).expect("a stat"), 0, "{name}: {stat}");
        }
    }

    /// Checks that nothing but the genuine events reached the upstream.
    fn let_nothing_through(&self) {
        let events = self.stack.collector.wait_for_events(self.genuine).expect("events");
        for event in &events {
            assert_eq!(event.path(), format!("/mp/collect?measurement_id={SHOP}"), "{event:?}");
            assert_eq!(event.header("x-mpgate-sender"), Some("billing"), "{event:?}");
        }
        assert_eq!(events.len(), self.genuine);
        let log = self.stack.envoy.log();
        assert!(!log.contains("panicked") && !log.contains("Function: proxy_on"), "{log}");
    }
}

/// A spoofed event, with more.
fn spoofed() -> Request {
    Request::post(format!("/mp/collect?measurement_id={SHOP}&api_secret=guessed")).body("{}")
}

/// A spoofed event's path, with more behind it.
fn target(more: &[u8]) -> Vec<u8> {
    [format!("/mp/collect?measurement_id={SHOP}&api_secret=guessed").as_bytes(), more].concat()
}

fn rows() -> Vec<(&'static str, Request)> {
    let to = |more: &[u8]| Request::post(target(more)).body("{}");
    let many = |pair: &str, times: usize| to(pair.repeat(times).as_bytes());
    let long = |bytes: usize| "y".repeat(bytes);
    let headers = |count: usize| {
        (0..count).fold(spoofed(), |request, number| request.header(format!("x-{number}"), "v"))
    };
    vec![
        ("a value that is no text", spoofed().header("x-sender", b"\xff\xfe")),
        ("every byte in a value", spoofed().header("x-sender", (0x80..=0xff).collect::<Vec<u8>>())),
        ("a name that is no text", spoofed().header(b"x-\xff\xfe", "v")),
        ("a user agent that is no text", spoofed().header("user-agent", b"\xc3\x28\xf0\x90")),
        ("a content type that is no text", spoofed().header("content-type", b"\xff")),
        ("a content coding that is no text", spoofed().header("content-encoding", b"\xff")),
        ("an origin that is no text", spoofed().header("origin", b"\xff\xff")),
        ("an authorization that is no text", spoofed().header("authorization", b"Bearer \xff")),
        ("a forwarded address that is no text", spoofed().header("x-forwarded-for", b"\xff")),
        ("a request id that is no text", spoofed().header("x-request-id", b"\xff\xfe")),
        ("our header, no text", spoofed().header("x-mpgate-sender", b"\xff\xfe")),
        ("our header, its name no text", spoofed().header(b"x-mpgate-\xff", "v")),
        ("a host that is no text", spoofed().header("host", b"\xff")),
        ("NUL in a value", spoofed().header("x-sender", b"a\0b")),
        ("NUL in a name", spoofed().header(b"x-\0", "v")),
        ("a value of 50 kB", spoofed().header("x-long", long(50_000))),
        ("a value of 70 kB", spoofed().header("x-long", long(70_000))),
        ("a name of 30 kB", spoofed().header(long(30_000), "v")),
        ("an empty value", spoofed().header("x-empty", "")),
        ("an empty name", spoofed().header("", "v")),
        ("100 headers", headers(90)),
        ("101 headers", headers(101)),
        ("1 000 headers", headers(1_000)),
        ("10 000 headers", headers(10_000)),
        (
            "one header 90 times",
            (0..90).fold(spoofed(), |request, _| request.header("x-same", "v")),
        ),
        ("path bytes that are no text", to(b"&x=\xff\xfe")),
        ("path escapes that are no text", to(b"&x=%ff%fe&%ff=%c3%28")),
        ("NUL in the path", to(b"&x=\0")),
        ("NUL as an escape", to(b"&x=%00&%00=1")),
        ("a path of 8 kB", to(long(8_000).as_bytes())),
        ("a path of 55 kB", to(long(55_000).as_bytes())),
        ("a path of 100 kB", to(long(100_000).as_bytes())),
        ("10 000 query pairs", many("&a=1", 10_000)),
        ("10 000 empty pairs", many("&", 10_000)),
        ("10 000 secrets", many("&api_secret", 4_000)),
        ("3 000 streams", many("&measurement_id=G-1", 3_000)),
        ("10 000 equals signs", many("=", 10_000)),
        ("10 000 percent signs", many("%", 10_000)),
        ("15 000 escapes", many("%41", 15_000)),
        ("10 000 question marks", many("?", 10_000)),
        ("a secret of 50 kB", Request::post(format!("/mp/collect?api_secret={}", long(50_000)))),
        (
            "a stream of 50 kB",
            Request::post(format!("/mp/collect?api_secret=x&measurement_id={}", long(50_000))),
        ),
        (
            "a stream that is no text",
            Request::post("/mp/collect?api_secret=x&measurement_id=%ff%fe"),
        ),
        (
            "an app that is no text",
            Request::post("/mp/collect?api_secret=x&firebase_app_id=%c3%28%00"),
        ),
        (
            "a secret that is no text",
            Request::post(format!("/mp/collect?api_secret=%ff%fe%00&measurement_id={SHOP}")),
        ),
        (
            "half a secret of ours",
            Request::post(format!("/mp/collect?api_secret=mpg_%ff&measurement_id={SHOP}")),
        ),
        ("pseudo-headers as headers", spoofed().header(":path", "/x").header(":method", "GET")),
        ("half a pseudo-header", spoofed().header(":", "v").header(":status", "200")),
        ("two hosts", spoofed().header("host", "a").header("host", "b")),
        ("a method of 1 kB", Request::new(&long(1_000), target(b""))),
        ("an upgrade", spoofed().header("connection", "upgrade").header("upgrade", "websocket")),
        (
            "an upgrade to HTTP/2",
            spoofed()
                .header("connection", "upgrade, http2-settings")
                .header("upgrade", "h2c")
                .header("http2-settings", "AAMAAABkAAQ"),
        ),
        (
            "Envoy's own headers",
            spoofed()
                .header("x-envoy-original-path", "/mp/collect")
                .header("x-envoy-internal", "true")
                .header("x-envoy-retry-on", "5xx")
                .header("x-envoy-upstream-alt-stat-name", "\""),
        ),
    ]
}

#[test]
fn no_request_traps_the_vm() {
    let mut gate = Gate::start();
    let mut judged = Vec::new();
    for (name, request) in rows() {
        // Some are refused by Envoy, some by the gate, and some end the connection.
        if let Ok(answer) = gate.stack.send(&request) {
            let refused = (400..500).contains(&answer.status);
            assert!(refused, "{name}: {} {}", answer.status, answer.text());
            if !answer.reason().is_empty() {
                judged.push(name);
            }
        }
        gate.is_well_after(name);
    }
    gate.let_nothing_through();
    // Rows that Envoy refuses say nothing of the gate.
    assert!(judged.len() >= 35, "only {} rows reached the gate: {judged:?}", judged.len());
}

#[test]
fn a_genuine_sender_may_be_odd() {
    let mut gate = Gate::start();
    let secret = gate.stack.billing.secret.clone();
    let genuine = || purchase(SHOP, &secret);
    let filler = |count: usize| {
        (0..count).fold(genuine(), |request, number| request.header(format!("x-{number}"), "v"))
    };
    for (name, request, status) in [
        ("a value that is no text", genuine().header("x-odd", b"\xff\xfe"), 204),
        ("a user agent that is no text", genuine().header("user-agent", b"\xc3\x28"), 204),
        ("our header, no text", genuine().header("x-mpgate-sender", b"\xff"), 204),
        // A connection header names headers that the next hop drops: it does not name ours.
        ("our header, hop by hop", genuine().header("connection", "x-mpgate-sender"), 204),
        ("a value of 50 kB", genuine().header("x-long", "y".repeat(50_000)), 204),
        ("90 headers", filler(90), 204),
        ("101 headers", filler(101), 431),
    ] {
        let answer = http1::Http1::connect(gate.stack.envoy.address())
            .and_then(|mut client| client.send(&request))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        gate.genuine += usize::from(status == 204);
        gate.is_well_after(name);
    }
    gate.let_nothing_through();
}
