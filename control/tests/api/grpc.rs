//! gRPC with a client that nobody here wrote: Python's, with messages built from reflection.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mpgate_testbed::{python, toolchain};
use serde_json::{Value, json};

use crate::harness::{Control, Directory};

const SERVICE: &str = "wfa.measurement.api.v2alpha.ApiKeys";

/// Asks all of this over one connection.
pub(crate) fn ask(control: &Control, ca: Option<&Path>, calls: &[Value]) -> Vec<Value> {
    let python = python::python(&mut |_| {}).expect("a Python for the tests");
    let address = control.url.split_once("://").expect("a scheme").1;
    let script = toolchain::root().join("control/tests/api/grpc/client.py");
    let mut command = Command::new(python);
    command.arg(script).env("ADDRESS", address).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(ca) = ca {
        command.env("CA", ca).env("ADDRESS", address.replace("127.0.0.1", "localhost"));
    }
    let mut client = command.spawn().expect("Python starts");
    let calls_json = serde_json::to_vec(calls).expect("JSON");
    client.stdin.take().expect("piped").write_all(&calls_json).expect("written");
    let told = client.wait_with_output().expect("Python ends");
    let out = String::from_utf8(told.stdout).expect("text");
    let answers: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), calls.len(), "{answers:?}");
    answers
}

pub(crate) fn with(token: &str) -> Value {
    json!([["authorization", format!("Bearer {token}")]])
}

pub(crate) fn create(metadata: &Value, parent: &str, key: &Value) -> Value {
    let request = json!({"parent": parent, "api_key": key});
    json!({"service": SERVICE, "method": "CreateApiKey", "request": request, "metadata": metadata})
}

pub(crate) fn delete(metadata: &Value, name: &str) -> Value {
    let request = json!({"name": name});
    json!({"service": SERVICE, "method": "DeleteApiKey", "request": request, "metadata": metadata})
}

fn extended(metadata: &Value, name: &str, value: &str) -> Value {
    let mut metadata = metadata.as_array().expect("a list").clone();
    metadata.push(json!([name, value]));
    metadata.into()
}

const ACME: &str = "measurementConsumers/acme";

