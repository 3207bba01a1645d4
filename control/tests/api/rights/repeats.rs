//! Requests that may be repeated (`requestId`), and changes of what is still as it was read (`etag`).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{ACME, path, text};
use crate::harness::{Control, Directory, is_skipped_on_postgres};

const ID: &str = "7f3c5a52-0c1b-4d6e-9a37-1f2e3d4c5b6a";
const OTHER_ID: &str = "7f3c5a52-0c1b-4d6e-9a37-1f2e3d4c5b6b";

/// Rows of: method, path, body, and the member that the first answer alone has.
#[tokio::test]
async fn a_repeated_request_is_answered_and_not_done_again() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let key = path(&control.key("billing", &["G-A"]).await);
    let spare = path(&control.key("spare", &["G-A"]).await);
    let stream = json!({"streamId": "G-B", "environment": "production", "upstreamSecret": "none"});
    let adopt =
        json!({"sender": "ga4", "dataStreams": ["G-A"], "secret": "Kd9fZ-3nQ_x8WbT1yVr0Lg"});
    let create = json!({"sender": "crm", "dataStreams": ["G-A"]});
    let rows = [
        ("POST", format!("{ACME}/apiKeys"), create, "authenticationKey"),
        ("POST", format!("{ACME}/apiKeys:adopt"), adopt, ""),
        ("POST", format!("{key}:rotate"), json!({}), "authenticationKey"),
        ("PATCH", key.clone(), json!({"nickname": "one"}), ""),
        ("POST", format!("{key}:disable"), json!({}), ""),
        ("POST", format!("{key}:enable"), json!({}), ""),
        ("DELETE", spare, json!({}), ""),
        ("POST", format!("{ACME}/dataStreams"), stream, ""),
        ("PATCH", format!("{ACME}/dataStreams/G-B"), json!({"mode": "enforce"}), ""),
        ("DELETE", format!("{ACME}/dataStreams/G-B"), json!({}), ""),
        ("PATCH", ACME.to_owned(), json!({"displayName": "Acme"}), ""),
        ("POST", "/v1/principals".to_owned(), json!({"role": "viewer"}), "token"),
        ("PATCH", "/v1/principals/admin".to_owned(), json!({"displayName": "First"}), ""),
        ("POST", "/v1/principals/admin:rotate".to_owned(), json!({"overlap": "60s"}), "token"),
    ];
    for (row, (method, path, body, shown_once)) in rows.into_iter().enumerate() {
        let id = format!("{row:08}-0c1b-4d6e-9a37-1f2e3d4c5b6a");
        let asked = format!("{path}?requestId={id}");
        let first = control.as_(&control.admin, method, &asked, body.clone()).await;
        assert_eq!(first.header("idempotent-replayed"), "", "{method} {path}");
        let mut first = first.done();
        let secret = first.as_object_mut().and_then(|members| members.remove(shown_once));
        assert_eq!(secret.is_some(), !shown_once.is_empty(), "{method} {path}");
        let everything = control.everything().await;
        // The id is a number, and its letters have no case.
        let asked = format!("{path}?requestId={}", id.to_uppercase());
        let again = control.as_(&control.admin, method, &asked, body.clone()).await;
        assert_eq!(again.header("idempotent-replayed"), "true", "{method} {path}");
        let mut again = again.done();
        // What gates saw of a key is no part of what was done.
        for member in ["advice", "warnings"] {
            for answer in [&mut first, &mut again] {
                answer.as_object_mut().expect("an object").remove(member);
            }
        }
        assert_eq!(again, first, "{method} {path}");
        if method != "DELETE" {
            let mut other = body.clone();
            other["etag"] = json!("x");
            if path == "/v1/principals" || (path.ends_with("apiKeys") || path.ends_with("Streams"))
            {
                other = body.clone();
                other["displayName"] = json!("x");
            }
            let answer = control.as_(&control.admin, method, &asked, other).await;
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text);
        }
        assert_eq!(control.everything().await, everything, "{method} {path}");
    }
}

