//! Encoded bodies: 415, and how a gateway that shall take them does: Envoy's own decompressor before
//! the gate.

use mpgate_testbed::EnvoyConfig;
use mpgate_testbed::stack::{SHOP, Stack};
use serde_json::json;

use super::ways::Way;
use super::{FREE, LOGIN, STRICT, Streams, assert_refused, login_of, to};

/// 200 000 blanks by gzip, in 230 bytes: Envoy's decompressor stops at a ratio of 100.
fn bomb() -> Vec<u8> {
    let mut bomb = gzip(b"")[..10].to_vec();
    bomb.extend(b"\xed\xc1\x31\x01\0\0\0\xc2\xa0\x2a\xeb\x9f\xd2\x0c\xfe\x40\x01");
    bomb.resize(220, 0);
    bomb.extend(b"\xaf\x01\x31\x61\x62\x10\x40\x0d\x03\0");
    bomb
}

/// Gzip without compression (RFC 1951 3.2.4, RFC 1952).
fn gzip(body: &[u8]) -> Vec<u8> {
    let mut gzipped = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    for block in body.chunks(0xffff) {
        let size = u16::try_from(block.len()).expect("a block");
        gzipped.push(0);
        gzipped.extend(size.to_le_bytes());
        gzipped.extend((!size).to_le_bytes());
        gzipped.extend(block);
    }
    gzipped.extend(b"\x01\0\0\xff\xff");
    gzipped.extend(crc32(body).to_le_bytes());
    gzipped.extend(u32::try_from(body.len()).expect("a size").to_le_bytes());
    gzipped
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn an_encoded_body_is_refused_where_it_would_have_to_be_read() {
    let streams = Streams::on(Stack::start().expect("a stack"));
    let Streams { stack, web, orders } = &streams;
    for (stream, key) in [(STRICT, web), (STRICT, orders), (FREE, orders), (SHOP, orders)] {
        for coding in ["gzip", "br", "deflate", "x-gzip", "identity, gzip", ""] {
            for way in Way::ALL {
                let head = to(stream, key).header("content-encoding", coding);
                let answer = way.send(stack.envoy.address(), &head, &gzip(LOGIN.as_bytes()));
                let name = format!("'{coding}', {stream}, {way:?}");
                assert_refused(&name, &answer, 415, "content_encoded");
            }
        }
        let twice = to(stream, key)
            .header("content-encoding", "identity")
            .header("content-encoding", "gzip")
            .body(LOGIN);
        assert_refused(stream, &stack.send(&twice).expect("an answer"), 415, "content_encoded");
    }
    assert_eq!(streams.events_at_the_collector(), 0);
}

#[test]
fn with_the_decompressor_before_it_the_gate_judges_what_was_meant() {
    let decompressor = |config: &mut EnvoyConfig| {
        let kind = "type.googleapis.com/envoy.extensions";
        let filter = json!({
            "name": "envoy.filters.http.decompressor",
            "typed_config": {
                "@type": format!("{kind}.filters.http.decompressor.v3.Decompressor"),
                "decompressor_library": {
                    "name": "gzip",
                    "typed_config": {
                        "@type": format!("{kind}.compression.gzip.decompressor.v3.Gzip"),
                    },
                },
            },
        });
        let filters = config.http()?["http_filters"].as_array_mut();
        filters.expect("filters").insert(0, filter);
        Ok(())
    };
    let streams = Streams::on(Stack::builder().edit(decompressor).start().expect("a stack"));
    let Streams { stack, web, orders } = &streams;
    let gzipped = |head: mpgate_testbed::Request| head.header("content-encoding", "gzip");
    let gate = stack.envoy.address();
    for way in Way::ALL {
        let name = format!("{way:?}");
        for (stream, key) in [(SHOP, web), (STRICT, web), (FREE, orders)] {
            let answer = way.send(gate, &gzipped(to(stream, key)), &gzip(LOGIN.as_bytes()));
            assert_eq!(answer.status, 204, "{name}: {}", answer.text());
            let events = stack.collector.wait_for_events(1).expect("an event");
            stack.collector.forget().expect("forgotten");
            assert_eq!(events[0].body(), LOGIN, "{name}");
            assert_eq!(events[0].header("content-encoding"), None, "{name}");

            // The limit is one of the body, not of its encoding.
            let answer = way.send(gate, &gzipped(to(stream, key)), &gzip(&login_of(130_000)));
            assert_eq!(answer.status, 204, "{name}: {}", answer.text());
            let answer = way.send(gate, &gzipped(to(stream, key)), &gzip(&login_of(130_001)));
            assert_refused(&name, &answer, 413, "body_too_large");
            let answer = way.send(gate, &gzipped(to(stream, key)), &bomb());
            let expected = if stream == SHOP { (204, "") } else { (400, "body_unreadable") };
            assert_eq!((answer.status, &*answer.reason()), expected, "{name}: a bomb");

            let other = to(stream, key).header("content-encoding", "br");
            let answer = way.send(gate, &other, LOGIN.as_bytes());
            let status = if stream == SHOP { 204 } else { 415 };
            assert_eq!(answer.status, status, "{name}: {}", answer.text());
            stack.collector.forget().expect("forgotten");
        }
    }
    assert_eq!(streams.events_at_the_collector(), 0);
}
