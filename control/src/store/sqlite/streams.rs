//! Streams. There is one row per id over all consumers, as there is one entry per id on the
//! allowlist; a deleted stream's row is taken up again by the next owner of the id.

use mpgate_contract::{ConsumerId, State, Stream, StreamId, limits};
use sqlx::{Row as _, SqliteConnection};

use super::{Store, consumers, next_revision, read};
use crate::store::{Part, Refusal, Seconds, Slice, StoreError, StreamPatch, StreamRecord};

impl Store {
    /// Adds a stream. Its `revision` is given by the store.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`], [`Refusal::ConsumerDeleted`], [`Refusal::StreamExists`],
    /// [`Refusal::TooManyStreams`].
    pub async fn create_stream(
        &self,
        stream: &Stream,
        display_name: &str,
        now: Seconds,
    ) -> Result<StreamRecord, StoreError> {
        let mut transaction = self.begin().await?;
        consumers::expect_active(&mut transaction, &stream.consumer).await?;
        let row = sqlx::query(
            "SELECT count(*) AS active, coalesce(sum(stream_id = ?), 0) AS taken
             FROM streams WHERE state = 'active'",
        )
        .bind(stream.id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        if row.try_get::<i64, _>("taken")? > 0 {
            return Err(Refusal::StreamExists.into());
        }
        if row.try_get::<u64, _>("active")? >= limits::STREAMS_MAX as u64 {
            return Err(Refusal::TooManyStreams.into());
        }
        let revision = next_revision(&mut transaction).await?;
        let row = sqlx::query(
            "INSERT INTO streams (stream_id, consumer_id, stream_json, display_name, state,
                 revision, create_revision, create_time, update_time)
             VALUES (?1, ?2, ?3, ?4, 'active', ?5, ?5, ?6, ?6)
             ON CONFLICT (stream_id) DO UPDATE SET consumer_id = excluded.consumer_id,
                 stream_json = excluded.stream_json, display_name = excluded.display_name,
                 state = 'active', revision = excluded.revision,
                 create_revision = excluded.create_revision, create_time = excluded.create_time,
                 update_time = excluded.update_time
             RETURNING *",
        )
        .bind(stream.id.as_str())
        .bind(stream.consumer.as_str())
        .bind(serde_json::to_string(stream).map_err(read::broken)?)
        .bind(display_name)
        .bind(i64::try_from(revision).map_err(read::broken)?)
        .bind(now)
        .fetch_one(&mut *transaction)
        .await?;
        let record = read::stream(&row)?;
        self.commit_at(transaction, revision).await?;
        Ok(record)
    }

    /// One stream of this consumer, deleted or not.
    ///
    /// # Errors
    /// [`Refusal::NoStream`].
    pub async fn stream(
        &self,
        consumer: &ConsumerId,
        id: &StreamId,
    ) -> Result<StreamRecord, StoreError> {
        let mut snapshot = self.snapshot().await?;
        find(&mut snapshot, consumer, id).await
    }

    /// A part of the list.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`].
    pub async fn streams(
        &self,
        consumer: &ConsumerId,
        slice: Slice,
    ) -> Result<Part<StreamRecord>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        consumers::find(&mut snapshot, consumer).await?;
        let rows = sqlx::query(
            "SELECT *, create_revision AS position FROM streams
             WHERE consumer_id = ? AND create_revision > ? AND (? OR state = 'active')
             ORDER BY create_revision LIMIT ? + 1",
        )
        .bind(consumer.as_str())
        .bind(i64::try_from(slice.after).unwrap_or(i64::MAX))
        .bind(slice.show_deleted)
        .bind(slice.limit)
        .fetch_all(&mut *snapshot)
        .await?;
        read::part(&rows, slice, read::stream)
    }

    /// Changes a stream. A patch that changes nothing takes no revision.
    ///
    /// # Errors
    /// [`Refusal::NoStream`], [`Refusal::StreamDeleted`].
    pub async fn patch_stream(
        &self,
        consumer: &ConsumerId,
        id: &StreamId,
        patch: StreamPatch,
        now: Seconds,
    ) -> Result<StreamRecord, StoreError> {
        let mut transaction = self.begin().await?;
        let old = find(&mut transaction, consumer, id).await?;
        if old.state != State::Active {
            return Err(Refusal::StreamDeleted.into());
        }
        let mut new = old.clone();
        if let Some(display_name) = patch.display_name {
            new.display_name = display_name;
        }
        if let Some(mode) = patch.mode {
            new.stream.mode = mode;
        }
        if let Some(protocol_rules) = patch.protocol_rules {
            new.stream.protocol_rules = protocol_rules;
        }
        if let Some(silent) = patch.silent {
            new.stream.silent = silent;
        }
        if let Some(upstream_secret) = patch.upstream_secret {
            new.stream.upstream_secret = upstream_secret;
        }
        if new == old {
            return Ok(old);
        }
        let revision = next_revision(&mut transaction).await?;
        let row = sqlx::query(
            "UPDATE streams SET stream_json = ?, display_name = ?, revision = ?,
                 update_time = max(?, create_time) WHERE stream_id = ? RETURNING *",
        )
        .bind(serde_json::to_string(&new.stream).map_err(read::broken)?)
        .bind(&new.display_name)
        .bind(i64::try_from(revision).map_err(read::broken)?)
        .bind(now)
        .bind(id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        let record = read::stream(&row)?;
        self.commit_at(transaction, revision).await?;
        Ok(record)
    }

    /// Deletes a stream; one that is deleted stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoStream`], [`Refusal::StreamInUse`].
    pub async fn delete_stream(
        &self,
        consumer: &ConsumerId,
        id: &StreamId,
        now: Seconds,
    ) -> Result<StreamRecord, StoreError> {
        let mut transaction = self.begin().await?;
        let old = find(&mut transaction, consumer, id).await?;
        if old.state != State::Active {
            return Ok(old);
        }
        let grants: u64 = sqlx::query("SELECT count(*) FROM live_grants WHERE stream_id = ?")
            .bind(id.as_str())
            .fetch_one(&mut *transaction)
            .await?
            .try_get(0)?;
        if grants > 0 {
            return Err(Refusal::StreamInUse(grants).into());
        }
        let revision = next_revision(&mut transaction).await?;
        let row = sqlx::query(
            "UPDATE streams SET state = 'revoked', revision = ?, update_time = max(?, create_time)
             WHERE stream_id = ? RETURNING *",
        )
        .bind(i64::try_from(revision).map_err(read::broken)?)
        .bind(now)
        .bind(id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        let record = read::stream(&row)?;
        self.commit_at(transaction, revision).await?;
        Ok(record)
    }
}

/// The stream, deleted or not, if it is this consumer's.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    consumer: &ConsumerId,
    id: &StreamId,
) -> Result<StreamRecord, StoreError> {
    let row = sqlx::query("SELECT * FROM streams WHERE stream_id = ? AND consumer_id = ?")
        .bind(id.as_str())
        .bind(consumer.as_str())
        .fetch_optional(connection)
        .await?
        .ok_or(Refusal::NoStream)?;
    read::stream(&row)
}
