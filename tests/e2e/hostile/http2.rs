//! Odd HTTP/2, frame by frame.

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{SHOP, purchase};

use super::{Gate, target};
use crate::paths::frames::{Outcome, exchange};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A spoofed request's pseudo-headers, then these fields.
fn with(more: &[(&[u8], &[u8])]) -> Fields {
    let mut fields: Fields = vec![
        (b":method".to_vec(), b"POST".to_vec()),
        (b":scheme".to_vec(), b"http".to_vec()),
        (b":authority".to_vec(), b"gate.example.com".to_vec()),
        (b":path".to_vec(), target(b"")),
    ];
    fields.extend(more.iter().map(|(name, value)| (name.to_vec(), value.to_vec())));
    fields
}

fn without(name: &[u8]) -> Fields {
    with(&[]).into_iter().filter(|(known, _)| known != name).collect()
}

fn with_path(path: &[u8]) -> Fields {
    let mut fields = without(b":path");
    fields.push((b":path".to_vec(), path.to_vec()));
    fields
}

fn rows() -> Vec<(&'static str, Fields)> {
    let long = |bytes: usize| vec![b'y'; bytes];
    let many = |count: usize| {
        let mut fields = with(&[]);
        fields.extend((0..count).map(|number| (format!("x-{number}").into_bytes(), b"v".to_vec())));
        fields
    };
    vec![
        ("a value that is no text", with(&[(b"x-sender", b"\xff\xfe")])),
        ("a name that is no text", with(&[(b"x-\xff", b"v")])),
        ("a name in capitals", with(&[(b"X-MPGATE-SENDER", b"crm")])),
        ("an empty name", with(&[(b"", b"v")])),
        ("NUL in a value", with(&[(b"x-a", b"a\0b")])),
        ("a line break in a value", with(&[(b"x-a", b"a\r\nx-mpgate-sender: crm")])),
        ("a line break in a name", with(&[(b"x-a\r\nx-b", b"v")])),
        ("a second path", with(&[(b":path", b"/x")])),
        ("a second method", with(&[(b":method", b"GET")])),
        ("a pseudo-header behind headers", with(&[(b"x-a", b"b"), (b":path", b"/x")])),
        ("a pseudo-header that nobody knows", with(&[(b":sender", b"crm")])),
        ("a status", with(&[(b":status", b"200")])),
        ("a protocol", with(&[(b":protocol", b"websocket")])),
        ("no path", without(b":path")),
        ("an empty path", with_path(b"")),
        ("a star", with_path(b"*")),
        ("a path of 50 kB", with_path(&target(&long(50_000)))),
        ("a path of 100 kB", with_path(&target(&long(100_000)))),
        ("a path that is no text", with_path(&target(b"&x=\xff\xfe"))),
        ("10 000 query pairs", with_path(&target(&b"&a=1".repeat(10_000)))),
        ("no method", without(b":method")),
        ("no scheme", without(b":scheme")),
        ("no authority", without(b":authority")),
        ("an authority and a host", with(&[(b"host", b"other.example")])),
        ("a connection header", with(&[(b"connection", b"x-mpgate-sender")])),
        ("a transfer coding", with(&[(b"transfer-encoding", b"chunked")])),
        ("te", with(&[(b"te", b"gzip")])),
        ("a length that is too short", with(&[(b"content-length", b"1")])),
        ("a length that is too long", with(&[(b"content-length", b"2000")])),
        ("two lengths", with(&[(b"content-length", b"2"), (b"content-length", b"3")])),
        ("101 headers", many(101)),
        ("5 000 headers", many(5_000)),
        ("a value of 70 kB", with(&[(b"x-long", &long(70_000))])),
        ("cookies in crumbs", with(&[(b"cookie", b"a=\xff"), (b"cookie", b"b"), (b"cookie", b"")])),
    ]
}

/// The rows that the gate refuses for their secret. It sees the 10 000 pairs too; the other rows Envoy
/// refuses itself.
const JUDGED: &[&str] = &[
    "a value that is no text",
    "a path of 50 kB",
    "a path that is no text",
    "an authority and a host",
    "cookies in crumbs",
];

#[test]
fn no_frame_traps_the_vm() {
    let mut gate = Gate::start();
    let mut judged = Vec::new();
    for (name, fields) in rows() {
        let fields: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let outcome = exchange(gate.stack.envoy.address(), &fields, b"{}");
        if let Outcome::Status(status) = outcome {
            assert!((400..600).contains(&status), "{name}: {status}");
            if status == 401 {
                judged.push(name);
            }
        }
        gate.is_well_after(name);
    }
    gate.let_nothing_through();
    assert_eq!(judged, JUDGED);
}

#[test]
fn trailers_carry_nothing_to_the_upstream() {
    let mut gate = Gate::start();
    let secret = gate.stack.billing.secret.clone();
    for (name, trailers) in [
        ("our header", [("x-mpgate-sender", "forged")]),
        ("another secret", [("x-api-secret", "forged")]),
        ("a pseudo-trailer's look-alike", [("path", "forged")]),
    ] {
        let mut http2 = Http2::connect(gate.stack.envoy.address()).expect("HTTP/2");
        let spoofed = http2.send_with_trailers(&purchase(SHOP, "guessed"), &trailers);
        assert_eq!(spoofed.expect("an answer").status, 401, "{name}");
        let genuine = http2.send_with_trailers(&purchase(SHOP, &secret), &trailers);
        assert_eq!(genuine.expect("an answer").status, 204, "{name}");
        gate.genuine += 1;
        gate.is_well_after(name);
    }
    gate.let_nothing_through();
    let events = gate.stack.collector.events().expect("events");
    assert!(!events.iter().any(|event| event.contains("forged")), "{events:?}");
}
