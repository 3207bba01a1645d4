//! The log: one line a request that meets the trail and the caller's trace, and no secret in any of them.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Control, Directory, serve};
use crate::rights::ACME;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn lines(directory: &Directory) -> Vec<Value> {
    let log = fs::read_to_string(directory.join("log")).expect("the log");
    let line = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    log.lines().map(line).collect()
}

async fn create(control: &Control, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = control.request("POST", path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = json!({"sender": "billing", "dataStreams": ["G-A"]});
    let answer = Control::send(request.json(&body)).await.expect("an answer");
    (answer.status, answer.header("x-request-id").to_owned())
}

/// Rows: the headers of a change, its request id in log, trail and answer, and the trace in the log.
#[tokio::test]
async fn log_trail_and_trace_meet() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let canary = format!("00-{TRACE}-mpg_canarysecret-01");
    let path = format!("{ACME}/apiKeys");
    for (headers, id, trace) in [
        (vec![("traceparent", parent.as_str())], Some(TRACE), Some(TRACE)),
        (vec![("traceparent", &parent), ("x-request-id", "r-1")], Some("r-1"), Some(TRACE)),
        (vec![("traceparent", &parent), ("traceparent", &parent)], None, None),
        (vec![("traceparent", &canary)], None, None),
        (vec![], None, None),
    ] {
        let (status, given) = create(&control, &path, &headers).await;
        assert_eq!(status, 200, "{headers:?}");
        assert!(id.is_none_or(|id| id == given) && !given.is_empty(), "{headers:?}: {given}");
        let event = &control.trail(&control.admin).await[0];
        assert_eq!(event["requestId"], given.as_str(), "{headers:?}");
        let line = lines(&directory).into_iter().rfind(|line| line["request_id"] == given.as_str());
        let line = line.expect("a line");
        assert_eq!(line["trace_id"].as_str(), trace, "{line}");
        for (member, value) in [
            ("principal", json!("admin")),
            ("method", json!("POST")),
            ("route", json!("/v1/measurementConsumers/{mc}/apiKeys")),
            ("status", json!(200)),
        ] {
            assert_eq!(line[member], value, "{line}");
        }
        assert!(line["duration_ms"].is_u64(), "{line}");
    }
    // Who may not is named too; who is not known is not.
    let viewer = control.token("looker", "viewer", &["acme"]).await;
    assert_eq!(control.as_(&viewer, "POST", &path, json!({})).await.status, 403);
    control.get("/v1/mpg_canarysecret:rotate?token=mpg_canarysecret").await;
    let all = lines(&directory);
    let refused = all.iter().find(|line| line["status"] == 403).expect("a line");
    assert_eq!(refused["principal"], "looker", "{refused}");
    let text = fs::read_to_string(directory.join("log")).expect("the log");
    for secret in ["canary", &viewer, &control.admin] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_log_for_people_says_the_same() {
    let directory = Directory::new();
    let control = Control::start_as(&directory, serve(&directory).args(["--log-format", "text"]));
    control.acme().await;
    let log = fs::read_to_string(directory.join("log")).expect("the log");
    let line = log.lines().find(|line| line.contains("status=200")).expect("a line");
    assert!(line.contains(r#"route="/v1/measurementConsumers""#), "{line}");
    assert!(line.contains(r#"principal="admin""#) && !line.contains('\u{1b}'), "{line}");
    assert!(!log.contains(&control.admin));
}
