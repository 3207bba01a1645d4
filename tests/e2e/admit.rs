//! What is genuine goes through: the path written anew, the sender named, the body as it came, and no
//! secret but the one the stream's policy says.

use mpgate_testbed::http2::Http2;
use mpgate_testbed::stack::{CLUB, SHOP, Stack, UPSTREAM_SECRET, purchase};
use mpgate_testbed::{EnvoyConfig, IssuedKey, Request, Response};

use crate::accounts::{Words, assert_told};

/// The sender's own secret goes on to the upstream.
const KEPT: &str = "G-KEPT000001";
const APP: &str = "1:1234567890:web:abcdef0123";
const APP_ENCODED: &str = "1%3A1234567890%3Aweb%3Aabcdef0123";

/// Odd but valid: bytes, escapes and blanks that a rewriter would lose.
const BODY: &str = "{ \"client_id\" : \"1.2\",\r\n\t\"events\":[{\"name\":\"login\",\"params\":\
                    {\"method\":\"\\u00e9\u{e9}\",\"value\":42.50}}]} ";
const APP_BODY: &str = "{\"app_instance_id\":\"0123456789abcdef0123456789ABCDEF\",\
                        \"events\":[{\"name\":\"login\"}]}";

/// A target with `{secret}` in it, and what the upstream gets for it.
struct Row {
    name: &'static str,
    sender: &'static str,
    stream: &'static str,
    target: &'static str,
    forwarded: String,
}

fn rows() -> Vec<Row> {
    let row = |name, sender, stream, target, forwarded: &str| {
        let forwarded = forwarded.to_owned();
        Row { name, sender, stream, target, forwarded }
    };
    let shop = "/mp/collect?measurement_id=G-SHOP000001";
    let club = format!("/mp/collect?measurement_id=G-CLUB000001&api_secret={UPSTREAM_SECRET}");
    let kept = "/mp/collect?measurement_id=G-KEPT000001&api_secret={secret}";
    let app = format!("/mp/collect?firebase_app_id={APP_ENCODED}");
    vec![
        row(
            "policy none",
            "billing",
            SHOP,
            "/mp/collect?measurement_id=G-SHOP000001&api_secret={secret}",
            shop,
        ),
        row(
            "the other order, empty pairs",
            "billing",
            SHOP,
            "/mp/collect?&&api_secret={secret}&&measurement_id=G-SHOP000001&",
            shop,
        ),
        row(
            "names and values percent-encoded",
            "billing",
            SHOP,
            "/mp/collect?%61pi%5Fsecret={secret}&measurement%5fid=G%2DSHOP000001",
            shop,
        ),
        row(
            "parameters that the protocol does not know",
            "billing",
            SHOP,
            "/mp/collect?measurement_id=G-SHOP000001&api_secret={secret}&debug_mode=1&API_SECRET=z",
            shop,
        ),
        row(
            "policy replace",
            "crm",
            CLUB,
            "/mp/collect?measurement_id=G-CLUB000001&api_secret={secret}",
            &club,
        ),
        row("policy keep", "kiosk", KEPT, kept, kept),
        row(
            "an app stream, its colons raw",
            "phone",
            APP,
            "/mp/collect?firebase_app_id=1:1234567890:web:abcdef0123&api_secret={secret}",
            &app,
        ),
        row(
            "an app stream, its colons encoded",
            "phone",
            APP,
            "/mp/collect?api_secret={secret}&firebase_app_id=1%3a1234567890%3Aweb%3Aabcdef0123",
            &app,
        ),
    ]
}

#[test]
fn a_genuine_event_is_forwarded_written_anew() {
    let stack = Stack::start().expect("a stack");
    stack.add_stream(KEPT, None, "keep").expect("a stream");
    stack.add_stream(APP, None, "none").expect("a stream");
    let kiosk = stack.issue("kiosk", &[KEPT]).expect("a key");
    let phone = stack.issue("phone", &[APP]).expect("a key");
    let key_of = |sender| match sender {
        "billing" => &stack.billing,
        "crm" => &stack.crm,
        "kiosk" => &kiosk,
        _ => &phone,
    };

    let mut told = Vec::new();
    for row in rows() {
        let key = key_of(row.sender);
        let request = Request::post(row.target.replace("{secret}", &key.secret))
            .header("content-type", "text/plain;charset=UTF-8")
            .header("user-agent", "billing/1.0")
            .header("x-mpgate-sender", "forged")
            .header("referer", format!("https://backend.example/?api_secret={}", key.secret))
            .body(body_for(row.stream));
        let mut http2 = Http2::connect(stack.envoy.address()).expect("HTTP/2");
        for protocol in ["HTTP/1.1", "HTTP/2"] {
            let name = format!("{} over {protocol}", row.name);
            let answer =
                if protocol == "HTTP/2" { http2.send(&request) } else { stack.send(&request) };
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            check_answer(&name, &answer, key);
            check_event(&name, &stack, &row, key);
            told.push(Words::genuine(row.sender, key.id(), row.stream));
        }
    }
    let lines = assert_told(&stack, &told);
    for line in lines {
        assert_eq!(
            (&line["status"], &line["path"]),
            (&204.into(), &"/mp/collect".into()),
            "{line}"
        );
    }
}

