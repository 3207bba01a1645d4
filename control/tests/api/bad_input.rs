//! Every way to ask wrongly is a row of `bad_input.json`: it gets its answer, and nothing changes.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{Control, Directory};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    method: String,
    path: String,
    /// Sent as JSON.
    body: Option<Value>,
    /// Sent as it is, instead of `body`.
    raw: Option<String>,
    content_type: Option<String>,
    status: u16,
    reason: String,
    field: Option<String>,
}

#[tokio::test]
async fn bad_input_is_refused_and_changes_nothing() {
    let rows: Vec<Row> =
        serde_json::from_str(include_str!("bad_input.json")).expect("the table is JSON");
    assert!(rows.len() > 200, "the table lost rows");
    let directory = Directory::new();
    let control = Control::start(&directory);
    let (key, revoked) = setting(&control).await;
    let before = control.everything().await;
    for row in rows {
        let path = row.path.replace("{key}", &key).replace("{revoked}", &revoked);
        let mut request = control.request(&row.method, &path);
        let content_type = row.content_type.as_deref().unwrap_or("application/json");
        let body = row.raw.clone().or_else(|| row.body.as_ref().map(Value::to_string));
        if let Some(body) = body {
            // Long texts are written short in the table.
            let body = [201, 1001, 250, 256]
                .iter()
                .fold(body, |body, &long| body.replace(&format!("<{long}>"), &"x".repeat(long)));
            request = request.header("content-type", content_type).body(body);
        }
        let answer = Control::send(request).await.expect("control answers");
        let problem = answer.json();
        let seen = (answer.status, problem["reason"].as_str(), problem["field"].as_str());
        let expected = (row.status, Some(row.reason.as_str()), row.field.as_deref());
        assert_eq!(seen, expected, "{}: {}", row.name, answer.text);
        assert_eq!(control.everything().await, before, "{} changed something", row.name);
    }
}

/// Two consumers, streams of two environments, a deleted stream, a key and a revoked one; answers
/// their ids.
async fn setting(control: &Control) -> (String, String) {
    control.acme().await;
    control.post("/v1/measurementConsumers?measurementConsumerId=other", json!({})).await.done();
    control.post("/v1/measurementConsumers?measurementConsumerId=gone", json!({})).await.done();
    control.delete("/v1/measurementConsumers/gone").await.done();
    control.stream("G-A").await;
    control.stream("G-DELETED").await;
    control.delete("/v1/measurementConsumers/acme/dataStreams/G-DELETED").await.done();
    for (consumer, id, environment) in [("acme", "G-S", "staging"), ("other", "G-O", "production")]
    {
        let path = format!("/v1/measurementConsumers/{consumer}/dataStreams");
        let body = json!({"streamId": id, "environment": environment, "upstreamSecret": "keep"});
        control.post(&path, body).await.done();
    }
    let key = control.key("billing", &["G-A"]).await;
    let revoked = control.key("billing", &["G-A"]).await;
    control.delete(&format!("/v1/{}", revoked["name"].as_str().expect("a name"))).await.done();
    let id = |key: &Value| {
        let name = key["name"].as_str().expect("a name");
        name.rsplit('/').next().expect("an id").to_owned()
    };
    (id(&key), id(&revoked))
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let before = control.everything().await;
    for (bytes, status) in [(64 * 1024, 400), (64 * 1024 + 1, 413), (1 << 20, 413)] {
        let body = format!(r#"{{"role":"{}"}}"#, "x".repeat(bytes - 11));
        assert_eq!(body.len(), bytes);
        let request = control.request("POST", "/v1/principals");
        let request = request.header("content-type", "application/json").body(body);
        // A server may hang up on what it will not read.
        if let Ok(answer) = Control::send(request).await {
            assert_eq!(answer.status, status, "{bytes}");
        }
    }
    assert_eq!(control.everything().await, before);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let before = control.everything().await;
    for body in [&b"{\"role\":\"\xff\"}"[..], b"\xff\xfe{\0}", b"{\"role\":\"\\ud800\"}", b"\0"] {
        let request = control.request("POST", "/v1/principals").body(body.to_vec());
        let request = request.header("content-type", "application/json");
        assert_eq!(Control::send(request).await.expect("an answer").status, 400);
    }
    for path in ["/v1/measurementConsumers/%ff", "/v1/measurementConsumers/%ff/apiKeys/%00"] {
        let status = control.get(path).await.status;
        assert!(status == 400 || status == 404, "{path}: {status}");
    }
    assert_eq!(control.everything().await, before);
}
