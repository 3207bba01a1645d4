//! Measurement consumers. They are not on the allowlist themselves, so they take no revision.

use mpgate_contract::ConsumerId;
use sqlx::{Row as _, SqliteConnection};

use super::{Store, read};
use crate::store::{Consumer, Part, Refusal, Seconds, Slice, StoreError};

impl Store {
    /// Adds a consumer.
    ///
    /// # Errors
    /// [`Refusal::ConsumerExists`], also for the id of a deleted one.
    pub async fn create_consumer(
        &self,
        id: &ConsumerId,
        display_name: &str,
        now: Seconds,
    ) -> Result<Consumer, StoreError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "INSERT INTO consumers (consumer_id, display_name, create_time) VALUES (?, ?, ?)
             ON CONFLICT DO NOTHING RETURNING *",
        )
        .bind(id.as_str())
        .bind(display_name)
        .bind(now)
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(Refusal::ConsumerExists)?;
        transaction.commit().await?;
        read::consumer(&row)
    }

    /// One consumer, deleted or not.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`].
    pub async fn consumer(&self, id: &ConsumerId) -> Result<Consumer, StoreError> {
        let mut snapshot = self.snapshot().await?;
        find(&mut snapshot, id).await
    }

    /// A part of the list.
    ///
    /// # Errors
    /// The database failed.
    pub async fn consumers(&self, slice: Slice) -> Result<Part<Consumer>, StoreError> {
        let rows = sqlx::query(
            "SELECT *, ordinal AS position FROM consumers
             WHERE ordinal > ? AND (? OR delete_time IS NULL) ORDER BY ordinal LIMIT ? + 1",
        )
        .bind(i64::try_from(slice.after).unwrap_or(i64::MAX))
        .bind(slice.show_deleted)
        .bind(slice.limit)
        .fetch_all(&self.readers)
        .await?;
        read::part(&rows, slice, read::consumer)
    }

    /// Deletes a consumer; one that is deleted stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`], [`Refusal::ConsumerInUse`].
    pub async fn delete_consumer(
        &self,
        id: &ConsumerId,
        now: Seconds,
    ) -> Result<Consumer, StoreError> {
        let mut transaction = self.begin().await?;
        let mut consumer = find(&mut transaction, id).await?;
        if consumer.delete_time.is_some() {
            return Ok(consumer);
        }
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM streams WHERE consumer_id = ?1 AND state = 'active') AS streams,
                    (SELECT count(*) FROM api_keys WHERE consumer_id = ?1 AND state = 'active') AS keys",
        )
        .bind(id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        let (streams, keys) = (row.try_get("streams")?, row.try_get("keys")?);
        if (streams, keys) != (0, 0) {
            return Err(Refusal::ConsumerInUse(streams, keys).into());
        }
        let end = now.max(consumer.create_time);
        sqlx::query("UPDATE consumers SET delete_time = ? WHERE consumer_id = ?")
            .bind(end)
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        consumer.delete_time = Some(end);
        Ok(consumer)
    }
}

/// The consumer, deleted or not.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    id: &ConsumerId,
) -> Result<Consumer, StoreError> {
    let row = sqlx::query("SELECT * FROM consumers WHERE consumer_id = ?")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?
        .ok_or(Refusal::NoConsumer)?;
    read::consumer(&row)
}

/// The consumer must be there and take streams and keys.
pub(super) async fn expect_active(
    connection: &mut SqliteConnection,
    id: &ConsumerId,
) -> Result<(), StoreError> {
    match find(connection, id).await?.delete_time {
        None => Ok(()),
        Some(_) => Err(Refusal::ConsumerDeleted.into()),
    }
}