fn body_for(stream: &str) -> &'static str {
    if stream == APP { APP_BODY } else { BODY }
}

fn check_answer(name: &str, answer: &Response, key: &IssuedKey) {
    assert_eq!(answer.status, 204, "{name}: {}", answer.text());
    assert!(answer.body.is_empty(), "{name}: {}", answer.text());
    let said = format!("{:?}", answer.headers);
    assert!(!said.contains(&key.secret) && !said.contains(UPSTREAM_SECRET), "{name}: {said}");
}

/// Looks at the one event that came since the last look.
fn check_event(name: &str, stack: &Stack, row: &Row, key: &IssuedKey) {
    let events = stack.collector.wait_for_events(1).expect("an event");
    stack.collector.forget().expect("forgotten");
    let [event] = events.as_slice() else { panic!("{name}: {} events", events.len()) };
    assert_eq!(event.method(), "POST", "{name}");
    assert_eq!(event.path(), row.forwarded.replace("{secret}", &key.secret), "{name}");
    assert_eq!(event.body(), body_for(row.stream), "{name}");
    assert_eq!(event.header("x-mpgate-sender"), Some(row.sender), "{name}");
    assert!(!event.contains("forged"), "{name}: {event:?}");
    assert_eq!(event.header("content-type"), Some("text/plain;charset=UTF-8"), "{name}");
    assert_eq!(event.header("user-agent"), Some("billing/1.0"), "{name}");
    assert_eq!(event.contains(&key.secret), row.stream == KEPT, "{name}: the sender's secret");
    assert_eq!(event.contains(UPSTREAM_SECRET), row.stream == CLUB, "{name}: the upstream's");
}

#[test]
fn kept_parameters_are_encoded_anew_and_never_repeat_the_secret() {
    let keeps = |config: &mut EnvoyConfig| {
        config.gate()?["other_parameters"] = "keep".into();
        Ok(())
    };
    let stack = Stack::builder().edit(keeps).start().expect("a stack");
    let secret = &stack.crm.secret;
    let answer = stack
        .send(&Request::post(format!(
            "/mp/collect?a=1&measurement_id={CLUB}&%26=+/&api_secret={secret}&b={secret}&{secret}&c"
        )))
        .expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
    let events = stack.collector.wait_for_events(1).expect("an event");
    let expected =
        format!("/mp/collect?measurement_id={CLUB}&api_secret={UPSTREAM_SECRET}&a=1&%26=%20%2F&c=");
    assert_eq!(events[0].path(), expected);
    assert!(!events[0].contains(secret));
}

#[test]
fn two_keys_of_one_sender_overlap_and_one_key_writes_several_streams() {
    let stack = Stack::start().expect("a stack");
    let second = stack.issue("billing", &[SHOP, CLUB]).expect("a key");
    let mut told = Vec::new();
    for (key, stream) in [(&stack.billing, SHOP), (&second, SHOP), (&second, CLUB)] {
        let answer = stack.send(&purchase(stream, &key.secret));
        assert_eq!(answer.expect("an answer").status, 204, "{} on {stream}", key.id());
        told.push(Words::genuine("billing", key.id(), stream));
    }
    // One sender is one series, whatever the key.
    assert_told(&stack, &told);
    stack.revoke(&stack.billing).expect("revoked");
    let old = stack.send(&purchase(SHOP, &stack.billing.secret));
    assert_eq!(old.expect("an answer").reason(), "revoked");
    let new = stack.send(&purchase(SHOP, &second.secret));
    assert_eq!(new.expect("an answer").status, 204);
}
