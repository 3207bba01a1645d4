//! Every way to spell a path: none reaches the upstream unjudged.
//!
//! The gate knows two paths, exactly. What Envoy makes of a spelling before the gate sees it is pinned
//! here for both protocols, so that another Envoy that makes something else of it is noticed.

pub(crate) mod frames;
pub(crate) mod spellings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mpgate_testbed::stack::{SHOP, Stack};
use mpgate_testbed::{Answer, EnvoyConfig, Response, Upstream, http1};
use serde_json::json;

use frames::Outcome;
use spellings::{SPELLINGS, Spelling};

/// Whatever the gate lets through finds a way to the upstream.
fn every_route(config: &mut EnvoyConfig) -> anyhow::Result<()> {
    let all = json!({"name": "all", "match": {"prefix": "/"}, "route": {"cluster": "analytics"}});
    config.routes()?.push(all);
    let connect = json!({"name": "connect", "match": {"connect_matcher": {}}, "route": {"cluster": "analytics"}});
    config.routes()?.push(connect);
    Ok(())
}

/// A stack whose upstream shows the very bytes it got.
fn stack(edit: impl FnOnce(&mut EnvoyConfig) -> anyhow::Result<()> + 'static) -> (Stack, Upstream) {
    let upstream = Upstream::start(|_| Answer::no_content()).expect("an upstream");
    let stack = Stack::builder().edit(every_route).edit(edit).upstream(upstream.address()).start();
    (stack.expect("a stack"), upstream)
}

/// The bytes of the request's target, with this secret.
fn target(spelling: &Spelling, secret: &str) -> Vec<u8> {
    let query = format!("?measurement_id={SHOP}&api_secret={secret}");
    let (before, after) = spelling.target.split_once("{query}").expect("a place for the query");
    let raw = |text: &str| text.replace("{ff}", "\u{ff}").replace("{nul}", "\0");
    let text = format!("{}{query}{}", raw(before), raw(after));
    // Each character is one byte: ÿ is 0xff.
    text.chars().map(|character| u8::try_from(u32::from(character)).expect("a byte")).collect()
}

/// `204`, `404 unknown_path`, `400`, `closed`.
fn told(status: u16, reason: &str) -> String {
    format!("{status} {reason}").trim_end().to_owned()
}

fn over_http1(stack: &Stack, spelling: &Spelling, secret: &str) -> String {
    let host = stack.envoy.address();
    let mut bytes = format!("{} ", spelling.method).into_bytes();
    bytes.extend(target(spelling, secret));
    bytes.extend(
        format!(" HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}")
            .bytes(),
    );
    let answer: anyhow::Result<Response> = http1::send_bytes(host, &bytes);
    answer.map_or("closed".to_owned(), |answer| told(answer.status, &answer.reason()))
}

fn over_http2(stack: &Stack, spelling: &Spelling, secret: &str) -> String {
    let target = target(spelling, secret);
    let fields: [(&[u8], &[u8]); 4] = [
        (b":method", spelling.method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"gate.example.com"),
        (b":path", &target),
    ];
    match frames::exchange(stack.envoy.address(), &fields, b"{}") {
        Outcome::Status(status) => status.to_string(),
        Outcome::Reset => "reset".to_owned(),
        Outcome::GoAway => "goaway".to_owned(),
        Outcome::Closed => "closed".to_owned(),
    }
}

/// Sends each spelling over both protocols, eight at a time: Envoy takes a second to close a
/// connection that it gave up. Answers what was told, in the order of the spellings.
pub(crate) fn over_both(stack: &Stack, secret: &str) -> Vec<(Spelling, [String; 2])> {
    let next = AtomicUsize::new(0);
    let told = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(spelling) = SPELLINGS.get(index) else { break };
                    let both =
                        [over_http1(stack, spelling, secret), over_http2(stack, spelling, secret)];
                    told.lock().expect("no sender failed").insert(index, (*spelling, both));
                }
            });
        }
    });
    told.into_inner().expect("no sender failed").into_values().collect()
}

