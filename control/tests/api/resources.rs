//! What each resource looks like through its life.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Control, Directory};

const ACME: &str = "/v1/measurementConsumers/acme";

fn names(list: &Value, member: &str) -> Vec<String> {
    let items = list[member].as_array().expect("a list");
    items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
}

/// Takes out a time and sees that it is one.
fn take_time(resource: &mut Value, member: &str) -> String {
    let time = resource.as_object_mut().and_then(|members| members.remove(member));
    let time = time.as_ref().and_then(Value::as_str).map(str::to_owned);
    let time = time.unwrap_or_else(|| panic!("no {member}"));
    assert!(time.len() == 20 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    time
}

#[tokio::test]
async fn a_consumer_comes_and_goes() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let path = "/v1/measurementConsumers?measurementConsumerId=acme";
    let mut created = control.post(path, json!({"displayName": "Acme Ltd"})).await.done();
    assert_eq!(control.get(ACME).await.done(), created);
    take_time(&mut created, "createTime");
    let name = "measurementConsumers/acme";
    assert_eq!(
        created,
        json!({"name": name, "displayName": "Acme Ltd", "state": "ACTIVE", "etag": "v1"})
    );

    let mut deleted = control.delete(ACME).await.done();
    assert_eq!(control.delete(ACME).await.done(), deleted, "deleting twice changes nothing");
    take_time(&mut deleted, "deleteTime");
    assert_eq!(deleted["state"], "DELETED");
    let list = control.get("/v1/measurementConsumers").await.done();
    assert_eq!(list, json!({"measurementConsumers": [], "nextPageToken": ""}));
    let list = control.get("/v1/measurementConsumers?showDeleted=true").await.done();
    assert_eq!(names(&list, "measurementConsumers"), [name]);
}

#[tokio::test]
async fn a_stream_comes_changes_and_goes() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let body = json!({"streamId": "1:23:web:aB4", "environment": "staging", "mode": "dry_run",
        "upstreamSecret": "replace(GA4_SECRET)", "displayName": "Shop"});
    let created = control.post(&format!("{ACME}/dataStreams"), body).await.done();
    let path = format!("{ACME}/dataStreams/1:23:web:aB4");
    assert_eq!(control.get(&path).await.done(), created);
    let mut shown = created.clone();
    take_time(&mut shown, "createTime");
    take_time(&mut shown, "updateTime");
    assert_eq!(
        shown,
        json!({"name": "measurementConsumers/acme/dataStreams/1:23:web:aB4", "streamId": "1:23:web:aB4",
            "displayName": "Shop", "environment": "staging", "mode": "dry_run",
            "upstreamSecret": "replace(GA4_SECRET)", "state": "ACTIVE", "revision": 1, "etag": "r1"})
    );

    // Rows: the mask, the body, and (mode, policy, display name, revision) afterwards.
    let rows = [
        ("", json!({"mode": "off"}), (json!("off"), "replace(GA4_SECRET)", "Shop", 2)),
        ("", json!({"mode": "off"}), (json!("off"), "replace(GA4_SECRET)", "Shop", 2)),
        ("", json!({}), (json!("off"), "replace(GA4_SECRET)", "Shop", 2)),
        ("", json!({"mode": null}), (json!(null), "replace(GA4_SECRET)", "Shop", 3)),
        (
            "?updateMask=mode",
            json!({"mode": "enforce", "displayName": "not in the mask"}),
            (json!("enforce"), "replace(GA4_SECRET)", "Shop", 4),
        ),
        (
            "?updateMask=mode,displayName",
            json!({"upstreamSecret": "keep"}),
            (json!(null), "replace(GA4_SECRET)", "", 5),
        ),
        ("", json!({"upstreamSecret": "keep"}), (json!(null), "keep", "", 6)),
    ];
    for (mask, body, (mode, policy, display_name, revision)) in rows {
        let changed = control.patch(&format!("{path}{mask}"), body.clone()).await.done();
        let seen = (&changed["mode"], &changed["upstreamSecret"], &changed["displayName"]);
        assert_eq!(seen, (&mode, &json!(policy), &json!(display_name)), "{mask} {body}");
        assert_eq!(changed["revision"], revision, "{mask} {body}");
        assert_eq!(control.get(&path).await.done(), changed);
    }

    let deleted = control.delete(&path).await.done();
    assert_eq!((&deleted["state"], &deleted["revision"]), (&json!("REVOKED"), &json!(7)));
    assert_eq!(control.delete(&path).await.done(), deleted, "deleting twice changes nothing");
    let streams = format!("{ACME}/dataStreams");
    let list = control.get(&streams).await.done();
    assert_eq!(list, json!({"dataStreams": [], "nextPageToken": ""}));
}

