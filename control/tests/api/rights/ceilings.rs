//! How many of each there may be.

use serde_json::{Value, json};

use super::{ACME, path, text};
use crate::harness::{Answer, Control, Directory, MPGATE, serve};

fn expect_full(answer: &Answer, words: &str) {
    assert_eq!(answer.status, 429, "{words}: {}", answer.text);
    let problem = answer.json();
    assert_eq!(problem["reason"], "RESOURCE_EXHAUSTED");
    assert!(text(&problem, "detail").contains(words), "{words}: {}", answer.text);
}

/// Rows of: what is made, how many fit, what the refusal says, and how one is given back.
#[tokio::test]
async fn what_is_over_a_limit_is_refused_until_there_is_room() {
    let directory = Directory::new();
    let mut command = serve(&directory);
    // One consumer, one stream and two principals (the first admin and its tenant's) are there already.
    for (flag, max) in [
        ("--consumers-max", "2"),
        ("--streams-max", "2"),
        ("--keys-max", "3"),
        ("--senders-max", "2"),
        ("--principals-max", "2"),
    ] {
        command.args([flag, max]);
    }
    let control = Control::start_as(&directory, &mut command);
    control.acme().await;
    control.stream("G-A").await;
    let consumer =
        |id: &str| (format!("/v1/measurementConsumers?measurementConsumerId={id}"), json!({}));
    let stream = |id: &str| {
        let body = json!({"streamId": id, "environment": "production", "upstreamSecret": "none"});
        (format!("{ACME}/dataStreams"), body)
    };
    let principal = |role: &str| ("/v1/principals".to_owned(), json!({"role": role}));
    let key = |sender: &str| {
        (format!("{ACME}/apiKeys"), json!({"sender": sender, "dataStreams": ["G-A"]}))
    };
    let rows = [
        ("2 measurement consumers", consumer("two"), consumer("three")),
        ("2 data streams", stream("G-B"), stream("G-C")),
        ("2 principals", principal("viewer"), principal("gateway")),
    ];
    for (words, fits, beyond) in rows {
        let made = control.post(&fits.0, fits.1).await.done();
        expect_full(&control.post(&beyond.0, beyond.1.clone()).await, words);
        control.delete(&path(&made)).await.done();
        control.post(&beyond.0, beyond.1).await.done();
    }
    let post = async |(path, body): (String, Value)| control.post(&path, body).await;
    post(key("billing")).await.done();
    let crm = post(key("crm")).await.done();
    expect_full(&post(key("third")).await, "2 senders");
    // A sender that is known may have another key: a rotation needs it.
    let second = control.post(&format!("{}:rotate", path(&crm)), json!({})).await.done();
    expect_full(&post(key("crm")).await, "3 API keys");
    expect_full(&control.post(&format!("{}:rotate", path(&second)), json!({})).await, "3 API keys");
    control.delete(&path(&crm)).await.done();
    expect_full(&post(key("third")).await, "2 senders");
    control.delete(&path(&second)).await.done();
    post(key("third")).await.done();
}

#[test]
fn a_limit_beyond_what_a_gate_holds_is_refused() {
    for (flag, bad) in [
        ("--senders-max", "1001"),
        ("--senders-max", "0"),
        ("--streams-max", "1001"),
        ("--keys-max", "many"),
    ] {
        let mut command = std::process::Command::new(MPGATE);
        let output = command.env_clear().args(["serve", flag, bad]).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flag} {bad}: {error}");
        assert!(error.contains(flag), "{error}");
    }
}