pub(crate) fn paths(upstream: &Upstream) -> Vec<String> {
    upstream.received().iter().map(mpgate_testbed::upstream::Received::path).collect()
}

#[test]
fn no_spelling_of_a_path_goes_around_the_gate() {
    assert!(SPELLINGS.len() >= 40, "{} spellings", SPELLINGS.len());
    let (stack, upstream) = stack(|_| Ok(()));
    over_both(&stack, "guessed");
    over_both(&stack, "");
    assert_eq!(paths(&upstream), [""; 0], "these went through with a wrong secret");

    let answers = over_both(&stack, &stack.billing.secret);
    let differ: Vec<String> = answers
        .iter()
        .filter(|(known, told)| *told != [known.http1, known.http2])
        .map(|(known, [http1, http2])| {
            format!("row({:?}, {:?}, {http1:?}, {http2:?}),", known.method, known.target)
        })
        .collect();
    assert!(differ.is_empty(), "other answers than known:\n{}", differ.join("\n"));
    // Each 204 is one event, under the one path.
    let accepted = answers.iter().flat_map(|(_, told)| told).filter(|told| *told == "204").count();
    let event = format!("/mp/collect?measurement_id={SHOP}");
    assert_eq!(paths(&upstream), vec![event; accepted]);
    assert_eq!(stack.envoy.stat("wasm.mpgate.vm_reload_success").expect("a stat"), 0);
}

#[test]
fn on_a_shared_gateway_only_other_paths_pass_unjudged() {
    let (stack, upstream) = stack(|config| {
        config.gate()?["unknown_paths"] = "pass".into();
        Ok(())
    });
    over_both(&stack, "guessed");
    let seen: BTreeSet<String> = paths(&upstream)
        .iter()
        .map(|path| path.split('?').next().unwrap_or_default().to_owned())
        .collect();
    assert!(seen.contains("/g/collect"), "other paths do pass: {seen:?}");
    for path in &seen {
        let (same, _) = segments(path, decode_unreserved);
        assert!(!is_guarded(&same), "{path} is a spelling of a guarded path, and passed");
    }
    let alike: Vec<&String> = seen
        .iter()
        .filter(|path| {
            let (_, liberal) = segments(&path.to_ascii_lowercase(), |text| {
                decode(&decode(text)).replace('\\', "/")
            });
            is_guarded(&liberal)
        })
        .collect();
    assert_eq!(alike, [""; 0], "look-alikes that pass");
}

fn is_guarded(segments: &[String]) -> bool {
    matches!(
        segments.iter().map(String::as_str).collect::<Vec<_>>()[..],
        ["mp", "collect"] | ["debug", "mp", "collect"]
    )
}

/// The segments of a path without its dot segments: as they are, and as a liberal reader has them,
/// without parameters, queries, fragments and odd bytes at their ends.
fn segments(path: &str, decode: impl Fn(&str) -> String) -> (Vec<String>, Vec<String>) {
    let mut strict: Vec<String> = Vec::new();
    for segment in decode(path).split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(strict.pop()),
            other => strict.push(other.to_owned()),
        }
    }
    let odd = |character: char| !character.is_ascii_alphanumeric();
    let liberal = strict.iter().map(|segment| {
        let end = segment.find([';', '?', '#', '\0']).unwrap_or(segment.len());
        segment[..end].trim_matches(odd).to_owned()
    });
    let liberal = liberal.filter(|segment| !segment.is_empty()).collect();
    (strict, liberal)
}

/// Decodes every escape of an ASCII byte.
fn decode(text: &str) -> String {
    decode_if(text, |_| true)
}

/// Decodes what RFC 3986 (2.3) says means the same decoded.
fn decode_unreserved(text: &str) -> String {
    decode_if(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn decode_if(text: &str, decodes: impl Fn(u8) -> bool) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = byte.filter(|byte| byte.is_ascii() && decodes(*byte)) {
            out.push(char::from(byte));
            out.push_str(&part[2..]);
        } else {
            out.push('%');
            out.push_str(part);
        }
    }
    out
}
