//! Measurement consumers. They are not on the allowlist themselves, so they take no revision.

use mpgate_contract::ConsumerId;
use sqlx::{Row as _, SqliteConnection};

use super::signed;
use crate::model::{Consumer, Part, Slice};
use crate::store::row;
use crate::store::{Count, InUse, Stored};

pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: &ConsumerId,
) -> Stored<Option<Consumer>> {
    let row = sqlx::query("SELECT * FROM consumers WHERE consumer_id = ?")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::consumer).transpose()
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    slice: Slice,
) -> Stored<Part<Consumer>> {
    let rows = sqlx::query(
        "SELECT *, ordinal AS position FROM consumers
         WHERE ordinal > ? AND (? OR delete_time IS NULL) ORDER BY ordinal LIMIT ? + 1",
    )
    .bind(i64::try_from(slice.after).unwrap_or(i64::MAX))
    .bind(slice.show_deleted)
    .bind(slice.limit)
    .fetch_all(connection)
    .await?;
    row::part(&rows, slice, row::consumer)
}

pub(super) async fn in_use(
    connection: &mut SqliteConnection,
    consumer: &ConsumerId,
) -> Stored<InUse> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM streams WHERE consumer_id = ?1 AND state = 'active') AS streams,
                (SELECT count(*) FROM api_keys WHERE consumer_id = ?1 AND state <> 'revoked') AS keys",
    )
    .bind(consumer.as_str())
    .fetch_one(connection)
    .await?;
    Ok(InUse { streams: row.try_get("streams")?, keys: row.try_get("keys")? })
}

pub(super) async fn count(connection: &mut SqliteConnection, what: Count) -> Stored<u64> {
    let sql = match what {
        Count::Consumers => "SELECT count(*) FROM consumers WHERE delete_time IS NULL",
        Count::Streams => "SELECT count(*) FROM streams WHERE state = 'active'",
        // Asked before each create: kept by triggers, not counted.
        Count::Keys => "SELECT keys FROM live_counts",
        // One step in the index for each sender, not one for each key.
        Count::Senders => {
            "WITH RECURSIVE senders (sender) AS (
                 SELECT min(sender) FROM api_keys WHERE state <> 'revoked'
                 UNION ALL
                 SELECT (SELECT min(sender) FROM api_keys
                     WHERE state <> 'revoked' AND api_keys.sender > senders.sender)
                 FROM senders WHERE senders.sender IS NOT NULL)
             SELECT count(sender) FROM senders"
        }
        Count::Principals => "SELECT count(*) FROM principals WHERE revoke_time IS NULL",
        Count::Admins => {
            "SELECT count(*) FROM principals WHERE revoke_time IS NULL AND role = 'admin' AND EXISTS
                 (SELECT 1 FROM tokens WHERE tokens.principal_id = principals.principal_id
                     AND tokens.revoke_time IS NULL AND tokens.expire_time IS NULL)"
        }
    };
    Ok(sqlx::query(sql).fetch_one(connection).await?.try_get(0)?)
}

pub(super) async fn insert(connection: &mut SqliteConnection, consumer: &Consumer) -> Stored<()> {
    sqlx::query(
        "INSERT INTO consumers (consumer_id, display_name, version, create_time, delete_time)
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(consumer.id.as_str())
    .bind(&consumer.display_name)
    .bind(signed(consumer.version)?)
    .bind(consumer.create_time)
    .bind(consumer.delete_time)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update(connection: &mut SqliteConnection, consumer: &Consumer) -> Stored<()> {
    sqlx::query(
        "UPDATE consumers SET display_name = ?, version = ?, delete_time = ? WHERE consumer_id = ?",
    )
    .bind(&consumer.display_name)
    .bind(signed(consumer.version)?)
    .bind(consumer.delete_time)
    .bind(consumer.id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}
