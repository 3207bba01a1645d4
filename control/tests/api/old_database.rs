//! A database that an older control wrote is opened and served. `old_database.sql` is a dump of one
//! that was written before keys had restrictions and streams protocol rules.

use std::fs;
use std::process::Stdio;

use mpgate_contract::{Ask, Digest, Page};
use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::harness::{Control, Directory, is_skipped_on_postgres, serve, wait};

/// Puts the old database where control looks, with a token for its admin.
async fn restore(directory: &Directory) {
    restore_dump(directory, include_str!("old_database.sql").to_owned()).await;
}

async fn restore_dump(directory: &Directory, dump: String) {
    let token = format!("mpt_{}", "0".repeat(64));
    let options = SqliteConnectOptions::new()
        .filename(directory.join("mpgate.sqlite"))
        .create_if_missing(true)
        .foreign_keys(false);
    let mut connection = options.connect().await.expect("a new database");
    sqlx::raw_sql(AssertSqlSafe(dump)).execute(&mut connection).await.expect("the dump");
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
    if is_skipped_on_postgres() {
        return;
    }
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

#[tokio::test]
async fn a_sender_of_a_name_that_is_reserved_now_stays() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let dump = include_str!("old_database.sql");
    let dump = dump.replace("\"sender\":\"billing\"", "\"sender\":\"other\"");
    restore_dump(&directory, dump).await;
    let control = Control::start(&directory);
    let keys = "/v1/measurementConsumers/acme/apiKeys";
    let old = format!("{keys}/TdNPHM19kgiE");
    assert_eq!(control.get(&old).await.done()["sender"], "other");
    let rotated = control.post(&format!("{old}:rotate"), json!({})).await.done();
    assert_eq!(rotated["sender"], "other");
    assert_eq!(control.key("other", &["G-B"]).await["sender"], "other");
    let new = json!({"sender": "unknown", "dataStreams": ["G-B"]});
    let refused = control.post(keys, new).await;
    assert_eq!((refused.status, refused.json()["field"].clone()), (400, json!("sender")));
    assert!(refused.text.contains("choose another name"), "{}", refused.text);
}

async fn execute(directory: &Directory, sql: &str) {
    let options =
        SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite")).foreign_keys(false);
    let mut connection = options.connect().await.expect("the database");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("a statement");
    connection.close().await.expect("the database");
}

/// The schema and its version.
async fn schema(directory: &Directory) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
    let mut connection = options.connect().await.expect("the database");
    let sql = "SELECT coalesce(sql, name) FROM sqlite_master
        UNION ALL SELECT 'version ' || user_version FROM pragma_user_version ORDER BY 1";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("the schema");
    connection.close().await.expect("the database");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn what_was_revoked_stays_so_in_the_new_version() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    restore(&directory).await;
    let token = format!("mpt_{}", "1".repeat(64));
    let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
    let mut connection = options.connect().await.expect("the database");
    sqlx::query("INSERT INTO principals VALUES (9, 'gone', '', 'gateway', ?, 1, 2)")
        .bind(&Digest::of(token.as_bytes()).as_bytes()[..])
        .execute(&mut connection)
        .await
        .expect("a principal");
    connection.close().await.expect("the database");
    let control = Control::start(&directory);
    let path = "/v1/allowlist/changes";
    assert_eq!(control.call("GET", path, Some(&token), None).await.status, 401);
    let key = "/v1/measurementConsumers/acme/apiKeys/92AHAM5GLpMa";
    assert_eq!(control.get(key).await.done()["state"], "REVOKED");
    let stream = "/v1/measurementConsumers/acme/dataStreams/G-GONE";
    assert_eq!(control.get(stream).await.done()["state"], "REVOKED");
    let enabled = control.post(&format!("{key}:enable"), json!({})).await;
    assert_eq!(enabled.status, 409, "{}", enabled.text);
}

