//! Secrets that were in use before, and the environments that keys keep to.

use serde_json::json;

use super::{ACME, OTHER, path, text};
use crate::harness::{Control, Directory};

const GOOD: &str = "Kd9fZ-3nQ_x8WbT1yVr0Lg";

#[tokio::test]
async fn a_secret_is_adopted_once_and_never_after_it_was_revoked() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let adopt = |consumer: &str| format!("{consumer}/apiKeys:adopt");
    let body = |stream: &str| json!({"sender": "ga4", "dataStreams": [stream], "secret": GOOD});
    let answer = control.post(&adopt(ACME), body("G-A")).await;
    assert!(!answer.text.contains(GOOD) && !answer.text.contains("authenticationKey"));
    let key = answer.done();
    assert_eq!((&key["origin"], &key["state"]), (&json!("adopted"), &json!("ACTIVE")));
    let feed = control.get("/v1/allowlist/changes").await.done();
    let digest = mpgate_contract::Digest::of(GOOD.as_bytes()).to_string();
    assert_eq!(feed["keys"][0]["digest"], json!(digest));

    let by_digest = json!({"sender": "ga4", "dataStreams": ["G-A"], "digest": digest});
    for revoked in [false, true] {
        if revoked {
            control.delete(&path(&key)).await.done();
        }
        for (consumer, body) in
            [(ACME, body("G-A")), (OTHER, body("G-O")), (ACME, by_digest.clone())]
        {
            let answer = control.post(&adopt(consumer), body).await;
            assert_eq!(answer.status, 409, "revoked: {revoked}: {}", answer.text);
            assert_eq!(text(&answer.json(), "reason"), "ALREADY_EXISTS");
        }
    }
    // One that was issued here is known as well, by whichever way it comes.
    let issued = control.key("billing", &["G-A"]).await;
    let digest = mpgate_contract::Digest::of(text(&issued, "authenticationKey").as_bytes());
    let body = json!({"sender": "x", "dataStreams": ["G-A"], "digest": digest.to_string()});
    assert_eq!(control.post(&adopt(ACME), body).await.status, 409);
}

/// Rows of: the members beside sender and stream, the status, the field at fault.
#[tokio::test]
async fn what_cannot_be_adopted() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let issued = control.key("billing", &["G-A"]).await;
    let issued = text(&issued, "authenticationKey");
    let long = format!("{GOOD}{}", "aB3".repeat(80));
    let before = control.everything().await;
    for (members, status, field) in [
        (json!({}), 400, "secret"),
        (json!({"secret": GOOD, "digest": "0".repeat(64)}), 400, "secret"),
        (json!({"secret": ""}), 400, "secret"),
        (json!({"secret": 7}), 400, "secret"),
        (json!({"secret": "hunter2"}), 400, "secret"),
        (json!({"secret": "correct horse battery staple 123"}), 400, "secret"),
        (json!({"secret": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}), 400, "secret"),
        (json!({"secret": "hunter2hunter2hunter2"}), 400, "secret"),
        (json!({"secret": "\u{e9}Kd9fZ-3nQ_x8WbT1yVr0Lg"}), 400, "secret"),
        (json!({"secret": format!("{GOOD}\n")}), 400, "secret"),
        (json!({"secret": long}), 400, "secret"),
        (json!({"secret": issued}), 400, "secret"),
        (json!({"secret": format!("mpg_{GOOD}")}), 400, "secret"),
        (json!({"digest": "0123"}), 400, "digest"),
        (json!({"digest": GOOD}), 400, "digest"),
        (json!({"secret": GOOD, "origin": "issued"}), 400, "origin"),
        (json!({"secret": GOOD, "dataStreams": ["G-O"]}), 400, "dataStreams[0]"),
        (json!({"secret": GOOD, "expireTime": "2020-01-01T00:00:00Z"}), 400, "expireTime"),
    ] {
        let mut body = json!({"sender": "ga4", "dataStreams": ["G-A"]});
        for (name, value) in members.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let answer = control.post(&format!("{ACME}/apiKeys:adopt"), body).await;
        assert_eq!(answer.status, status, "{members}: {}", answer.text);
        assert_eq!(answer.json()["field"], field, "{members}");
        for secret in ["hunter2", GOOD, issued] {
            assert!(!answer.text.contains(secret), "a refusal repeats it: {}", answer.text);
        }
    }
    assert_eq!(control.everything().await, before, "a refusal changes nothing");
}

/// The parser's own words would repeat what somebody sent in the wrong shape.
#[tokio::test]
async fn a_body_of_the_wrong_shape_is_not_repeated() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let adopt = format!("{ACME}/apiKeys:adopt");
    for body in [format!("\"{GOOD}\""), format!("[\"{GOOD}\"]"), GOOD.to_owned()] {
        let request = control.request("POST", &adopt).header("content-type", "application/json");
        let answer = Control::send(request.body(body)).await.expect("control answers");
        assert_eq!(answer.status, 400);
        assert!(!answer.text.contains(GOOD), "{}", answer.text);
        assert!(text(&answer.json(), "detail").contains("column"), "it says where");
    }
}

#[tokio::test]
async fn a_key_keeps_to_one_environment() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    control.stream_of(ACME, "G-B", "production").await;
    control.stream_of(ACME, "G-S", "staging").await;
    let keys = format!("{ACME}/apiKeys");
    let key = |streams: &[&str]| json!({"sender": "billing", "dataStreams": streams});
    for streams in [&["G-A", "G-S"][..], &["G-S", "G-A"]] {
        let answer = control.post(&keys, key(streams)).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("dataStreams")));
    }
    let key = control.post(&keys, key(&["G-A"])).await.done();
    assert_eq!(key["environment"], "production");
    let one = path(&key);
    for (streams, status, field) in [
        (json!(["G-B", "G-A"]), 200, json!(null)),
        (json!(["G-S"]), 400, json!("dataStreams")),
        (json!(["G-A", "G-S"]), 400, json!("dataStreams")),
        (json!(["G-A", "G-O"]), 400, json!("dataStreams[1]")),
        (json!(null), 400, json!("dataStreams")),
    ] {
        let answer = control.patch(&one, json!({"dataStreams": streams})).await;
        assert_eq!(answer.status, status, "{streams}: {}", answer.text);
        assert_eq!(answer.json()["field"], field, "{streams}");
    }
    let stream = format!("{ACME}/dataStreams/G-A");
    let stream = control.patch(&stream, json!({"environment": "staging"})).await;
    assert_eq!(stream.status, 400, "nor can a stream move under it");
    assert_eq!(control.patch(&one, json!({"environment": "staging"})).await.status, 400);
}