#[tokio::test]
async fn a_deleted_streams_id_can_be_taken_by_another_consumer() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.post("/v1/measurementConsumers?measurementConsumerId=other", json!({})).await.done();
    control.stream("G-A").await;
    control.delete(&format!("{ACME}/dataStreams/G-A")).await.done();
    let body = json!({"streamId": "G-A", "environment": "staging", "upstreamSecret": "keep"});
    let path = "/v1/measurementConsumers/other/dataStreams";
    let taken = control.post(path, body).await.done();
    assert_eq!((&taken["state"], &taken["revision"]), (&json!("ACTIVE"), &json!(3)));
    let left = control.get(&format!("{ACME}/dataStreams/G-A")).await.done();
    assert_eq!(left["state"], "REVOKED");
    let feed = control.get("/v1/allowlist/changes").await.done();
    assert_eq!(feed["streams"].as_array().map(Vec::len), Some(1), "one entry an id: {feed}");
    assert_eq!(feed["streams"][0]["stream"]["consumer"], "other");
}

#[tokio::test]
async fn a_key_comes_and_is_revoked() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    control.stream("G-B").await;
    let body = json!({"sender": "billing", "dataStreams": ["G-B", "G-A"], "nickname": "Bills",
        "description": "nightly", "notBefore": "2026-01-01T00:00:00Z",
        "expireTime": "2099-01-01T01:00:00+01:00"});
    let answer = control.post(&format!("{ACME}/apiKeys"), body).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut created = answer.done();
    let secret = created.as_object_mut().and_then(|members| members.remove("authenticationKey"));
    let secret = secret.and_then(|secret| secret.as_str().map(str::to_owned)).expect("a secret");
    let name = created["name"].as_str().expect("a name").to_owned();
    let id = name.strip_prefix("measurementConsumers/acme/apiKeys/").expect("a full name");
    assert!(secret.starts_with(&format!("mpg_{id}_")) && secret.len() == 66);

    let path = format!("/v1/{name}");
    assert_eq!(control.get(&path).await.done(), created, "the secret is shown once");
    let list = control.get(&format!("{ACME}/apiKeys")).await.done();
    assert_eq!(list, json!({"apiKeys": [created], "nextPageToken": ""}));
    let mut shown = created.clone();
    take_time(&mut shown, "createTime");
    assert_eq!(
        shown,
        json!({"name": name, "nickname": "Bills", "description": "nightly", "sender": "billing",
            "dataStreams": ["G-B", "G-A"], "notBefore": "2026-01-01T00:00:00Z",
            "expireTime": "2099-01-01T00:00:00Z", "state": "ACTIVE", "revision": 3, "etag": "r3",
            "environment": "production", "origin": "issued", "advice": ["NEVER_USED"]})
    );
    let feed = control.get("/v1/allowlist/changes").await.done();
    let digest = mpgate_contract::Digest::of(secret.as_bytes()).to_string();
    assert_eq!(feed["keys"][0]["digest"], json!(digest));

    let mut revoked = control.delete(&path).await.done();
    assert_eq!(control.delete(&path).await.done(), revoked, "revoking twice changes nothing");
    take_time(&mut revoked, "revokeTime");
    assert_eq!((&revoked["state"], &revoked["revision"]), (&json!("REVOKED"), &json!(4)));
    assert!(control.get(&format!("{ACME}/apiKeys")).await.done()["apiKeys"][0].is_null());
    let feed = control.get("/v1/allowlist/changes").await.done();
    assert_eq!(feed["keys"][0]["state"], "revoked");
    assert_eq!(feed["keys"][0]["grant"]["sender"], "billing", "a tombstone keeps its grant");
}

