//! What changed after a revision, for one scope.

use mpgate_contract::Environment;
use sqlx::SqliteConnection;

use super::signed;
use crate::model::Scope;
use crate::store::row;
use crate::store::{FeedRows, Stored};

/// `?3` and `?4` are the scope: an environment or NULL, and a JSON list of consumers or NULL.
const KEYS: &str = "SELECT revision, digest, state, grant_json FROM api_keys
    WHERE revision > ?1 AND (?3 IS NULL OR environment = ?3)
        AND (?4 IS NULL OR consumer_id IN (SELECT value FROM json_each(?4)))
    ORDER BY revision LIMIT ?2";

/// Of a stream that had several lives in the scope, the last one counts.
const STREAMS: &str = "SELECT revision, state, stream_json FROM streams AS this
    WHERE revision > ?1 AND (?3 IS NULL OR environment = ?3)
        AND (?4 IS NULL OR consumer_id IN (SELECT value FROM json_each(?4)))
        AND NOT EXISTS (SELECT 1 FROM streams AS later
            WHERE later.stream_id = this.stream_id AND later.revision > this.revision
                AND (?3 IS NULL OR later.environment = ?3)
                AND (?4 IS NULL OR later.consumer_id IN (SELECT value FROM json_each(?4))))
    ORDER BY revision LIMIT ?2";

pub(super) async fn rows(
    connection: &mut SqliteConnection,
    after: u64,
    scope: &Scope,
    limit: u32,
) -> Stored<FeedRows> {
    let after = signed(after)?;
    let environment = scope.environment.map(Environment::label);
    let consumers = match scope.consumers.as_slice() {
        [] => None,
        consumers => Some(serde_json::to_string(consumers).map_err(row::broken)?),
    };
    let keys = sqlx::query(KEYS)
        .bind(after)
        .bind(limit)
        .bind(environment)
        .bind(&consumers)
        .fetch_all(&mut *connection)
        .await?;
    let streams = sqlx::query(STREAMS)
        .bind(after)
        .bind(limit)
        .bind(environment)
        .bind(&consumers)
        .fetch_all(connection)
        .await?;
    Ok(FeedRows {
        keys: keys.iter().map(row::feed_key).collect::<Result<_, _>>()?,
        streams: streams.iter().map(row::feed_stream).collect::<Result<_, _>>()?,
    })
}
