//! Streams and keys with terms of their own, and what is counted about them.

use mpgate_testbed::stack::CONSUMER;
use mpgate_testbed::{IssuedKey, Stack};
use serde_json::{Value, json};

/// Creates a stream of the environment `production` without an upstream secret, where `terms` do not
/// say otherwise, and waits until the gate has it.
pub(crate) fn stream(stack: &Stack, id: &str, terms: &Value) {
    let body = with(
        &json!({"streamId": id, "environment": "production", "upstreamSecret": "none"}),
        terms,
    );
    let path = format!("/v1/measurementConsumers/{CONSUMER}/dataStreams");
    let answer = stack.control.call("POST", &path, Some(&body)).expect("an answer");
    assert_eq!(answer.status, 200, "{id}: {}", answer.text());
    let revision = answer.json().expect("a stream")["revision"].as_u64().expect("a revision");
    stack.envoy.wait_for_revision(revision).expect("the stream");
}

/// Issues a key and waits until the gate has it.
pub(crate) fn key(stack: &Stack, sender: &str, streams: &[&str], terms: &Value) -> IssuedKey {
    let body = with(&json!({"sender": sender, "dataStreams": streams}), terms);
    let key = stack.control.create_key_with(CONSUMER, &body).expect("a key");
    stack.envoy.wait_for_revision(key.revision).expect("the key");
    key
}

/// How many requests were counted under these labels.
pub(crate) fn counted(stack: &Stack, labels: &[(&str, &str)]) -> u64 {
    let sum = stack.envoy.metrics().expect("metrics").sum("mpgate_requests_total", labels);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
    let count = sum as u64;
    count
}

fn with(body: &Value, terms: &Value) -> Value {
    let mut body = body.clone();
    if let (Some(body), Some(terms)) = (body.as_object_mut(), terms.as_object()) {
        body.extend(terms.clone());
    }
    body
}