/// A step that fails in the middle, after tables were made anew; and rows that contradict each other.
#[tokio::test]
async fn a_migration_that_fails_leaves_the_old_version() {
    if is_skipped_on_postgres() {
        return;
    }
    for (fault, words, repair) in [
        ("CREATE TABLE new_live_grants (x)", "already exists", "DROP TABLE new_live_grants"),
        (
            "INSERT INTO live_grants VALUES ('TdNPHM19kgiE', 'G-NO', 'acme')",
            "contradicts itself",
            "DELETE FROM live_grants WHERE stream_id = 'G-NO'",
        ),
    ] {
        let directory = Directory::new();
        restore(&directory).await;
        execute(&directory, fault).await;
        let before = schema(&directory).await;
        let output = serve(&directory).output().expect("control runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(words), "{error}");
        assert_eq!(schema(&directory).await, before);
        execute(&directory, repair).await;
        let control = Control::start(&directory);
        assert_eq!(control.key("crm", &["G-B"]).await["revision"], 8);
    }
}

/// Killed at any moment of the migration, it is done from the start the next time.
#[tokio::test]
async fn a_migration_that_is_killed_is_begun_again() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    restore(&directory).await;
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let newest = fs::read_dir(migrations).expect("the migrations").count();
    let whole = ["version 1".to_owned(), format!("version {newest}")];
    for polls in [0, 50, 500, 5_000, 50_000] {
        let mut command = serve(&directory);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("control");
        for _ in 0..polls {
            std::thread::yield_now();
        }
        child.kill().expect("the child is ours");
        wait(&mut child);
        let versions: Vec<_> =
            schema(&directory).await.into_iter().filter(|it| it.starts_with("version ")).collect();
        assert!(whole.contains(&versions[0]), "{versions:?}");
    }
    let control = Control::start(&directory);
    assert_eq!(control.key("crm", &["G-B"]).await["revision"], 8);
}

/// What the fourth version wrote in seconds.
#[tokio::test]
async fn a_gateway_stays_heard_when_it_was() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    fs::write(directory.join("mpgate.sqlite"), "").expect("a file");
    let heard = jiff::Timestamp::now().as_second() - 40;
    let gateway = format!(
        "INSERT INTO gateways VALUES ('edge', 'a1', '', '', '', '[]', NULL, '[]', 7, {heard}),
             ('edge', 'b1', 'front', '', '', '[]', NULL, '[]', 6, {heard})"
    );
    for sql in [
        include_str!("../../migrations/sqlite/0001_allowlist.sql"),
        include_str!("../../migrations/sqlite/0002_control.sql"),
        include_str!("../../migrations/sqlite/0003_usage.sql"),
        include_str!("../../migrations/sqlite/0004_reconciliations.sql"),
        "PRAGMA user_version = 4",
        &gateway,
    ] {
        execute(&directory, sql).await;
    }
    let control = Control::start(&directory);
    let found = control.get("/v1/gateways/edge.a1").await.done();
    let told = jiff::Timestamp::from_second(heard).expect("a time").to_string();
    assert_eq!((&found["lastSeenTime"], &found["revision"]), (&json!(told), &json!(7)));
    assert_eq!(found["state"], "LIVE");
    assert_eq!(control.get("/v1/gateways/edge.b1.front").await.done()["revision"], 6);
}

/// The trail of the seventh version, which had changes only.
#[tokio::test]
async fn an_old_trail_is_read_and_gone_on_with() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    fs::write(directory.join("mpgate.sqlite"), "").expect("a file");
    for sql in [
        include_str!("../../migrations/sqlite/0001_allowlist.sql"),
        include_str!("../../migrations/sqlite/0002_control.sql"),
        include_str!("../../migrations/sqlite/0003_usage.sql"),
        include_str!("../../migrations/sqlite/0004_reconciliations.sql"),
        include_str!("../../migrations/sqlite/0005_gateways_in_milliseconds.sql"),
        include_str!("../../migrations/sqlite/0006_gateways_lives.sql"),
        include_str!("../../migrations/sqlite/0007_token_ends.sql"),
        "PRAGMA user_version = 7",
        "INSERT INTO audit_events (time, action, resource) VALUES (1700000000, 'create', 'principals/x')",
    ] {
        execute(&directory, sql).await;
    }
    let control = Control::start(&directory);
    let trail = control.get("/v1/auditEvents").await.done();
    let old = json!({"name": "auditEvents/1", "time": "2023-11-14T22:13:20Z", "action": "create",
        "resource": "principals/x"});
    assert_eq!(trail["auditEvents"][0], old);
    assert_eq!(trail["auditEvents"][1]["resource"], "principals/admin");
}

#[tokio::test]
async fn two_that_start_at_once_migrate_once() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    restore(&directory).await;
    let start = || Control::start(&directory);
    let (one, other) = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(start), scope.spawn(start));
        (one.join().expect("control starts"), other.join().expect("control starts"))
    });
    assert_eq!(one.key("crm", &["G-B"]).await["revision"], 8);
    assert_eq!(other.key("crm", &["G-B"]).await["revision"], 9);
    assert_eq!(one.everything().await, other.everything().await);
}
