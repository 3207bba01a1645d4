//! Bodies made to cost: time that grows faster than the bytes, a stack that overflows, a trap.

use core::time::Duration;
use std::time::Instant;

use super::*;

/// The stack of a reading in a debug build, half of what a module has in Envoy; a release build needs
/// a fraction of it.
const STACK_BYTES: usize = 512 * 1024;

/// A body of about this many bytes, of a kind.
type Kind = (&'static str, fn(usize) -> String);

const KINDS: &[Kind] = &[
    ("distinct members", |bytes| {
        format!("{{{}}}", numbered(bytes, 12, |n| format!(r#""{n:07}":1"#)))
    }),
    ("distinct parameters", |bytes| {
        let params = numbered(bytes, 12, |n| format!(r#""{n:07}":1"#));
        format!(r#"{{"events":[{{"name":"e","params":{{{params}}}}}]}}"#)
    }),
    ("names with a long common start", |bytes| {
        let params = numbered(bytes, 520, |n| format!(r#""{}{n:07}":1"#, "p".repeat(508)));
        format!(r#"{{"events":[{{"name":"e","params":{{{params}}}}}]}}"#)
    }),
    ("escaped names", |bytes| {
        format!("{{{}}}", numbered(bytes, 18, |n| format!(r#""\u0061{n:07}":1"#)))
    }),
    ("events", |bytes| {
        format!(r#"{{"events":[{}]}}"#, numbered(bytes, 19, |n| format!(r#"{{"name":"{n:07}"}}"#)))
    }),
    ("empty events", |bytes| {
        format!(r#"{{"events":[{}]}}"#, numbered(bytes, 3, |_| "{}".to_owned()))
    }),
    ("items", |bytes| {
        let items = numbered(bytes, 3, |_| "{}".to_owned());
        format!(r#"{{"events":[{{"name":"e","params":{{"items":[{items}]}}}}]}}"#)
    }),
    ("user properties", |bytes| {
        let properties = numbered(bytes, 13, |n| format!(r#""{n:07}":[]"#));
        format!(r#"{{"user_properties":{{{properties}}}}}"#)
    }),
    ("objects in an unknown member", |bytes| {
        format!(r#"{{"x":[{}]}}"#, numbered(bytes, 14, |n| format!(r#"{{"a":"{n:05}"}}"#)))
    }),
    ("a long number", |bytes| format!(r#"{{"x":0.{}}}"#, "7".repeat(bytes))),
    ("a long name", |bytes| format!(r#"{{"{}":1}}"#, "x".repeat(bytes))),
    ("a long text of escapes", |bytes| {
        format!(r#"{{"user_id":"{}"}}"#, r"\u00e9".repeat(bytes / 6))
    }),
    ("a long text of pairs", |bytes| {
        format!(r#"{{"client_id":"{}"}}"#, r"\ud83d\ude00".repeat(bytes / 12))
    }),
    ("a long event name", |bytes| format!(r#"{{"events":[{{"name":"{}"}}]}}"#, "e".repeat(bytes))),
    ("white space", |bytes| format!("{{{}}}", " ".repeat(bytes))),
];

fn numbered(bytes: usize, unit: usize, member: fn(usize) -> String) -> String {
    (0..bytes / unit).map(member).collect::<Vec<_>>().join(",")
}

fn best_time(body: &str, best: Duration) -> Duration {
    let start = Instant::now();
    Body::read(body.as_bytes(), StreamKind::Web, NOW).expect("one reading");
    best.min(start.elapsed())
}

/// Ten times the bytes may cost forty times the time; were the work quadratic, it would be a hundred.
/// Whatever else the machine does can only slow a run, so a run that is quick enough proves it.
#[test]
fn the_time_is_linear_in_the_bytes() {
    for (name, kind) in KINDS {
        let (small, large) = (kind(13_000), kind(129_000));
        assert!(large.len() > 125_000 && large.len() < 135_000, "{name}: {}", large.len());
        let (mut quick, mut slow) = (Duration::MAX, Duration::MAX);
        let is_linear = (0..200).any(|_| {
            quick = best_time(&small, quick);
            slow = best_time(&large, slow);
            slow < quick * 40
        });
        assert!(is_linear, "{name}: {quick:?} for a tenth, {slow:?} for all");
    }
}

/// Beyond the violations that are kept, a member that is one costs about what one costs that is none. Each was
/// described before it was dropped: in a release build ten times that, where the way to it is long.
#[test]
fn violations_that_are_not_kept_are_not_described() {
    let members = numbered(129_000, 12, |n| format!(r#""a{n:06}":1"#));
    let name = "n".repeat(limits::QUOTED_CHARACTERS_MAX);
    let known = format!(r#"{{"events":[{{"name":"e","params":{{{members}}}}}]}}"#);
    let unknown = format!(r#"{{"user_properties":{{"{name}":{{{members}}}}}}}"#);
    let (mut kept, mut dropped) = (Duration::MAX, Duration::MAX);
    let is_cheap = (0..200).any(|_| {
        kept = best_time(&known, kept);
        dropped = best_time(&unknown, dropped);
        dropped < kept * 2
    });
    assert!(is_cheap, "{kept:?} for what is known, {dropped:?} for what is not");
}

#[test]
fn the_deepest_body_fits_the_stack() {
    let depth = limits::DEPTH_MAX - 1;
    let lists = format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = format!(r#"{{"x":{}1{}}}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let parameter = format!(r#"{{"events":{{"params":{{"items":{{"x":{objects}}}}}}}}}"#);
    let read = move || {
        for body in [&lists, &objects] {
            Body::read(body.as_bytes(), StreamKind::Web, NOW).expect("one reading");
        }
        let deeper = Body::read(parameter.as_bytes(), StreamKind::Web, NOW).expect_err("too deep");
        assert_eq!(deeper.ambiguity, Ambiguity::TooDeep);
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(read);
    thread.expect("a thread").join().expect("no overflow");
}

#[test]
fn every_cut_of_a_body_has_a_clear_answer() {
    let body = r#"{"client_id":"1.2","events":[{"name":"purchase","params":{"a\ud83d\ude00":-1.5e3,"é":[true,null,{"x":{}}]}}]}"#;
    for end in 0..body.len() {
        let error = Body::read(&body.as_bytes()[..end], StreamKind::Web, NOW).expect_err("cut");
        assert!(error.byte <= end, "{error}");
    }
    for index in 0..body.len() {
        for byte in [0, b'"', b'\\', b'{', b'}', b'[', b',', b'9', 0xc3, 0xff] {
            let mut bytes = body.as_bytes().to_vec();
            bytes[index] = byte;
            let _ = Body::read(&bytes, StreamKind::App, NOW);
        }
    }
}