/// Rows of: method, path and body of what is so already, and of what somebody does before it is asked for again.
#[tokio::test]
async fn a_request_that_changed_nothing_is_not_done_later() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    control.token("viewer", "viewer", &[]).await;
    let empty = "/v1/measurementConsumers?measurementConsumerId=empty";
    control.post(empty, json!({})).await.done();
    let key = path(&control.key("billing", &["G-A"]).await);
    let spare = path(&control.key("spare", &["G-A"]).await);
    let stream = path(&control.stream("G-B").await);
    let again = json!({"streamId": "G-B", "environment": "production", "upstreamSecret": "none"});
    let named = |name: &str| json!({"displayName": name});
    let (viewer, none) = ("/v1/principals/viewer", json!({}));
    control.post(&format!("{viewer}:rotate"), none.clone()).await.done();
    let tokens = control.get(&format!("{viewer}/tokens")).await.done();
    let token = format!("/v1/{}", text(&tokens["tokens"][0], "name"));
    let (enable, disable) = (format!("{key}:enable"), format!("{key}:disable"));
    let (streams, empty) = (format!("{ACME}/dataStreams"), ACME.replace("acme", "empty"));
    let [enable, disable, key, spare] = [&enable, &disable, &key, &spare].map(String::as_str);
    let [stream, streams, empty, token] = [&stream, &streams, &empty, &token].map(String::as_str);
    let rows = [
        ("POST", enable, none.clone(), ("POST", disable, none.clone())),
        ("POST", disable, none.clone(), ("POST", enable, none.clone())),
        ("PATCH", key, json!({"nickname": "a"}), ("PATCH", key, json!({"nickname": "b"}))),
        ("DELETE", spare, none.clone(), ("PATCH", ACME, named("1"))),
        ("PATCH", stream, json!({"mode": "off"}), ("PATCH", stream, json!({"mode": "dry_run"}))),
        ("DELETE", stream, none.clone(), ("POST", streams, again)),
        ("PATCH", ACME, named("a"), ("PATCH", ACME, named("b"))),
        ("DELETE", empty, none.clone(), ("PATCH", ACME, named("2"))),
        ("PATCH", viewer, named("a"), ("PATCH", viewer, named("b"))),
        ("DELETE", token, none.clone(), ("PATCH", ACME, named("3"))),
        ("DELETE", viewer, none, ("PATCH", ACME, named("4"))),
    ];
    for (row, (method, path, body, (other, elsewhere, change))) in rows.into_iter().enumerate() {
        let admin = &control.admin;
        control.as_(admin, method, path, body.clone()).await.done();
        let before = control.everything().await;
        let asked = format!("{path}?requestId={row:08}-0c1b-4d6e-9a37-1f2e3d4c5b6a");
        let first = control.as_(admin, method, &asked, body.clone()).await;
        assert_eq!(first.header("idempotent-replayed"), "", "{method} {path}");
        let first = first.done();
        assert_eq!(control.everything().await, before, "{method} {path} changed something");
        control.as_(admin, other, elsewhere, change).await.done();
        let before = control.everything().await;
        let again = control.as_(admin, method, &asked, body).await;
        assert_eq!(again.header("idempotent-replayed"), "true", "{method} {path}: {}", again.text);
        assert_eq!(again.done(), first, "{method} {path}");
        assert_eq!(control.everything().await, before, "{method} {path} was done later");
    }
}