#[tokio::test]
async fn a_key_is_created_used_and_deleted() {
    let directory = Directory::new();
    let (authority, mut command) = crate::transport::secured(&directory);
    let control = Control::start_as(&directory, &mut command);
    let ca = authority.certificate_file();
    let admin = with(&control.admin);
    let put = |path: &str, body: Value| {
        let body = body.to_string();
        crate::transport::post(&control, &authority, path, &body);
    };
    put("/v1/measurementConsumers?measurementConsumerId=acme", json!({}));
    for (id, environment) in
        [("G-ONE", "production"), ("G-TWO", "production"), ("G-TEST", "staging")]
    {
        let stream = json!({"streamId": id, "environment": environment, "upstreamSecret": "none"});
        put("/v1/measurementConsumers/acme/dataStreams", stream);
    }

    let key = json!({"name": "ignored", "nickname": "Billing & CRM", "description": "for \u{e9}"});
    let staging = extended(&admin, "x-mpgate-environment", "staging");
    let staging = extended(&staging, "x-mpgate-sender", "crm");
    let mut answers = ask(
        &control,
        Some(&ca),
        &[
            json!({"services": true}),
            create(&extended(&admin, "x-request-id", "abc-1"), ACME, &key),
            create(&staging, ACME, &key),
            json!({"service": "grpc.health.v1.Health", "method": "Check", "request": {"service": SERVICE}}),
        ],
    )
    .into_iter();
    let services = answers.next().expect("an answer");
    let all = ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", SERVICE];
    assert_eq!(services["services"], json!(all));

    let created = answers.next().expect("an answer");
    assert_eq!(created["metadata"]["x-request-id"], "abc-1");
    let key = &created["response"];
    let name = key["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("measurementConsumers/acme/apiKeys/"), "{name}");
    assert_eq!(
        (&key["nickname"], &key["description"]),
        (&json!("Billing & CRM"), &json!("for \u{e9}"))
    );
    let secret = key["authentication_key"].as_str().expect("a secret");
    assert!(secret.starts_with("mpg_"), "what a sender sends with");

    let stored = crate::transport::get(&control, &authority, &format!("/v1/{name}"));
    assert_eq!(stored["sender"], "billing-crm");
    assert_eq!(stored["dataStreams"], json!(["G-ONE", "G-TWO"]));
    let other = answers.next().expect("an answer");
    let other = other["response"]["name"].as_str().expect("a name").to_owned();
    let other = crate::transport::get(&control, &authority, &format!("/v1/{other}"));
    assert_eq!((&other["sender"], &other["dataStreams"]), (&json!("crm"), &json!(["G-TEST"])));
    assert_eq!(answers.next().expect("an answer")["response"], json!({"status": "SERVING"}));

    let deleted = ask(&control, Some(&ca), &[delete(&admin, &name)]).remove(0);
    let without_secret =
        json!({"name": name, "nickname": "Billing & CRM", "description": "for \u{e9}"});
    assert_eq!(deleted["response"], without_secret, "{deleted}");
    let id = deleted["metadata"]["x-request-id"].as_str().unwrap_or_default();
    assert_eq!(id.len(), 16, "made up: {deleted}");
    let stored = crate::transport::get(&control, &authority, &format!("/v1/{name}"));
    assert_eq!(stored["state"], "REVOKED");
}

/// Rows of: the call, the code, the reason, and the field at fault.
#[tokio::test]
async fn each_refusal_has_its_code_and_its_reason() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let admin = with(&control.admin);
    let gateway = with(&control.gateway_token().await);
    let unknown = with(&format!("mpt_{}", "0".repeat(64)));
    let good = json!({"nickname": "billing"});
    let nobody = "measurementConsumers/nobody";
    let gone = "measurementConsumers/acme/apiKeys/000000000000";
    let invalid = ("INVALID_ARGUMENT", "INVALID_FIELD_VALUE");
    let denied = ("PERMISSION_DENIED", "PERMISSION_DENIED");
    let unauthenticated = ("UNAUTHENTICATED", "UNAUTHENTICATED");
    let no_consumer = ("NOT_FOUND", "MEASUREMENT_CONSUMER_NOT_FOUND");
    let no_key = ("NOT_FOUND", "API_KEY_NOT_FOUND");
    let named = |name: &str, value: &str| extended(&admin, name, value);
    let words = |nickname: &str| json!({"nickname": nickname});
    let rows = [
        // Who calls comes first, whatever else is wrong.
        (create(&json!([]), "x", &json!({})), unauthenticated, ""),
        (create(&unknown, "x", &json!({})), unauthenticated, ""),
        (delete(&unknown, "x"), unauthenticated, ""),
        // Then whether the name can be read.
        (create(&gateway, "", &json!({})), invalid, "parent"),
        (create(&gateway, "acme", &good), invalid, "parent"),
        (create(&gateway, "measurementConsumers/", &good), invalid, "parent"),
        (create(&gateway, "measurementConsumers/a/b", &good), invalid, "parent"),
        (delete(&gateway, ""), invalid, "name"),
        (delete(&gateway, ACME), invalid, "name"),
        (delete(&gateway, "measurementConsumers/acme/apiKeys/"), invalid, "name"),
        (delete(&gateway, "measurementConsumers/acme/apiKeys/a/b"), invalid, "name"),
        // Then whether the caller may, be it there or not and be the rest right or not.
        (create(&gateway, ACME, &json!({})), denied, ""),
        (create(&gateway, nobody, &good), denied, ""),
        (delete(&gateway, gone), denied, ""),
        (delete(&gateway, "measurementConsumers/nobody/apiKeys/x"), denied, ""),
        // Then the rest.
        (create(&admin, ACME, &json!({})), invalid, "api_key.nickname"),
        (create(&admin, nobody, &words(" \u{a0} ")), invalid, "api_key.nickname"),
        (create(&admin, ACME, &words(&"x".repeat(201))), invalid, "api_key.nickname"),
        (create(&admin, ACME, &words("a\nb")), invalid, "api_key.nickname"),
        (create(&admin, ACME, &words("2026")), invalid, "api_key.nickname"),
        (
            create(&admin, ACME, &json!({"nickname": "a", "description": "x".repeat(1_001)})),
            invalid,
            "api_key.description",
        ),
        (create(&named("x-mpgate-sender", "Not One"), ACME, &good), invalid, "x-mpgate-sender"),
        (
            create(&named("x-mpgate-environment", "test"), ACME, &good),
            invalid,
            "x-mpgate-environment",
        ),
        // Then whether it is there, and in the right state.
        (create(&admin, nobody, &good), no_consumer, ""),
        (create(&admin, ACME, &good), ("FAILED_PRECONDITION", "FAILED_PRECONDITION"), ""),
        (delete(&admin, gone), no_key, ""),
        (delete(&admin, "measurementConsumers/acme/apiKeys/x"), no_key, ""),
        (delete(&admin, "measurementConsumers/nobody/apiKeys/000000000000"), no_key, ""),
    ];
    let calls: Vec<_> = rows.iter().map(|(call, ..)| call.clone()).collect();
    let before = control.everything().await;
    for ((call, (code, reason), field), answer) in rows.iter().zip(ask(&control, None, &calls)) {
        assert_eq!(answer["code"], *code, "{call}: {answer}");
        let info = &answer["ErrorInfo"];
        assert_eq!(
            (&info["reason"], &info["domain"]),
            (&json!(reason), &json!("halo.wfanet.org")),
            "{call}: {answer}"
        );
        assert_eq!(info["metadata"]["fieldName"].as_str().unwrap_or_default(), *field, "{call}");
        assert!(answer["message"].as_str().is_some_and(|words| !words.is_empty()), "{answer}");
        assert!(answer["metadata"]["x-request-id"].is_string(), "{call}: {answer}");
        if *reason == "API_KEY_NOT_FOUND" {
            assert_eq!(info["metadata"]["apiKey"], call["request"]["name"]);
        }
    }
    assert_eq!(control.everything().await, before, "a refusal changes nothing");
}

