//! The two RPCs: the same rights, the same keys and the same trail as over HTTP.

use serde_json::{Value, json};

use super::{ACME, OTHER, path, text};
use crate::grpc::{ask, create, delete, with};
use crate::harness::{Control, Directory};

#[tokio::test]
async fn each_rpc_with_each_kind_of_principal() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let owner = control.token("owner", "owner", &["acme"]).await;
    let viewer = control.token("viewer", "viewer", &[]).await;
    let bound = control.token("bound", "viewer", &["acme"]).await;
    let gateway = control.token("gateway", "gateway", &[]).await;
    let ended = control.token("ended", "admin", &[]).await;
    let revoked = control.token("revoked", "admin", &[]).await;
    control.post("/v1/principals/ended:rotate", json!({"overlap": "0s"})).await.done();
    control.delete("/v1/principals/revoked").await.done();
    let key = |consumer: &str, key: &str| format!("measurementConsumers/{consumer}/apiKeys/{key}");
    let nobody = "000000000000";
    let own = text(&control.key_of(ACME, "a", "G-A").await, "name").to_owned();
    let foreign = text(&control.key_of(OTHER, "b", "G-O").await, "name").to_owned();
    let of_own = text(&control.key_of(ACME, "c", "G-A").await, "name").to_owned();
    let (denied, out) = ("PERMISSION_DENIED", "UNAUTHENTICATED");
    // Who, then the codes of a create of acme, of other, of nobody; of a delete of a key of acme, of
    // other, of nobody, and of one that is not there.
    let rows = [
        (&viewer, [denied; 7]),
        (&bound, [denied; 7]),
        (&gateway, [denied; 7]),
        (&ended, [out; 7]),
        (&revoked, [out; 7]),
        (&owner, ["OK", denied, denied, "OK", denied, denied, "NOT_FOUND"]),
        (&control.admin, ["OK", "OK", "NOT_FOUND", "OK", "OK", "NOT_FOUND", "NOT_FOUND"]),
    ];
    let mut calls = Vec::new();
    for (token, codes) in &rows {
        let metadata = with(token);
        let named = json!({"nickname": "made"});
        for consumer in ["acme", "other", "nobody"] {
            calls.push(create(&metadata, &format!("measurementConsumers/{consumer}"), &named));
        }
        let mine = if codes[4] == "OK" { &own } else { &of_own };
        for name in [mine, &foreign, &key("nobody", nobody), &key("acme", nobody)] {
            calls.push(delete(&metadata, name));
        }
    }
    let answers = ask(&control, None, &calls);
    for (row, (_, codes)) in rows.iter().enumerate() {
        for (column, code) in codes.iter().enumerate() {
            let at = row * 7 + column;
            assert_eq!(answers[at]["code"], *code, "{}: {}", calls[at], answers[at]);
        }
        // Permission before existence, word for word.
        let told = |answer: &Value| (answer["message"].clone(), answer["ErrorInfo"].clone());
        for (one, other) in [(1, 2), (4, 5)] {
            if codes[one] == denied {
                assert_eq!(told(&answers[row * 7 + one]), told(&answers[row * 7 + other]));
            }
        }
    }
}

#[tokio::test]
async fn what_one_door_does_the_other_shows() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let by_http = control.key("billing", &["G-A"]).await;
    let metadata = with(&control.admin);
    let named = json!({"nickname": "CRM"});
    let parent = ACME.trim_start_matches("/v1/");
    let answers = ask(
        &control,
        None,
        &[create(&metadata, parent, &named), delete(&metadata, text(&by_http, "name"))],
    );
    let by_rpc = &answers[0]["response"];
    let seen = control.get(&path(by_rpc)).await.done();
    assert_eq!((&seen["state"], &seen["nickname"]), (&json!("ACTIVE"), &json!("CRM")));
    assert_eq!(control.get(&path(&by_http)).await.done()["state"], "REVOKED");
    let digest = mpgate_contract::Digest::of(text(by_rpc, "authentication_key").as_bytes());
    let feed = control.get("/v1/allowlist/changes").await.done();
    let entry = feed["keys"].as_array().expect("keys").iter().find(|it| it["state"] == "active");
    assert_eq!(entry.expect("an active key")["digest"], json!(digest.to_string()));

    let trail = control.trail(&control.admin).await;
    let [last, first] = [&trail[0], &trail[1]];
    for (event, answer, action, resource) in [
        (first, &answers[0], "create", text(by_rpc, "name")),
        (last, &answers[1], "delete", text(&by_http, "name")),
    ] {
        assert_eq!((text(event, "action"), text(event, "resource")), (action, resource));
        assert_eq!(event["requestId"], answer["metadata"]["x-request-id"], "{event}");
        assert_eq!(event["principal"], "principals/admin");
        assert_eq!(event["source"], "127.0.0.1", "{event}");
        assert_eq!(event["measurementConsumer"], parent);
    }
}