#[tokio::test]
async fn an_id_belongs_to_one_request_of_one_principal_for_a_day() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let owner = control.token("owner", "owner", &["acme"]).await;
    let keys = format!("{ACME}/apiKeys?requestId={ID}");
    let body = |sender: &str| json!({"sender": sender, "dataStreams": ["G-A"]});
    let first = control.post(&keys, body("billing")).await.done();
    // Another body, another parameter, another path: another request.
    let patched = format!("{}?requestId={ID}", path(&first));
    for answer in [
        control.post(&keys, body("crm")).await,
        control.patch(&patched, json!({"nickname": "x"})).await,
        control.delete(&patched).await,
    ] {
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("requestId")));
    }
    // The same body in another order is the same request.
    let request = control.request("POST", &keys).header("content-type", "application/json");
    let request = request.body(r#"{ "dataStreams":["G-A"], "sender": "billing"}"#);
    let again = Control::send(request).await.expect("an answer");
    assert_eq!(again.header("idempotent-replayed"), "true", "{}", again.text);
    // Somebody else's id of the same digits is another id.
    let theirs = control.as_(&owner, "POST", &keys, body("crm")).await;
    assert_eq!(theirs.header("idempotent-replayed"), "");
    assert_eq!(theirs.done()["sender"], "crm");
    for bad in ["", "1", "7f3c5a520c1b4d6e9a371f2e3d4c5b6a", "7f3c5a52-0c1b-4d6e-9a37-1f2e3d4c5b6g"]
    {
        let answer = control.post(&format!("{ACME}/apiKeys?requestId={bad}"), body("x")).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("requestId")), "{bad}");
    }
    // A refused request is not remembered: it may be sent again once it can be done.
    let early = format!("{ACME}/apiKeys?requestId={OTHER_ID}");
    let later = json!({"sender": "late", "dataStreams": ["G-LATE"]});
    assert_eq!(control.post(&early, later.clone()).await.status, 400);
    control.stream("G-LATE").await;
    assert_eq!(control.post(&early, later).await.status, 200);

    let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
    let mut connection = options.connect().await.expect("the database");
    // No other request is done in between, which would forget the old ones in passing.
    for (age, replayed) in [(24 * 60 * 60 - 60, "true"), (24 * 60 * 60 + 60, "")] {
        sqlx::query("UPDATE requests SET time = unixepoch() - ?")
            .bind(age)
            .execute(&mut connection)
            .await
            .expect("older requests");
        let answer = control.post(&keys, body("billing")).await;
        assert_eq!(answer.header("idempotent-replayed"), replayed, "after {age} s");
        let same = answer.done()["name"] == first["name"];
        assert_eq!(same, replayed == "true", "after {age} s");
    }
    connection.close().await.expect("closed");
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    let keys = format!("{ACME}/apiKeys?requestId={ID}");
    let body = json!({"sender": "billing", "dataStreams": ["G-A"]});
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        asking.spawn(Control::send(control.request("POST", &keys).json(&body)));
    }
    let answers = asking.join_all().await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("an answer")).collect();
    let replayed = answers.iter().filter(|it| it.header("idempotent-replayed") == "true").count();
    assert_eq!(replayed, 7);
    let keys: Vec<Value> = answers.into_iter().map(crate::harness::Answer::done).collect();
    let names: BTreeSet<_> = keys.iter().map(|key| text(key, "name")).collect();
    let secrets = keys.iter().filter(|key| key["authenticationKey"].is_string()).count();
    assert_eq!((names.len(), secrets), (1, 1), "one key, and its secret once");
    let list = control.get(&format!("{ACME}/apiKeys")).await.done();
    assert_eq!(super::names(&list, "apiKeys").len(), 1);
}

/// Rows of: method, path, body, and whether the etag goes into the body or the query.
#[tokio::test]
async fn a_change_waits_for_nobody_who_read_an_older_resource() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.two_tenants().await;
    control.token("viewer", "viewer", &[]).await;
    let key = path(&control.key("billing", &["G-A"]).await);
    let stream = path(&control.stream("G-B").await);
    let (viewer, empty) = ("/v1/principals/viewer".to_owned(), ACME.replace("acme", "empty"));
    let make = "/v1/measurementConsumers?measurementConsumerId=empty";
    control.post(make, json!({})).await.done();
    for (method, resource, verb, body) in [
        ("PATCH", &key, "", json!({"nickname": "a"})),
        ("POST", &key, ":disable", json!({})),
        ("POST", &key, ":enable", json!({})),
        ("POST", &key, ":rotate", json!({})),
        ("DELETE", &key, "", json!({})),
        ("PATCH", &stream, "", json!({"mode": "off"})),
        ("DELETE", &stream, "", json!({})),
        ("PATCH", &viewer, "", json!({"displayName": "a"})),
        ("POST", &viewer, ":rotate", json!({})),
        ("DELETE", &viewer, "", json!({})),
        ("PATCH", &empty, "", json!({"displayName": "a"})),
        ("DELETE", &empty, "", json!({})),
    ] {
        let current = control.get(resource).await.done();
        let etag = text(&current, "etag").to_owned();
        let before = control.everything().await;
        let ask = async |etag: &str| {
            let (mut query, mut body) = (String::new(), body.clone());
            if method == "DELETE" {
                query = format!("?etag={etag}");
            } else {
                body["etag"] = json!(etag);
            }
            control.as_(&control.admin, method, &format!("{resource}{verb}{query}"), body).await
        };
        for stale in ["r0", "v0", "", "*", &format!("{etag}0"), &etag.to_uppercase()] {
            let answer = ask(stale).await;
            assert_eq!(answer.status, 409, "{method} {resource}{verb} {stale}: {}", answer.text);
            assert_eq!(answer.json()["reason"], "ABORTED");
        }
        assert_eq!(control.everything().await, before);
        ask(&etag).await.done();
        let changed = control.get(resource).await.done();
        assert_ne!(changed["etag"], current["etag"], "{method} {resource}{verb}");
    }
}

#[tokio::test]
async fn an_etag_that_is_there_twice_is_refused() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let twice = json!({"etag": "v1", "displayName": "x"});
    let answer = control.patch(&format!("{ACME}?etag=v0"), twice).await;
    assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("etag")), "{}", answer.text);
    let answer = control.patch(ACME, json!({"etag": null, "displayName": "x"})).await;
    assert_eq!(answer.status, 400, "null is no etag");
}
