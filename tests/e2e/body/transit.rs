//! A body on its way: held only where something needs it, forwarded byte for byte, from senders that
//! are slow, stop in the middle or go away.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mpgate_testbed::http1::Http1;
use mpgate_testbed::stack::{SHOP, Stack};
use mpgate_testbed::{Answer, EnvoyConfig, IssuedKey, Response, Upstream, poll};
use serde_json::json;

use super::ways::Way;
use super::witness::Witness;
use super::{FREE, LOGIN, Streams, assert_refused, to};
use crate::terms;

const SOON: Duration = Duration::from_secs(10);

/// With these the bodies end.
const END: &str = "}]}";

/// A request whose body stops in the middle.
struct Half {
    socket: TcpStream,
    rest: String,
}

impl Half {
    /// Sends a body up to and with `mark`, which is the client's id in it.
    fn send(gate: SocketAddr, stream: &str, key: &IssuedKey, mark: &str) -> Self {
        let first = format!(r#"{{"client_id":"{mark}""#);
        let rest = format!(r#","events":[{{"name":"login"{END}"#);
        let head = format!(
            "POST /mp/collect?measurement_id={stream}&api_secret={} HTTP/1.1\r\nhost: gate\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            key.secret,
            first.len() + rest.len()
        );
        let mut socket = TcpStream::connect(gate).expect("a connection");
        socket.set_nodelay(true).expect("set");
        socket.write_all((head + &first).as_bytes()).expect("sent");
        Self { socket, rest }
    }

    fn finish(self) -> Response {
        Http1::over(self.socket, "gate").send_bytes(self.rest.as_bytes()).expect("an answer")
    }

    /// Waits for the answer without sending more.
    fn wait(self) -> Response {
        Http1::over(self.socket, "gate").send_bytes(b"").expect("an answer")
    }
}

/// One worker, the witness behind it, and no filter of Envoy's own that holds bodies.
fn witnessed(witness: &Witness) -> Streams {
    let only_the_gate = |config: &mut EnvoyConfig| {
        config.http()?["stream_idle_timeout"] = "3s".into();
        config.remove_http_filter("envoy.filters.http.buffer")
    };
    let builder = Stack::builder().concurrency(1).upstream(witness.address());
    Streams::on(builder.edit(only_the_gate).start().expect("a stack"))
}

#[test]
fn a_body_is_held_only_where_something_needs_it() {
    let witness = Witness::start(END.as_bytes());
    let streams = witnessed(&witness);
    let Streams { stack, web, orders } = &streams;
    let gate = stack.envoy.address();
    // Whoever is answered after the half was sent shows that the one worker has had the half.
    let pass_by = || assert_eq!(stack.send(&to(FREE, web).body(LOGIN)).expect("sent").status, 204);

    let streamed = Half::send(gate, FREE, web, "streamed");
    let arrived = poll::until("half a body", SOON, || witness.has_seen("streamed").then_some(()));
    arrived.expect("it is not held");
    assert_eq!(streamed.finish().status, 204);

    for (mark, stream, key) in [("rules", SHOP, web), ("grant", FREE, orders)] {
        let held = Half::send(gate, stream, key, mark);
        pass_by();
        assert!(!witness.has_seen(mark), "{mark}: it is held");
        assert_eq!(held.finish().status, 204, "{mark}");
        assert!(witness.has_seen(&format!(r#"{{"client_id":"{mark}","events":[{{"name":"login""#)));
    }

    // The list is looked at when the request is complete.
    let spent = terms::key(stack, "spent", &[SHOP], &json!({}));
    let held = Half::send(gate, SHOP, &spent, "revoked");
    pass_by();
    stack.revoke(&spent).expect("revoked");
    assert_refused("revoked meanwhile", &held.finish(), 403, "revoked");
    assert!(!witness.has_seen("revoked"));
}

#[test]
fn senders_that_are_slow_stop_or_go_away() {
    let witness = Witness::start(END.as_bytes());
    let streams = witnessed(&witness);
    let Streams { stack, web, .. } = &streams;
    let gate = stack.envoy.address();
    let pass_by = || assert_eq!(stack.send(&to(FREE, web).body(LOGIN)).expect("sent").status, 204);

    for (stream, mark) in [(SHOP, "slow-held"), (FREE, "slow-streamed")] {
        let mut slow = Half::send(gate, stream, web, mark);
        let last = slow.rest.split_off(slow.rest.len() - 1);
        for byte in slow.rest.bytes() {
            slow.socket.write_all(&[byte]).expect("sent");
            pass_by();
        }
        slow.rest = last;
        assert_eq!(slow.finish().status, 204, "{mark}");
        assert!(witness.has_seen(mark), "{mark}");
    }

    let accepted = terms::counted(stack, &[("stream", SHOP), ("outcome", "accepted")]);
    let gone: Vec<Half> = (0..20).map(|_| Half::send(gate, SHOP, web, "gone")).collect();
    let gone_streaming: Vec<Half> =
        (0..20).map(|_| Half::send(gate, FREE, web, "left-halfway")).collect();
    pass_by();
    drop((gone, gone_streaming));
    poll::until_ok("no request under way", SOON, || {
        let active = stack.envoy.stat("http.measurement_protocol.downstream_rq_active")?;
        Ok((active == 0).then_some(()))
    })
    .expect("they are gone");
    assert!(!witness.has_seen("gone"), "nothing of a held body that never ended");
    let counted = terms::counted(stack, &[("stream", SHOP), ("outcome", "accepted")]);
    assert_eq!(counted, accepted, "what was never whole was never judged");

    let stopped = Half::send(gate, SHOP, web, "stopped");
    let answer = stopped.wait();
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert!(!witness.has_seen("stopped"));

    pass_by();
    assert_eq!(stack.envoy.stat("wasm.mpgate.vm_reload_success").expect("a stat"), 0);
}

#[test]
fn a_body_reaches_the_upstream_byte_for_byte() {
    let upstream = Upstream::start(|_| Answer::no_content()).expect("an upstream");
    let stack = Stack::builder().upstream(upstream.address()).start().expect("a stack");
    let streams = Streams::on(stack);
    let Streams { stack, web, .. } = &streams;
    // All byte values in all neighbourhoods; no JSON, which rules in dry run do not mind.
    let noise: Vec<u8> =
        (0_u32..130_000).map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let spaced = format!("\u{20}\r\n\t{LOGIN} \n");
    for (name, body) in [("noise", &noise[..]), ("blanks", spaced.as_bytes())] {
        for stream in [SHOP, FREE] {
            for way in Way::ALL {
                let answer = way.send(stack.envoy.address(), &to(stream, web), body);
                assert_eq!(answer.status, 204, "{name}, {way:?}: {}", answer.text());
                let received = upstream.received().pop().expect("a request");
                let chunked = received.header("transfer-encoding").is_some();
                let came = if chunked { unchunked(&received.body) } else { received.body };
                assert!(came == body, "{name}, {stream}, {way:?}: another body");
            }
        }
    }
}

fn unchunked(mut framed: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = framed.iter().position(|byte| *byte == b'\r').expect("a chunk's size");
        let size = std::str::from_utf8(&framed[..line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return body;
        }
        let chunk = line + 2;
        body.extend(&framed[chunk..chunk + size]);
        framed = &framed[chunk + size + 2..];
    }
}
