//! Bodies: how large, how sent, what they say, and that what is forwarded is what came. Every status
//! over HTTP/1.1 and HTTP/2, with and without a length, in many pieces, with trailers.

mod debug;
mod encoded;
mod judged;
mod size;
mod transit;
mod ways;
mod witness;

use mpgate_testbed::stack::{SHOP, Stack};
use mpgate_testbed::{IssuedKey, Request, Response};
use serde_json::json;

use crate::terms;

/// Its protocol rules are enforced.
const STRICT: &str = "G-STRICT0001";
/// It has no protocol rules.
const FREE: &str = "G-FREE000001";

/// One event that breaks no rule.
const LOGIN: &str = r#"{"client_id":"1.2","events":[{"name":"login"}]}"#;

/// A stack with a stream for each mode of the protocol rules (that of [`SHOP`] is `dry_run`).
struct Streams {
    stack: Stack,
    /// May write all three, any event.
    web: IssuedKey,
    /// May write all three, `login` and `refund*` only.
    orders: IssuedKey,
}

impl Streams {
    fn on(stack: Stack) -> Self {
        terms::stream(&stack, STRICT, &json!({"protocolRules": "enforce"}));
        terms::stream(&stack, FREE, &json!({"protocolRules": "off"}));
        let all = [SHOP, STRICT, FREE];
        let web = terms::key(&stack, "web", &all, &json!({}));
        let orders = terms::key(&stack, "orders", &all, &json!({"events": ["login", "refund*"]}));
        Self { stack, web, orders }
    }

    fn events_at_the_collector(&self) -> usize {
        self.stack.collector.events().expect("events").len()
    }
}

fn to(stream: &str, key: &IssuedKey) -> Request {
    Request::post(format!("/mp/collect?measurement_id={stream}&api_secret={}", key.secret))
}

/// A body of exactly so many bytes that breaks no rule: JSON, then blanks.
fn login_of(bytes: usize) -> Vec<u8> {
    let mut body = LOGIN.as_bytes().to_vec();
    body.resize(bytes, b' ');
    body
}

fn assert_refused(name: &str, answer: &Response, status: u16, reason: &str) {
    assert_eq!((answer.status, &*answer.reason()), (status, reason), "{name}: {}", answer.text());
}