/// Who fails too often is told to come later, with one line in the log; who has a good token passes all the
/// same. HTTP and gRPC count together.
#[tokio::test]
async fn failures_are_limited_and_a_good_token_is_not() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    for _ in 0..10 {
        control.call("GET", "/v1/principals", Some("mpt_x"), None).await;
    }
    let unknown = with(&format!("mpt_{}", "0".repeat(64)));
    let gone = format!("{ACME}/apiKeys/000000000000");
    let mut calls = vec![delete(&unknown, &gone); 40];
    calls.push(create(&with(&control.admin), ACME, &json!({"nickname": "billing"})));
    let answers = ask(&control, None, &calls);
    let codes: Vec<_> =
        answers.iter().map(|answer| answer["code"].as_str().expect("a code")).collect();
    assert_eq!(codes[..10], ["UNAUTHENTICATED"; 10]);
    let later = answers
        .iter()
        .find(|answer| answer["code"] == "RESOURCE_EXHAUSTED")
        .expect("one is told to wait");
    assert_eq!(later["RetryInfo"]["retryDelay"], "1s", "{later}");
    assert_eq!(later["ErrorInfo"]["reason"], "RESOURCE_EXHAUSTED");
    assert_eq!(codes.last(), Some(&"OK"), "{codes:?}");
    let log = std::fs::read_to_string(directory.join("log")).expect("a log");
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!((lines("failed authentication"), lines("DeleteApiKey")), (1, 0), "{log}");
}

/// An owner has the consumers it is bound to, and the trail says who it was, from where and in which call.
#[tokio::test]
async fn an_owner_creates_keys_of_its_own_and_the_trail_says_so() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let path = "/v1/measurementConsumers?measurementConsumerId=other";
    control.post(path, json!({})).await.done();
    let body = json!({"role": "owner", "measurementConsumers": ["measurementConsumers/acme"]});
    let owner = control.post("/v1/principals", body).await.done();
    let name = owner["name"].clone();
    let owner = with(owner["token"].as_str().expect("a token"));
    let key = json!({"nickname": "billing"});
    let other = "measurementConsumers/other";
    let calls = [
        create(&extended(&owner, "x-request-id", "abc-7"), ACME, &key),
        create(&owner, other, &key),
        delete(&owner, "measurementConsumers/other/apiKeys/000000000000"),
    ];
    let answers = ask(&control, None, &calls);
    let codes: Vec<_> = answers.iter().map(|answer| &answer["code"]).collect();
    assert_eq!(codes, ["OK", "PERMISSION_DENIED", "PERMISSION_DENIED"]);
    let trail = control.get("/v1/auditEvents?pageSize=1000").await.done();
    let events = trail["auditEvents"].as_array().expect("a list");
    let event = events.iter().find(|event| event["resource"] == answers[0]["response"]["name"]);
    let event = event.expect("the key is in the trail");
    assert_eq!(event["requestId"], "abc-7", "{event}");
    assert_eq!(event["source"], "127.0.0.1", "{event}");
    assert_eq!(event["principal"], name, "{event}");
    assert!(!event.to_string().contains("mpg_"), "a secret is in the trail");
}
