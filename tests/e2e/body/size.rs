//! Size: 130 000 bytes pass, one more is a 413, and nothing of it reaches the upstream.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use mpgate_testbed::Request;
use mpgate_testbed::http1::{self, Http1};
use mpgate_testbed::stack::{SHOP, Stack};

use super::ways::Way;
use super::{FREE, LOGIN, STRICT, Streams, assert_refused, login_of, to};
use crate::accounts::counted;
use crate::modes::gate_in;

const LARGEST_BYTES: usize = 130_000;

#[test]
fn the_largest_body_passes_and_one_byte_more_does_not() {
    let streams = Streams::on(Stack::start().expect("a stack"));
    let Streams { stack, web, orders } = &streams;
    let gate = stack.envoy.address();
    for (name, stream, key) in [
        ("rules in dry run", SHOP, web),
        ("rules enforced", STRICT, web),
        ("no rules", FREE, web),
        ("an event grant", FREE, orders),
    ] {
        for way in Way::ALL {
            let name = format!("{name}, {way:?}");
            let answer = way.send(gate, &to(stream, key), &login_of(LARGEST_BYTES));
            assert_eq!(answer.status, 204, "{name}: {}", answer.text());
            let events = stack.collector.wait_for_events(1).expect("an event");
            stack.collector.forget().expect("forgotten");
            assert_eq!(events[0].body_bytes(), LARGEST_BYTES as u64, "{name}");
            assert!(events[0].body().starts_with(LOGIN), "{name}");

            let answer = way.send(gate, &to(stream, key), &login_of(LARGEST_BYTES + 1));
            assert_eq!(answer.status, 413, "{name}: {}", answer.text());
            // Where the gate asks for no body, Envoy's own filter behind it has the limit.
            let reason = if name.starts_with("no rules") { "" } else { "body_too_large" };
            assert_eq!(answer.reason(), reason, "{name}");
        }
    }

    // It is not waited for: the answer comes while most of it is still to be sent.
    for (stream, key) in [(SHOP, web), (FREE, web), (FREE, orders)] {
        let head = format!(
            "POST /mp/collect?measurement_id={stream}&api_secret={} HTTP/1.1\r\nhost: gate\r\n\
             content-length: 10000000\r\n\r\n",
            key.secret
        );
        let sent = [head.as_bytes(), &login_of(2 * LARGEST_BYTES)].concat();
        let answer = http1::send_bytes(gate, &sent).expect("an answer");
        assert_eq!(answer.status, 413, "{stream}: {}", answer.text());
    }
    assert_eq!(streams.events_at_the_collector(), 0);
    assert_eq!(stack.envoy.stat("wasm.mpgate.vm_reload_success").expect("a stat"), 0);
}

#[test]
fn a_dry_run_refuses_what_is_too_large() {
    let stack = Stack::builder().edit(gate_in("dry_run")).start().expect("a stack");
    let streams = Streams::on(stack);
    let Streams { stack, web, orders } = &streams;
    let gate = stack.envoy.address();
    // One byte more; all that Envoy reads at once; more than it buffers.
    let sizes = [LARGEST_BYTES + 1, 262_200, 400_000];
    let stranger = Request::post(format!("/mp/collect?measurement_id={SHOP}&api_secret=guessed"));
    for (name, head, reason) in [
        ("rules", to(SHOP, web), "body_too_large"),
        ("an event grant", to(SHOP, orders), "body_too_large"),
        // The gate asks for no body: Envoy's own filter behind it has the limit.
        ("a stranger", stranger, ""),
    ] {
        for way in Way::ALL {
            for bytes in sizes {
                let name = format!("{name}, {way:?}, {bytes} bytes");
                let answer = way.send(gate, &head, &login_of(bytes));
                assert_eq!(answer.status, 413, "{name}: {}", answer.text());
                assert_eq!(answer.reason(), reason, "{name}");
            }
        }
    }
    assert_eq!(streams.events_at_the_collector(), 0);
    let each = (Way::ALL.len() * sizes.len()) as u64;
    let series = |sender: &str, outcome: &str, reason: &str| {
        ([sender, SHOP, outcome, reason].map(str::to_owned), each)
    };
    let expected = [
        series("orders", "refused", "body_too_large"),
        series("web", "refused", "body_too_large"),
        series("unknown", "dry_run", "unknown_secret"),
    ];
    assert_eq!(counted(stack), BTreeMap::from(expected));
}

#[test]
fn no_body_and_bodies_that_wait_to_be_asked_for() {
    let streams = Streams::on(Stack::start().expect("a stack"));
    let Streams { stack, web, orders } = &streams;
    let gate = stack.envoy.address();
    for way in Way::ALL {
        let name = format!("no body, {way:?}");
        assert_eq!(way.send(gate, &to(FREE, web), b"").status, 204, "{name}");
        assert_eq!(way.send(gate, &to(SHOP, web), b"").status, 204, "{name}");
        assert_refused(&name, &way.send(gate, &to(STRICT, web), b""), 400, "body_unreadable");
        assert_refused(&name, &way.send(gate, &to(FREE, orders), b""), 400, "body_unreadable");
    }
    let forwarded = 2 * Way::ALL.len();
    assert_eq!(stack.collector.wait_for_events(forwarded).expect("events").len(), forwarded);
    stack.collector.forget().expect("forgotten");

    let asks = |stream: &str, secret: &str| {
        let length = LOGIN.len();
        format!(
            "POST /mp/collect?measurement_id={stream}&api_secret={secret} HTTP/1.1\r\nhost: gate\r\n\
             content-length: {length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
        )
    };
    for stream in [SHOP, STRICT, FREE] {
        let mut socket = TcpStream::connect(gate).expect("a connection");
        socket.write_all(asks(stream, &web.secret).as_bytes()).expect("sent");
        let mut interim = [0; 25];
        socket.read_exact(&mut interim).expect("an interim answer");
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n", "{stream}");
        let answer = Http1::over(socket, "gate").send_bytes(LOGIN.as_bytes());
        assert_eq!(answer.expect("an answer").status, 204, "{stream}");
    }
    assert_eq!(stack.collector.wait_for_events(3).expect("events").len(), 3);

    // Who is refused by the head is refused before the body was sent.
    let mut client = Http1::connect(gate).expect("a connection");
    let answer = client.send_bytes(asks(STRICT, "guessed").as_bytes()).expect("an answer");
    assert_refused("expect: 100-continue", &answer, 401, "unknown_secret");
    assert_eq!(streams.events_at_the_collector(), 3);
}
