//! API keys. A key is created, changed, perhaps revoked, and never erased: its digest stays taken.

use mpgate_contract::{ConsumerId, Digest, KeyId};
use sqlx::{Row as _, SqliteConnection};

use super::signed;
use crate::model::{KeyEnd, KeyRecord, KeyState, KeyUse, Part, Seconds, Slice};
use crate::store::Stored;
use crate::store::row;

pub(super) async fn find(
    connection: &mut SqliteConnection,
    consumer: &ConsumerId,
    id: &KeyId,
) -> Stored<Option<KeyRecord>> {
    let row = sqlx::query("SELECT * FROM api_keys WHERE key_id = ? AND consumer_id = ?")
        .bind(id.as_str())
        .bind(consumer.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::key).transpose()
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    consumer: &ConsumerId,
    slice: Slice,
) -> Stored<Part<KeyRecord>> {
    let rows = sqlx::query(
        "SELECT *, create_revision AS position FROM api_keys
         WHERE consumer_id = ? AND create_revision > ? AND (? OR state <> 'revoked')
         ORDER BY create_revision LIMIT ? + 1",
    )
    .bind(consumer.as_str())
    .bind(i64::try_from(slice.after).unwrap_or(i64::MAX))
    .bind(slice.show_deleted)
    .bind(slice.limit)
    .fetch_all(connection)
    .await?;
    row::part(&rows, slice, row::key)
}

pub(super) async fn has_digest(connection: &mut SqliteConnection, digest: Digest) -> Stored<bool> {
    let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM api_keys WHERE digest = ?)")
        .bind(&digest.as_bytes()[..])
        .fetch_one(connection)
        .await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn has_sender(connection: &mut SqliteConnection, sender: &str) -> Stored<bool> {
    let row = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM api_keys WHERE sender = ? AND state <> 'revoked')",
    )
    .bind(sender)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    key: &KeyRecord,
    digest: Digest,
) -> Stored<()> {
    sqlx::query(
        "INSERT INTO api_keys (key_id, consumer_id, environment, digest, grant_json, sender, nickname,
             description, state, origin, predecessor, successor, revision, create_revision, create_time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14)",
    )
    .bind(key.grant.key_id.as_str())
    .bind(key.consumer.as_str())
    .bind(key.environment.label())
    .bind(&digest.as_bytes()[..])
    .bind(serde_json::to_string(&key.grant).map_err(row::broken)?)
    .bind(key.grant.sender.as_str())
    .bind(&key.nickname)
    .bind(&key.description)
    .bind(key.state.label())
    .bind(key.origin.label())
    .bind(key.predecessor.as_ref().map(KeyId::as_str))
    .bind(key.successor.as_ref().map(KeyId::as_str))
    .bind(signed(key.revision)?)
    .bind(key.create_time)
    .execute(&mut *connection)
    .await?;
    hold_streams(connection, key).await
}

pub(super) async fn update(connection: &mut SqliteConnection, key: &KeyRecord) -> Stored<()> {
    sqlx::query(
        "UPDATE api_keys SET grant_json = ?, nickname = ?, description = ?, state = ?, successor = ?,
             revision = ?, revoke_time = ? WHERE key_id = ?",
    )
    .bind(serde_json::to_string(&key.grant).map_err(row::broken)?)
    .bind(&key.nickname)
    .bind(&key.description)
    .bind(key.state.label())
    .bind(key.successor.as_ref().map(KeyId::as_str))
    .bind(signed(key.revision)?)
    .bind(key.revoke_time)
    .bind(key.grant.key_id.as_str())
    .execute(&mut *connection)
    .await?;
    if key.state == KeyState::Revoked {
        return Ok(());
    }
    sqlx::query("DELETE FROM live_grants WHERE key_id = ?")
        .bind(key.grant.key_id.as_str())
        .execute(&mut *connection)
        .await?;
    hold_streams(connection, key).await
}

/// The streams of a key that is not revoked cannot be deleted.
async fn hold_streams(connection: &mut SqliteConnection, key: &KeyRecord) -> Stored<()> {
    for stream in &key.grant.streams {
        sqlx::query(
            "INSERT INTO live_grants (key_id, stream_id, consumer_id, environment) VALUES (?, ?, ?, ?)",
        )
        .bind(key.grant.key_id.as_str())
        .bind(stream.as_str())
        .bind(key.consumer.as_str())
        .bind(key.environment.label())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn ends(
    connection: &mut SqliteConnection,
    after: Seconds,
    limit: u32,
) -> Stored<Vec<KeyEnd>> {
    let rows = sqlx::query(
        "SELECT consumer_id, sender, key_id, json_extract(grant_json, '$.expire_time') AS expire_time
         FROM api_keys
         WHERE state = 'active' AND json_extract(grant_json, '$.expire_time') > ?
         ORDER BY json_extract(grant_json, '$.expire_time'), key_id LIMIT ?",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(row::key_end).collect()
}

pub(super) async fn uses(connection: &mut SqliteConnection, keys: &[KeyId]) -> Stored<Vec<KeyUse>> {
    // The list as JSON: one statement, however many keys.
    let rows = sqlx::query(
        "SELECT last_accept_time, last_refuse_time FROM json_each(?) AS asked
         LEFT JOIN key_uses ON key_uses.key_id = asked.value ORDER BY asked.key",
    )
    .bind(serde_json::to_string(keys).map_err(row::broken)?)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(KeyUse {
                last_accept_time: row.try_get("last_accept_time")?,
                last_refuse_time: row.try_get("last_refuse_time")?,
            })
        })
        .collect()
}

pub(super) async fn add_uses(
    connection: &mut SqliteConnection,
    uses: &[(KeyId, KeyUse)],
) -> Stored<()> {
    for (key, key_use) in uses {
        sqlx::query(
            "INSERT INTO key_uses (key_id, last_accept_time, last_refuse_time)
             SELECT key_id, ?2, ?3 FROM api_keys WHERE key_id = ?1
             ON CONFLICT (key_id) DO UPDATE SET
                 last_accept_time = coalesce(max(last_accept_time, excluded.last_accept_time),
                     last_accept_time, excluded.last_accept_time),
                 last_refuse_time = coalesce(max(last_refuse_time, excluded.last_refuse_time),
                     last_refuse_time, excluded.last_refuse_time)",
        )
        .bind(key.as_str())
        .bind(key_use.last_accept_time)
        .bind(key_use.last_refuse_time)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
