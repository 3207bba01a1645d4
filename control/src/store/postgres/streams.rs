//! Streams: one row for each id, consumer and environment; at most one of an id is active.

use mpgate_contract::{ConsumerId, State, StreamId};
use sqlx::PgConnection;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;

use super::signed;
use crate::model::{Part, Slice, StreamRecord};
use crate::store::Stored;
use crate::store::row::{self, Columns as _};

pub(super) async fn find(
    connection: &mut PgConnection,
    consumer: &ConsumerId,
    id: &StreamId,
) -> Stored<Option<StreamRecord>> {
    let row = sqlx::query(
        "SELECT * FROM streams WHERE stream_id = $1 AND consumer_id = $2 ORDER BY revision DESC LIMIT 1",
    )
    .bind(id.as_str())
    .bind(consumer.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(row::stream).transpose()
}

pub(super) async fn active(
    connection: &mut PgConnection,
    id: &StreamId,
) -> Stored<Option<StreamRecord>> {
    let row = sqlx::query("SELECT * FROM streams WHERE stream_id = $1 AND state = 'active'")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::stream).transpose()
}

pub(super) async fn list(
    connection: &mut PgConnection,
    consumer: &ConsumerId,
    slice: Slice,
) -> Stored<Part<StreamRecord>> {
    let rows = sqlx::query(
        "SELECT *, create_revision AS position FROM streams
         WHERE consumer_id = $1 AND create_revision > $2 AND ($3 OR state = 'active')
         ORDER BY create_revision LIMIT $4 + 1",
    )
    .bind(consumer.as_str())
    .bind(i64::try_from(slice.after).unwrap_or(i64::MAX))
    .bind(slice.show_deleted)
    .bind(i64::from(slice.limit))
    .fetch_all(connection)
    .await?;
    row::part(&rows, slice, row::stream)
}

pub(super) async fn grants(connection: &mut PgConnection, id: &StreamId) -> Stored<u64> {
    let row = sqlx::query("SELECT count(*) AS held FROM live_grants WHERE stream_id = $1")
        .bind(id.as_str())
        .fetch_one(connection)
        .await?;
    Ok(row.count("held")?)
}

pub(super) async fn insert(connection: &mut PgConnection, record: &StreamRecord) -> Stored<()> {
    let query = sqlx::query(
        "INSERT INTO streams (stream_json, display_name, state, revision, update_time, stream_id,
             consumer_id, environment, create_revision, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $4, $9)
         ON CONFLICT (stream_id, consumer_id, environment) DO UPDATE SET
             stream_json = excluded.stream_json, display_name = excluded.display_name,
             state = excluded.state, revision = excluded.revision,
             create_revision = excluded.create_revision, create_time = excluded.create_time,
             update_time = excluded.update_time
         WHERE streams.state = 'revoked'",
    );
    let done = bound(query, record)?.bind(record.create_time).execute(connection).await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(row::broken("a stream was there already")) }
}

pub(super) async fn update(connection: &mut PgConnection, record: &StreamRecord) -> Stored<()> {
    let query = sqlx::query(
        "UPDATE streams SET stream_json = $1, display_name = $2, state = $3, revision = $4, update_time = $5
         WHERE stream_id = $6 AND consumer_id = $7 AND environment = $8",
    );
    bound(query, record)?.execute(connection).await?;
    Ok(())
}

type Bound<'q> = Query<'q, Postgres, PgArguments>;

fn bound<'q>(query: Bound<'q>, record: &'q StreamRecord) -> Stored<Bound<'q>> {
    let state = match record.state {
        State::Active => "active",
        State::Revoked | State::Expired => "revoked",
    };
    Ok(query
        .bind(serde_json::to_string(&record.stream).map_err(row::broken)?)
        .bind(&record.display_name)
        .bind(state)
        .bind(signed(record.revision)?)
        .bind(record.update_time)
        .bind(record.stream.id.as_str())
        .bind(record.stream.consumer.as_str())
        .bind(record.stream.environment.label()))
}
