//! A database that an older control wrote is opened and served. `old_database.sql` is a dump of one
//! that was written before keys had restrictions and streams protocol rules.

use std::fs;

use mpgate_contract::{Ask, Digest, Page};
use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::harness::{Control, Directory};

/// Puts the old database where control looks, with a token for its admin.
async fn restore(directory: &Directory) {
    let token = format!("mpt_{}", "0".repeat(64));
    let options = SqliteConnectOptions::new()
        .filename(directory.join("mpgate.sqlite"))
        .create_if_missing(true)
        .foreign_keys(false);
    let mut connection = options.connect().await.expect("a new database");
    let dump = include_str!("old_database.sql");
    sqlx::raw_sql(dump).execute(&mut connection).await.expect("the dump");
    sqlx::query("UPDATE principals SET digest = ?")
        .bind(&Digest::of(token.as_bytes()).as_bytes()[..])
        .execute(&mut connection)
        .await
        .expect("the admin");
    connection.close().await.expect("the database");
    fs::write(directory.join("admin-token"), token).expect("a file");
}

#[tokio::test]
async fn a_database_of_the_first_version_is_served_and_changed() {
    let directory = Directory::new();
    restore(&directory).await;
    let control = Control::start(&directory);
    let key = "/v1/measurementConsumers/acme/apiKeys/TdNPHM19kgiE";
    let stream = "/v1/measurementConsumers/acme/dataStreams/G-A";
    assert_eq!(
        control.get(key).await.done(),
        json!({"name": key.trim_start_matches("/v1/"), "nickname": "Bills", "description": "nightly",
            "sender": "billing", "dataStreams": ["G-A", "G-B"], "notBefore": "2026-01-01T00:00:00Z",
            "expireTime": "2099-01-01T00:00:00Z", "state": "ACTIVE", "revision": 5,
            "createTime": "2026-11-21T10:44:32Z", "environment": "production", "origin": "issued",
            "etag": "r5", "advice": ["NEVER_USED"]})
    );
    let old = control.get(stream).await.done();
    assert_eq!((&old["mode"], &old["protocolRules"]), (&json!("dry_run"), &json!(null)));
    let feed = control.get("/v1/allowlist/changes").await;
    let page = Page::parse(feed.text.as_bytes(), &Ask::default()).expect("a page");
    let entries = (page.epoch, page.head, page.keys.len(), page.streams.len());
    assert_eq!(entries, ("6a27c43a348016095e5ea22382a093ef", 7, 2, 3));

    let changed = control.patch(key, json!({"events": ["purchase"]})).await.done();
    assert_eq!((&changed["events"], &changed["revision"]), (&json!(["purchase"]), &json!(8)));
    let changed = control.patch(stream, json!({"protocolRules": "enforce"})).await.done();
    assert_eq!((&changed["protocolRules"], &changed["revision"]), (&json!("enforce"), &json!(9)));
    let created = control.key("crm", &["G-B"]).await;
    assert_eq!(created["revision"], 10);
    let before = control.everything().await;
    assert!(control.terminate().success());
    assert_eq!(Control::start(&directory).everything().await, before);
}
