//! Odd HTTP/1.1: what Envoy refuses, and what it lets reach the gate. Where two readers could see two
//! requests, the upstream must see none that was not judged.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use mpgate_testbed::stack::{SHOP, Stack, purchase};
use mpgate_testbed::{Answer, Upstream};

use super::Gate;

/// Above every timeout of the shipped configurations.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the second, smuggled request asks for.
const SMUGGLED: &str = "POST /mp/collect?measurement_id=G-SHOP000001&api_secret=smuggled HTTP/1.1\r\n\
                        host: a\r\ncontent-length: 2\r\n\r\n{}";

/// Writes the bytes and reads until so many responses are there, or the connection ends: the status
/// of each. Then ends the connection and reads what is left.
fn statuses(stack: &Stack, bytes: &[u8], count: usize) -> Vec<u16> {
    let mut socket = TcpStream::connect(stack.envoy.address()).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // Who refuses early closes early.
    let _early = socket.write_all(bytes);
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    let mut found = Vec::new();
    while found.len() < count {
        match socket.read(&mut part) {
            Ok(0) | Err(_) => return found,
            Ok(read) => text.extend(&part[..read]),
        }
        found = statuses_in(&text);
    }
    let _gone = socket.shutdown(Shutdown::Write);
    let _gone = socket.read_to_end(&mut text);
    statuses_in(&text)
}

fn statuses_in(text: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(text);
    let lines = text.split("HTTP/1.1 ").skip(1);
    lines.filter_map(|rest| rest.get(..3)?.parse().ok()).filter(|status| *status >= 200).collect()
}

