//! Where a sender may put a secret, rightly or by mistake, and how a request may fail on its way.

use mpgate_testbed::Request;
use mpgate_testbed::stack::{CLUB, SHOP, purchase};
use serde_json::json;

/// A version of which a header may say more.
const LATER_TRACE: &str = "01-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A request and the status it is answered with; none where the connection is simply closed.
pub(super) struct Sent {
    pub(super) name: &'static str,
    pub(super) what: What,
    pub(super) status: Option<u16>,
}

/// A request, or bytes that no request has.
pub(super) enum What {
    Request(Request),
    Bytes(Vec<u8>),
}

fn request(name: &'static str, status: u16, request: Request) -> Sent {
    Sent { name, what: What::Request(request), status: Some(status) }
}

/// The path of a request to a stream.
fn target(stream: &str, secret: &str) -> String {
    format!("/mp/collect?measurement_id={stream}&api_secret={secret}")
}

/// Refused by the gate, each for a reason of its own.
pub(super) fn refused(secret: &str, stranger: &str, revoked: &str) -> Vec<Sent> {
    let post = |path: String| Request::post(path).body("{}");
    let damaged = secret.get(..secret.len() - 1).unwrap_or_default();
    vec![
        request("unknown", 401, purchase(SHOP, stranger)),
        request("malformed", 401, purchase(SHOP, damaged)),
        request("repeated", 400, post(target(SHOP, secret) + "&api_secret=" + stranger)),
        request("revoked", 403, purchase(SHOP, revoked)),
        request("another's stream", 403, purchase(CLUB, secret)),
        request("no stream", 400, post(format!("/mp/collect?api_secret={secret}"))),
        request("two streams", 400, post(target(SHOP, secret) + "&measurement_id=" + CLUB)),
        request("a bad query", 400, post(target(SHOP, secret) + "&x=%")),
        request("a GET", 405, Request::get(target(SHOP, secret))),
        request(
            "from a page",
            403,
            purchase(SHOP, secret).header("origin", "https://shop.example"),
        ),
        request("another path", 404, post(format!("/g/collect?api_secret={secret}"))),
        request("the secret as path", 404, post(format!("/{secret}"))),
        request("the secret below the path", 404, post(format!("/mp/collect/{secret}"))),
        request("the secret as matrix", 404, post(format!("/mp/collect;api_secret={secret}"))),
        request("only in a header", 401, {
            post(format!("/mp/collect?measurement_id={SHOP}")).header("x-api-secret", secret)
        }),
        request("only in a token", 401, {
            let path = format!("/mp/collect?measurement_id={SHOP}");
            post(path).header("authorization", format!("Bearer {secret}"))
        }),
    ]
}

/// Genuine, with the secret also where labels, log fields and reports come from. Its stream's upstream is
/// sent what the sender brought.
pub(super) fn misplaced(stream: &str, secret: &str) -> Vec<Sent> {
    // As long as an event's name may be, and well formed.
    let name = secret.get(..40).unwrap_or_default();
    let params = json!({"currency": secret, "value": 1, name: name});
    let events = json!([{"name": name, "params": params}, {"name": secret}]);
    let body = json!({"client_id": secret, "user_id": secret, "events": events});
    let with = |header: &str, value: String| purchase(stream, secret).header(header, value);
    let id = secret.get(16..48).unwrap_or_default();
    vec![
        request("as an event's name", 204, Request::post(target(stream, secret)).json(&body)),
        request("as a stream", 403, purchase(secret, secret)),
        request("as a trace", 204, with("traceparent", secret.to_owned())),
        request("as a trace's id", 204, {
            with("traceparent", format!("00-{id}-00f067aa0ba902b7-01"))
        }),
        request("behind a trace", 204, with("traceparent", format!("{LATER_TRACE}-{secret}"))),
        request("as a trace's state", 204, with("tracestate", format!("gate={secret}"))),
        request("as the sender", 204, with("x-mpgate-sender", secret.to_owned())),
    ]
}

/// Refused by Envoy before the gate sees anything.
pub(super) fn broken(secret: &str) -> Vec<Sent> {
    let raw = |name, status, text: String| Sent { name, what: What::Bytes(text.into()), status };
    let path = target(SHOP, secret);
    let host = "host: gate\r\nconnection: close";
    let large = Request::post(&path).body(vec![b' '; 130_001]);
    vec![
        request("too large", 413, large.clone()),
        request("too large, chunked", 413, {
            let body = format!("1ffff\r\n{}\r\n0\r\n\r\n", " ".repeat(0x1_ffff));
            Request::post(&path).header("transfer-encoding", "chunked").body(body)
        }),
        request("an underscore", 400, purchase(SHOP, secret).header("x_mpgate_sender", secret)),
        request(
            "an escaped slash",
            400,
            Request::post(format!("/mp%2fcollect?api_secret={secret}")),
        ),
        request("headers too large", 431, {
            purchase(SHOP, secret).header("x-large", "x".repeat(70_000))
        }),
        raw("a space", Some(400), format!("POST {path} x HTTP/1.1\r\n{host}\r\n\r\n")),
        raw(
            "a control character",
            Some(400),
            format!("POST {path}\x01 HTTP/1.1\r\n{host}\r\n\r\n"),
        ),
        raw("no host", Some(400), format!("POST {path} HTTP/1.1\r\n\r\n")),
        raw("an old version", Some(426), format!("POST {path} HTTP/1.0\r\n\r\n")),
        raw("a future version", Some(426), format!("POST {path} HTTP/7.1\r\n{host}\r\n\r\n")),
        raw(
            "a bad header",
            Some(400),
            format!("POST {path} HTTP/1.1\r\n{host}\r\nbad {secret}\r\n\r\n"),
        ),
        raw("two lengths", Some(400), {
            format!(
                "POST {path} HTTP/1.1\r\n{host}\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{{}}"
            )
        }),
        raw("length and chunks", Some(400), {
            let both = "content-length: 5\r\ntransfer-encoding: chunked";
            format!("POST {path} HTTP/1.1\r\n{host}\r\n{both}\r\n\r\n0\r\n\r\n")
        }),
        raw("a bad chunk", Some(400), {
            let chunked = "transfer-encoding: chunked";
            format!("POST {path} HTTP/1.1\r\n{host}\r\n{chunked}\r\n\r\n{secret}\r\n")
        }),
        raw("a name before the host", Some(204), {
            format!("POST http://user:{secret}@gate{path} HTTP/1.1\r\n{host}\r\n\r\n")
        }),
        raw(
            "a connection through",
            None,
            format!("CONNECT {secret}:443 HTTP/1.1\r\n{host}\r\n\r\n"),
        ),
        raw("no HTTP", Some(400), format!("{secret}\r\n\r\n")),
    ]
}
