//! Measurement consumers. They are not on the allowlist themselves, so they take no revision.

use mpgate_contract::ConsumerId;
use sqlx::PgConnection;

use super::signed;
use crate::model::{Consumer, Part, Slice};
use crate::store::row::{self, Columns as _};
use crate::store::{Count, InUse, Stored};

pub(super) async fn find(
    connection: &mut PgConnection,
    id: &ConsumerId,
) -> Stored<Option<Consumer>> {
    let row = sqlx::query("SELECT * FROM consumers WHERE consumer_id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::consumer).transpose()
}

pub(super) async fn list(connection: &mut PgConnection, slice: Slice) -> Stored<Part<Consumer>> {
    let rows = sqlx::query(
        "SELECT *, ordinal AS position FROM consumers
         WHERE ordinal > $1 AND ($2 OR delete_time IS NULL) ORDER BY ordinal LIMIT $3 + 1",
    )
    .bind(i64::try_from(slice.after).unwrap_or(i64::MAX))
    .bind(slice.show_deleted)
    .bind(i64::from(slice.limit))
    .fetch_all(connection)
    .await?;
    row::part(&rows, slice, row::consumer)
}

pub(super) async fn in_use(connection: &mut PgConnection, consumer: &ConsumerId) -> Stored<InUse> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM streams WHERE consumer_id = $1 AND state = 'active') AS streams,
                (SELECT count(*) FROM api_keys WHERE consumer_id = $1 AND state <> 'revoked') AS keys",
    )
    .bind(consumer.as_str())
    .fetch_one(connection)
    .await?;
    Ok(InUse { streams: row.count("streams")?, keys: row.count("keys")? })
}

pub(super) async fn count(connection: &mut PgConnection, what: Count) -> Stored<u64> {
    let sql = match what {
        Count::Consumers => "SELECT count(*) AS found FROM consumers WHERE delete_time IS NULL",
        Count::Streams => "SELECT count(*) AS found FROM streams WHERE state = 'active'",
        // Asked before each create: kept by triggers, not counted.
        Count::Keys => "SELECT keys AS found FROM live_counts",
        // One step in the index for each sender, not one for each key.
        Count::Senders => {
            "WITH RECURSIVE senders (sender) AS (
                 SELECT min(sender) FROM api_keys WHERE state <> 'revoked'
                 UNION ALL
                 SELECT (SELECT min(sender) FROM api_keys
                     WHERE state <> 'revoked' AND api_keys.sender > senders.sender)
                 FROM senders WHERE senders.sender IS NOT NULL)
             SELECT count(sender) AS found FROM senders"
        }
        Count::Principals => "SELECT count(*) AS found FROM principals WHERE revoke_time IS NULL",
        Count::Admins => {
            "SELECT count(*) AS found FROM principals WHERE revoke_time IS NULL AND role = 'admin' AND EXISTS
                 (SELECT 1 FROM tokens WHERE tokens.principal_id = principals.principal_id
                     AND tokens.revoke_time IS NULL AND tokens.expire_time IS NULL)"
        }
    };
    Ok(sqlx::query(sql).fetch_one(connection).await?.count("found")?)
}

pub(super) async fn insert(connection: &mut PgConnection, consumer: &Consumer) -> Stored<()> {
    sqlx::query(
        "INSERT INTO consumers (consumer_id, display_name, version, create_time, delete_time)
         VALUES ($1, $2, $3, $4, $5)",
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

pub(super) async fn update(connection: &mut PgConnection, consumer: &Consumer) -> Stored<()> {
    sqlx::query(
        "UPDATE consumers SET display_name = $1, version = $2, delete_time = $3 WHERE consumer_id = $4",
    )
    .bind(&consumer.display_name)
    .bind(signed(consumer.version)?)
    .bind(consumer.delete_time)
    .bind(consumer.id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}