/// A spoofed request with these headers and this body.
fn spoofed(headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /mp/collect?measurement_id={SHOP}&api_secret=guessed HTTP/1.1\r\nhost: a\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

type Row = (&'static str, Vec<u8>);

fn rows() -> Vec<Row> {
    [lengths_and_codings(), chunks_and_headers(), request_lines()].concat()
}

fn lengths_and_codings() -> Vec<Row> {
    let length = SMUGGLED.len();
    vec![
        (
            "length and chunks",
            spoofed(
                &format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        (
            "chunks and length",
            spoofed(
                "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        (
            "two lengths",
            spoofed(&format!("content-length: 0\r\ncontent-length: {length}\r\n"), SMUGGLED),
        ),
        ("the same length twice", spoofed("content-length: 2\r\ncontent-length: 2\r\n", "{}")),
        ("a list of lengths", spoofed("content-length: 2, 2\r\n", "{}")),
        ("a negative length", spoofed("content-length: -1\r\n", "{}")),
        ("a length with a sign", spoofed("content-length: +2\r\n", "{}")),
        (
            "a length of more than 64 bits",
            spoofed("content-length: 99999999999999999999999\r\n", "{}"),
        ),
        (
            "a length that is too short",
            spoofed("content-length: 2\r\n", &format!("{{}}{SMUGGLED}")),
        ),
        ("a length that is too long", spoofed("content-length: 200\r\n", "{}")),
        ("no length", spoofed("", SMUGGLED)),
        ("a coding that nobody knows", spoofed("transfer-encoding: xchunked\r\n", SMUGGLED)),
        (
            "chunked, identity",
            spoofed("transfer-encoding: chunked, identity\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
        ),
        (
            "identity, chunked",
            spoofed("transfer-encoding: identity, chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
        ),
        (
            "chunked twice",
            spoofed(
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                &format!("0\r\n\r\n{SMUGGLED}"),
            ),
        ),
        (
            "chunked with a tab",
            spoofed("transfer-encoding:\tchunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
        ),
        (
            "chunked behind a folded line",
            spoofed("transfer-encoding:\r\n chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
        ),
        (
            "chunked with a blank before the colon",
            spoofed("transfer-encoding : chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
        ),
    ]
}

fn chunks_and_headers() -> Vec<Row> {
    vec![
        (
            "a chunk's extension",
            spoofed("transfer-encoding: chunked\r\n", "2;x=\"\r\n{}\r\n0\r\n\r\n"),
        ),
        ("a chunk of no size", spoofed("transfer-encoding: chunked\r\n", "\r\n{}\r\n0\r\n\r\n")),
        (
            "a chunk of a huge size",
            spoofed("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n{}"),
        ),
        (
            "a chunk of a negative size",
            spoofed("transfer-encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk that ends early",
            spoofed("transfer-encoding: chunked\r\n", "5\r\n{}\r\n0\r\n\r\n"),
        ),
        (
            "trailers of ours",
            spoofed(
                "transfer-encoding: chunked\r\n",
                "2\r\n{}\r\n0\r\nx-mpgate-sender: crm\r\n\r\n",
            ),
        ),
        (
            "trailers that are no trailers",
            spoofed(
                "transfer-encoding: chunked\r\n",
                "2\r\n{}\r\n0\r\ncontent-length: 9\r\nhost: b\r\n\r\n",
            ),
        ),
        ("a folded header", spoofed("x-a: b\r\n c\r\ncontent-length: 0\r\n", "")),
        ("a bare line feed", spoofed("x-a: b\ncontent-length: 0\r\n", "")),
        (
            "a bare carriage return",
            spoofed("x-a: b\rx-mpgate-sender: crm\r\ncontent-length: 0\r\n", ""),
        ),
        ("a header without a colon", spoofed("nonsense\r\n", "")),
        ("a blank in a name", spoofed("x a: b\r\n", "")),
        (
            "a second spoofed request behind the first",
            [spoofed("content-length: 2\r\n", "{}"), SMUGGLED.into()].concat(),
        ),
    ]
}

fn request_lines() -> Vec<Row> {
    let line =
        |line: &str| format!("{line}\r\nhost: a\r\ncontent-length: 2\r\n\r\n{{}}").into_bytes();
    let collect = format!("/mp/collect?measurement_id={SHOP}&api_secret=guessed");
    vec![
        (
            "no host",
            format!("POST {collect} HTTP/1.1\r\ncontent-length: 2\r\n\r\n{{}}").into_bytes(),
        ),
        ("HTTP/1.0", line(&format!("POST {collect} HTTP/1.0"))),
        ("HTTP/0.9", format!("POST {collect}\r\n\r\n").into_bytes()),
        ("HTTP/9.9", line(&format!("POST {collect} HTTP/9.9"))),
        ("a method in lower case", line(&format!("post {collect} HTTP/1.1"))),
        ("a tab in the request line", line(&format!("POST\t{collect}\tHTTP/1.1"))),
        ("two blanks in the request line", line(&format!("POST  {collect}  HTTP/1.1"))),
        (
            "blank lines first",
            [b"\r\n\r\n\r\n".to_vec(), line(&format!("POST {collect} HTTP/1.1"))].concat(),
        ),
        (
            "a byte order mark first",
            [b"\xef\xbb\xbf".to_vec(), line(&format!("POST {collect} HTTP/1.1"))].concat(),
        ),
        ("TLS to a plain listener", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        (
            "a PROXY header",
            [
                b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n".to_vec(),
                line(&format!("POST {collect} HTTP/1.1")),
            ]
            .concat(),
        ),
        ("half of HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM".to_vec()),
        ("nothing", Vec::new()),
        ("NULs", vec![0; 10_000]),
    ]
}

/// What each row is answered: with a wrong secret, and with a good one in its place.
const ANSWERS: &[(&str, &[u16], &[u16])] = &[
    ("length and chunks", &[400], &[400]),
    ("chunks and length", &[400], &[400]),
    ("two lengths", &[400], &[400]),
    ("the same length twice", &[400], &[400]),
    ("a list of lengths", &[400], &[400]),
    ("a negative length", &[400], &[400]),
    ("a length with a sign", &[400], &[400]),
    ("a length of more than 64 bits", &[400], &[400]),
    ("a length that is too short", &[401], &[204, 401]),
    ("a length that is too long", &[401], &[]),
    ("no length", &[401, 401], &[204, 401]),
    ("a coding that nobody knows", &[501], &[501]),
    ("chunked, identity", &[501], &[501]),
    ("identity, chunked", &[501], &[501]),
    ("chunked twice", &[501], &[501]),
    ("chunked with a tab", &[401], &[204, 401]),
    ("chunked behind a folded line", &[401], &[204, 401]),
    ("chunked with a blank before the colon", &[400], &[400]),
    ("a chunk's extension", &[401], &[204]),
    ("a chunk of no size", &[401], &[400]),
    ("a chunk of a huge size", &[401], &[400]),
    ("a chunk of a negative size", &[401], &[400]),
    ("a chunk that ends early", &[401], &[400]),
    ("trailers of ours", &[401], &[204]),
    ("trailers that are no trailers", &[401], &[204]),
    ("a folded header", &[401], &[204]),
    ("a bare line feed", &[401], &[204]),
    ("a bare carriage return", &[401], &[204]),
    ("a header without a colon", &[400], &[400]),
    ("a blank in a name", &[400], &[400]),
    ("a second spoofed request behind the first", &[401], &[204, 401]),
    ("no host", &[400], &[400]),
    ("HTTP/1.0", &[426], &[426]),
    ("HTTP/0.9", &[426], &[426]),
    ("HTTP/9.9", &[426], &[426]),
    ("a method in lower case", &[400], &[400]),
    ("a tab in the request line", &[401], &[204]),
    ("two blanks in the request line", &[401], &[204]),
    ("blank lines first", &[401], &[204]),
    ("a byte order mark first", &[400], &[400]),
    ("TLS to a plain listener", &[400], &[400]),
    ("a PROXY header", &[400], &[400]),
    ("half of HTTP/2's preface", &[], &[]),
    ("nothing", &[], &[]),
    ("NULs", &[400], &[400]),
];

#[test]
fn odd_framing_smuggles_nothing() {
    let upstream = Upstream::start(|_| Answer::no_content()).expect("an upstream");
    let stack = Stack::builder().concurrency(1).upstream(upstream.address()).start();
    let stack = stack.expect("a stack");
    let rows = rows();
    assert_eq!(rows.len(), ANSWERS.len());
    let mut accepted = 0;
    for ((name, bytes), (known, spoofed, genuine)) in rows.iter().zip(ANSWERS) {
        assert_eq!(name, known);
        assert_eq!(statuses(&stack, bytes, spoofed.len()), *spoofed, "{name}, spoofed");
        let good = replace(bytes, b"guessed", stack.billing.secret.as_bytes());
        assert_eq!(statuses(&stack, &good, genuine.len()), *genuine, "{name}, genuine");
        accepted += genuine.iter().filter(|status| **status == 204).count();
        let received = upstream.received();
        assert_eq!(received.len(), accepted, "{name}: {received:?}");
        // The upstream's own reader finds one request in each, and one word of the gate's in that.
        let last = received.last().map(|last| String::from_utf8_lossy(&last.head).into_owned());
        let last = last.unwrap_or_default();
        let ours = last.matches("\r\nx-mpgate-sender: billing\r\n").count();
        assert_eq!(ours, usize::from(accepted > 0), "{name}: {last}");
        assert!(!last.contains("\nx-mpgate-sender: crm"), "{name}: {last}");
        assert_eq!(stack.envoy.stat("wasm.mpgate.vm_reload_success").expect("a stat"), 0, "{name}");
    }
    for got in upstream.received() {
        assert_eq!(got.path(), format!("/mp/collect?measurement_id={SHOP}"));
    }
    let answer = stack.send(&purchase(SHOP, &stack.billing.secret)).expect("an answer");
    assert_eq!(answer.status, 204);
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|part| part == old);
    at.map_or(bytes.to_vec(), |at| [&bytes[..at], new, &bytes[at + old.len()..]].concat())
}

#[test]
fn requests_in_one_segment_are_judged_one_by_one() {
    let mut gate = Gate::start();
    let secret = gate.stack.billing.secret.clone();
    let body = r#"{"client_id":"1.2","events":[{"name":"login"}]}"#;
    let genuine = format!(
        "POST /mp/collect?measurement_id={SHOP}&api_secret={secret} HTTP/1.1\r\nhost: a\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let bytes = [genuine.as_bytes(), genuine.as_bytes(), SMUGGLED.as_bytes()].concat();
    assert_eq!(statuses(&gate.stack, &bytes, 3), [204, 204, 401]);
    gate.genuine += 2;
    // A genuine sender's body is a body, whatever is in it.
    let inside = format!(
        "POST /mp/collect?measurement_id={SHOP}&api_secret={secret} HTTP/1.1\r\nhost: a\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{SMUGGLED}",
        SMUGGLED.len()
    );
    assert_eq!(statuses(&gate.stack, inside.as_bytes(), 1), [204]);
    gate.genuine += 1;
    gate.is_well_after("a request in a body");
    gate.let_nothing_through();
}
