//! What the schema itself refuses: a wrong program cannot break these, not even with SQL of its own.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::harness::{Control, Directory, is_skipped_on_postgres};

/// SQL, and the word in the refusal. `+` before it: first takes a revision, as a change should.
const REFUSED: &[(&str, &str)] = &[
    ("UPDATE allowlist SET head = head", "never given out twice"),
    ("UPDATE allowlist SET head = head - 1", "never given out twice"),
    ("INSERT INTO allowlist VALUES (2, 'e', 0)", "CHECK"),
    ("UPDATE allowlist SET epoch = ''", "CHECK"),
    ("UPDATE streams SET display_name = 'x'", "revision of its transaction"),
    ("UPDATE streams SET revision = revision + 1000", "revision of its transaction"),
    ("UPDATE api_keys SET nickname = 'x'", "revision of its transaction"),
    ("DELETE FROM api_keys", "not erased"),
    ("DELETE FROM streams", "not erased"),
    ("DELETE FROM principals", "not erased"),
    ("DELETE FROM consumers", "FOREIGN KEY"),
    ("UPDATE consumers SET delete_time = create_time", "active streams or keys"),
    ("UPDATE principals SET role = 'king'", "CHECK"),
    ("UPDATE tokens SET digest = x'00'", "keeps its id, its secret"),
    ("DELETE FROM tokens", "not erased"),
    ("UPDATE audit_events SET source = 'x'", "only appended to"),
    ("DELETE FROM audit_events", "only appended to"),
    ("UPDATE principals SET consumers = 'x'", "CHECK"),
    ("UPDATE principals SET role = 'owner'", "CHECK"),
    ("+UPDATE streams SET state = 'revoked', revision = (SELECT head FROM allowlist) WHERE stream_id = 'G-A'",
        "an active key is granted this stream"),
    ("+UPDATE streams SET consumer_id = 'other', revision = (SELECT head FROM allowlist) WHERE stream_id = 'G-A'",
        "CHECK"),
    ("+UPDATE streams SET stream_json = json_set(stream_json, '$.environment', 'x'), revision = (SELECT head FROM allowlist)
        WHERE stream_id = 'G-A'", "CHECK"),
    ("+UPDATE api_keys SET state = 'active', revoke_time = NULL, revision = (SELECT head FROM allowlist)
        WHERE state = 'revoked'", "a revoked key stays as it is"),
    ("+UPDATE api_keys SET digest = zeroblob(32), revision = (SELECT head FROM allowlist) WHERE state = 'active'",
        "keeps its id, its secret"),
    ("+UPDATE api_keys SET state = 'revoked', revision = (SELECT head FROM allowlist) WHERE state = 'active'",
        "CHECK"),
    ("+UPDATE api_keys SET grant_json = '{}', revision = (SELECT head FROM allowlist) WHERE state = 'active'",
        "CHECK"),
    (
        "+UPDATE streams SET stream_json = '{}', revision = (SELECT head FROM allowlist) WHERE stream_id = 'G-A'",
        "CHECK",
    ),
    ("+INSERT INTO api_keys SELECT 'AAAAAAAAAAAA', consumer_id, environment, digest,
        json_set(grant_json, '$.key_id', 'AAAAAAAAAAAA'), sender, '', '', 'active', origin, NULL, NULL,
        (SELECT head FROM allowlist), (SELECT head FROM allowlist), create_time, NULL
        FROM api_keys WHERE state = 'revoked'",
        "UNIQUE constraint failed: api_keys.digest"),
    ("INSERT INTO live_grants SELECT key_id, 'G-O', 'acme', 'staging' FROM api_keys WHERE state = 'active'",
        "only an active stream"),
    ("INSERT INTO live_grants SELECT key_id, 'G-O', 'other', 'staging' FROM api_keys WHERE state = 'active'",
        "FOREIGN KEY"),
    ("+UPDATE api_keys SET environment = 'staging', revision = (SELECT head FROM allowlist) WHERE state = 'active'",
        "keeps its id, its secret"),
];

#[tokio::test]
async fn the_schema_refuses_nonsense() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let path = "/v1/measurementConsumers?measurementConsumerId=other";
    control.post(path, serde_json::json!({})).await.done();
    let body =
        serde_json::json!({"streamId": "G-O", "environment": "staging", "upstreamSecret": "none"});
    control.post("/v1/measurementConsumers/other/dataStreams", body).await.done();
    control.key("billing", &["G-A"]).await;
    let key = control.key("crm", &["G-A"]).await;
    control.delete(&format!("/v1/{}", key["name"].as_str().expect("a name"))).await.done();
    let before = control.everything().await;

    let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
    let mut connection = options.foreign_keys(true).connect().await.expect("the database");
    for (sql, word) in REFUSED {
        let mut transaction = connection.begin().await.expect("a transaction");
        let statement = sql.trim_start_matches('+');
        if sql.starts_with('+') {
            let take = "UPDATE allowlist SET head = head + 1";
            sqlx::query(take).execute(&mut *transaction).await.expect("a revision");
        }
        let result = sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await;
        let error = match result {
            Ok(done) => panic!("{statement} changed {} row(s)", done.rows_affected()),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(word), "{statement}: {error}");
        transaction.rollback().await.expect("a rollback");
    }
    assert_eq!(control.everything().await, before);
}
