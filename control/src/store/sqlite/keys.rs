//! API keys. A key is created, perhaps revoked, and never erased: its digest stays taken.

use mpgate_contract::{ConsumerId, KeyId, State};
use sqlx::SqliteConnection;

use super::{Store, consumers, next_revision, read, streams};
use crate::store::{KeyRecord, NewKey, Part, Refusal, Seconds, Slice, StoreError};

impl Store {
    /// Adds a key.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`], [`Refusal::ConsumerDeleted`], [`Refusal::GrantNamesNoStream`],
    /// [`Refusal::GrantMixesEnvironments`].
    pub async fn create_key(
        &self,
        new: &NewKey<'_>,
        now: Seconds,
    ) -> Result<KeyRecord, StoreError> {
        let mut transaction = self.begin().await?;
        consumers::expect_active(&mut transaction, new.consumer).await?;
        expect_streams(&mut transaction, new).await?;
        let revision = next_revision(&mut transaction).await?;
        let row = sqlx::query(
            "INSERT INTO api_keys (key_id, consumer_id, digest, grant_json, nickname, description,
                 state, revision, create_revision, create_time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'active', ?7, ?7, ?8) RETURNING *",
        )
        .bind(new.grant.key_id.as_str())
        .bind(new.consumer.as_str())
        .bind(&new.digest.as_bytes()[..])
        .bind(serde_json::to_string(&new.grant).map_err(read::broken)?)
        .bind(&new.nickname)
        .bind(&new.description)
        .bind(i64::try_from(revision).map_err(read::broken)?)
        .bind(now)
        .fetch_one(&mut *transaction)
        .await?;
        for stream in &new.grant.streams {
            sqlx::query(
                "INSERT INTO live_grants (key_id, stream_id, consumer_id) VALUES (?, ?, ?)",
            )
            .bind(new.grant.key_id.as_str())
            .bind(stream.as_str())
            .bind(new.consumer.as_str())
            .execute(&mut *transaction)
            .await?;
        }
        let record = read::key(&row)?;
        self.commit_at(transaction, revision).await?;
        Ok(record)
    }

    /// One key of this consumer, revoked or not.
    ///
    /// # Errors
    /// [`Refusal::NoKey`].
    pub async fn key(&self, consumer: &ConsumerId, id: &KeyId) -> Result<KeyRecord, StoreError> {
        let mut snapshot = self.snapshot().await?;
        find(&mut snapshot, consumer, id).await
    }

    /// A part of the list.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`].
    pub async fn keys(
        &self,
        consumer: &ConsumerId,
        slice: Slice,
    ) -> Result<Part<KeyRecord>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        consumers::find(&mut snapshot, consumer).await?;
        let rows = sqlx::query(
            "SELECT *, create_revision AS position FROM api_keys
             WHERE consumer_id = ? AND create_revision > ? AND (? OR state = 'active')
             ORDER BY create_revision LIMIT ? + 1",
        )
        .bind(consumer.as_str())
        .bind(i64::try_from(slice.after).unwrap_or(i64::MAX))
        .bind(slice.show_deleted)
        .bind(slice.limit)
        .fetch_all(&mut *snapshot)
        .await?;
        read::part(&rows, slice, read::key)
    }

    /// Revokes a key; one that is revoked stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoKey`].
    pub async fn revoke_key(
        &self,
        consumer: &ConsumerId,
        id: &KeyId,
        now: Seconds,
    ) -> Result<KeyRecord, StoreError> {
        let mut transaction = self.begin().await?;
        let old = find(&mut transaction, consumer, id).await?;
        if old.state != State::Active {
            return Ok(old);
        }
        let revision = next_revision(&mut transaction).await?;
        let row = sqlx::query(
            "UPDATE api_keys SET state = 'revoked', revision = ?, revoke_time = max(?, create_time)
             WHERE key_id = ? RETURNING *",
        )
        .bind(i64::try_from(revision).map_err(read::broken)?)
        .bind(now)
        .bind(id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        let record = read::key(&row)?;
        self.commit_at(transaction, revision).await?;
        Ok(record)
    }
}

/// Each stream must be there, be active, be this consumer's; all of one environment.
async fn expect_streams(
    connection: &mut SqliteConnection,
    new: &NewKey<'_>,
) -> Result<(), StoreError> {
    let mut environment = None;
    for id in &new.grant.streams {
        let record = match streams::find(connection, new.consumer, id).await {
            Ok(record) if record.state == State::Active => record,
            Ok(_) | Err(StoreError::Refused(Refusal::NoStream)) => {
                return Err(Refusal::GrantNamesNoStream(id.clone()).into());
            }
            Err(error) => return Err(error),
        };
        let own = record.stream.environment;
        if *environment.get_or_insert(own) != own {
            return Err(Refusal::GrantMixesEnvironments.into());
        }
    }
    Ok(())
}

async fn find(
    connection: &mut SqliteConnection,
    consumer: &ConsumerId,
    id: &KeyId,
) -> Result<KeyRecord, StoreError> {
    let row = sqlx::query("SELECT * FROM api_keys WHERE key_id = ? AND consumer_id = ?")
        .bind(id.as_str())
        .bind(consumer.as_str())
        .fetch_optional(connection)
        .await?
        .ok_or(Refusal::NoKey)?;
    read::key(&row)
}