#[tokio::test]
async fn a_key_expires_by_itself() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let body = json!({"sender": "crm", "dataStreams": ["G-A"], "expireTime": end.to_string()});
    let created = control.post(&format!("{ACME}/apiKeys"), body).await.done();
    assert_eq!(created["state"], "ACTIVE");
    let path = format!("/v1/{}", created["name"].as_str().expect("a name"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while control.get(&path).await.done()["state"] != "EXPIRED" {
        assert!(Instant::now() < deadline, "the key does not expire");
    }
    assert_eq!(control.delete(&path).await.done()["state"], "REVOKED");
}

#[tokio::test]
async fn lists_come_in_pages_newest_last() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let mut all = Vec::new();
    for _ in 0..7 {
        let key = control.key("billing", &["G-A"]).await;
        all.push(key["name"].as_str().expect("a name").to_owned());
    }
    control.delete(&format!("/v1/{}", all[2])).await.done();
    let active: Vec<_> = all.iter().filter(|name| **name != all[2]).cloned().collect();
    for (deleted, expected) in [("false", &active), ("true", &all)] {
        for size in 1..=8 {
            let mut seen = Vec::new();
            let mut token = String::new();
            loop {
                let page = control
                    .get(&format!(
                        "{ACME}/apiKeys?pageSize={size}&pageToken={token}&showDeleted={deleted}"
                    ))
                    .await
                    .done();
                let part = names(&page, "apiKeys");
                assert!(part.len() <= size && !part.is_empty(), "{size}: {part:?}");
                seen.extend(part);
                page["nextPageToken"].as_str().expect("a token").clone_into(&mut token);
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(&seen, expected, "in pages of {size}");
        }
    }
    // Coerced, not refused (AIP-158).
    assert_eq!(control.get(&format!("{ACME}/apiKeys?pageSize=99999999999")).await.status, 200);
    assert_eq!(control.get(&format!("{ACME}/apiKeys?pageSize=0")).await.status, 200);
}

#[tokio::test]
async fn a_principal_comes_and_is_revoked() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let body = json!({"principalId": "edge-1", "role": "gateway", "displayName": "Edge"});
    let mut created = control.post("/v1/principals", body).await.done();
    let token = created.as_object_mut().and_then(|members| members.remove("token"));
    let token = token.and_then(|token| token.as_str().map(str::to_owned)).expect("a token");
    assert!(token.starts_with("mpt_"));
    assert_eq!(control.get("/v1/principals/edge-1").await.done(), created);
    take_time(&mut created, "createTime");
    let name = "principals/edge-1";
    assert_eq!(
        created,
        json!({"name": name, "displayName": "Edge", "role": "gateway", "state": "ACTIVE", "etag": "v1"})
    );
    let feed = "/v1/allowlist/changes";
    assert_eq!(control.call("GET", feed, Some(&token), None).await.status, 200);
    assert_eq!(control.delete("/v1/principals/edge-1").await.done()["state"], "REVOKED");
    assert_eq!(control.call("GET", feed, Some(&token), None).await.status, 401);
    let list = control.get("/v1/principals").await.done();
    assert_eq!(names(&list, "principals"), ["principals/admin"]);
    // A second admin, and the first may go; its token is worth nothing then.
    let second = control.post("/v1/principals", json!({"role": "admin"})).await.done();
    assert_eq!(control.delete("/v1/principals/admin").await.status, 200);
    assert_eq!(control.get("/v1/principals").await.status, 401);
    let token = second["token"].as_str();
    assert_eq!(control.call("GET", "/v1/principals", token, None).await.status, 200);
}

#[tokio::test]
async fn health_needs_no_token_and_says_nothing() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    for path in ["/healthz", "/readyz"] {
        let answer = control.call("GET", path, None, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
    }
}
