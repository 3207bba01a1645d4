//! API keys. A key is created, changed, perhaps revoked, and never erased: its digest stays taken.

use mpgate_contract::{ConsumerId, Grant, KeyId, State, StreamId, limits};
use sqlx::SqliteConnection;

use super::{Store, consumers, next_revision, read, streams};
use crate::store::{KeyPatch, KeyRecord, NewKey, Part, Refusal, Seconds, Slice, StoreError};

impl Store {
    /// Adds a key.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`], [`Refusal::ConsumerDeleted`], [`Refusal::GrantNamesNoStream`],
    /// [`Refusal::GrantMixesEnvironments`], [`Refusal::GrantTooLarge`],
    /// [`Refusal::KeyEndsInThePast`], [`Refusal::KeyEndsBeforeItBegins`].
    pub async fn create_key(
        &self,
        new: &NewKey<'_>,
        now: Seconds,
    ) -> Result<KeyRecord, StoreError> {
        let mut transaction = self.begin().await?;
        consumers::expect_active(&mut transaction, new.consumer).await?;
        expect_streams(&mut transaction, new.consumer, &new.grant.streams).await?;
        expect_life(None, &new.grant, now)?;
        let grant_json = grant_json(&new.grant)?;
        let revision = next_revision(&mut transaction).await?;
        let row = sqlx::query(
            "INSERT INTO api_keys (key_id, consumer_id, digest, grant_json, nickname, description,
                 state, revision, create_revision, create_time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'active', ?7, ?7, ?8) RETURNING *",
        )
        .bind(new.grant.key_id.as_str())
        .bind(new.consumer.as_str())
        .bind(&new.digest.as_bytes()[..])
        .bind(grant_json)
        .bind(&new.nickname)
        .bind(&new.description)
        .bind(i64::try_from(revision).map_err(read::broken)?)
        .bind(now)
        .fetch_one(&mut *transaction)
        .await?;
        let record = read::key(&row)?;
        hold_streams(&mut transaction, &record).await?;
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

    /// Changes a key. A patch that changes nothing takes no revision.
    ///
    /// # Errors
    /// [`Refusal::NoKey`], [`Refusal::KeyRevoked`], and what a new key of that grant is refused for.
    pub async fn patch_key(
        &self,
        consumer: &ConsumerId,
        id: &KeyId,
        patch: KeyPatch,
        now: Seconds,
    ) -> Result<KeyRecord, StoreError> {
        let mut transaction = self.begin().await?;
        let old = find(&mut transaction, consumer, id).await?;
        if old.state != State::Active {
            return Err(Refusal::KeyRevoked.into());
        }
        let new = patched(&old, patch);
        if new == old {
            return Ok(old);
        }
        let other_streams = new.grant.streams != old.grant.streams;
        if other_streams {
            expect_streams(&mut transaction, consumer, &new.grant.streams).await?;
        }
        expect_life(Some(&old.grant), &new.grant, now)?;
        let grant_json = grant_json(&new.grant)?;
        let revision = next_revision(&mut transaction).await?;
        let row = sqlx::query(
            "UPDATE api_keys SET grant_json = ?, nickname = ?, description = ?, revision = ?
             WHERE key_id = ? RETURNING *",
        )
        .bind(grant_json)
        .bind(&new.nickname)
        .bind(&new.description)
        .bind(i64::try_from(revision).map_err(read::broken)?)
        .bind(id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
        let record = read::key(&row)?;
        if other_streams {
            sqlx::query("DELETE FROM live_grants WHERE key_id = ?")
                .bind(id.as_str())
                .execute(&mut *transaction)
                .await?;
            hold_streams(&mut transaction, &record).await?;
        }
        self.commit_at(transaction, revision).await?;
        Ok(record)
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
    consumer: &ConsumerId,
    ids: &[StreamId],
) -> Result<(), StoreError> {
    let mut environment = None;
    for (place, id) in ids.iter().enumerate() {
        let record = match streams::find(connection, consumer, id).await {
            Ok(record) if record.state == State::Active => record,
            Ok(_) | Err(StoreError::Refused(Refusal::NoStream)) => {
                return Err(Refusal::GrantNamesNoStream(place, id.clone()).into());
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

/// The streams of an active key cannot be deleted.
async fn hold_streams(
    connection: &mut SqliteConnection,
    key: &KeyRecord,
) -> Result<(), StoreError> {
    for stream in &key.grant.streams {
        sqlx::query("INSERT INTO live_grants (key_id, stream_id, consumer_id) VALUES (?, ?, ?)")
            .bind(key.grant.key_id.as_str())
            .bind(stream.as_str())
            .bind(key.consumer.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn patched(old: &KeyRecord, patch: KeyPatch) -> KeyRecord {
    fn set<T>(member: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *member = value;
        }
    }
    let mut new = old.clone();
    set(&mut new.nickname, patch.nickname);
    set(&mut new.description, patch.description);
    set(&mut new.grant.streams, patch.streams);
    set(&mut new.grant.events, patch.events);
    set(&mut new.grant.source_networks, patch.source_networks);
    set(&mut new.grant.certificate_names, patch.certificate_names);
    set(&mut new.grant.not_before, patch.not_before);
    set(&mut new.grant.expire_time, patch.expire_time);
    new
}

/// A key begins before it ends. An end that is new lies ahead; one that has passed may stay, so that
/// an expired key can still be described, or be given a new end.
fn expect_life(old: Option<&Grant>, new: &Grant, now: Seconds) -> Result<(), Refusal> {
    let Some(end) = new.expire_time else { return Ok(()) };
    let is_new = old.is_none_or(|old| old.expire_time != new.expire_time);
    if is_new && end <= now.unsigned_abs() {
        return Err(Refusal::KeyEndsInThePast);
    }
    if new.not_before.is_some_and(|start| end <= start) {
        return Err(Refusal::KeyEndsBeforeItBegins);
    }
    Ok(())
}

/// The grant as a gate is given it: it says what it requires of the gate. The only place that writes
/// one.
fn grant_json(grant: &Grant) -> Result<String, StoreError> {
    let grant = Grant { requires: grant.needs(), ..grant.clone() };
    let json = serde_json::to_string(&grant).map_err(read::broken)?;
    if json.len() > limits::GRANT_BYTES_MAX {
        return Err(Refusal::GrantTooLarge(json.len()).into());
    }
    if !grant.within_limits() {
        return Err(read::broken("a grant over the limits of its lists reached the store"));
    }
    Ok(json)
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
