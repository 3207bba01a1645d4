//! What the gates counted. Not changes: no revision, no trace.

use mpgate_contract::{ConsumerId, Environment, KeyId, StreamId};
use sqlx::PgConnection;

use super::signed;
use crate::model::{Counted, Seconds, Span, UsageCount, UsageQuery, UsageSum};
use crate::names::PrincipalId;
use crate::store::row::{self, Columns as _};
use crate::store::{Stored, environment};

/// No number grows beyond, whatever gates say: a sum over rows is made of two parts and stays within 63 bits.
const COUNT_MAX: i64 = 4_000_000_000_000_000_000;

/// What a sum is split by.
const PART: i64 = 1_000_000;

pub(super) async fn places(
    connection: &mut PgConnection,
    keys: &[KeyId],
) -> Stored<Vec<Option<(ConsumerId, Environment)>>> {
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let row = sqlx::query("SELECT consumer_id, environment FROM api_keys WHERE key_id = $1")
            .bind(key.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        let place = row.map(|row| {
            let consumer = ConsumerId::parse(row.words("consumer_id")?).map_err(row::broken)?;
            let word = row.words("environment")?;
            let environment =
                environment(word).ok_or_else(|| row::broken("a stored environment is unknown"))?;
            Stored::Ok((consumer, environment))
        });
        found.push(place.transpose()?);
    }
    Ok(found)
}

pub(super) async fn take_report(
    connection: &mut PgConnection,
    principal: &PrincipalId,
    vm: &str,
    sequence: u64,
    now: Seconds,
) -> Stored<bool> {
    let done = sqlx::query(
        "INSERT INTO usage_reporters (principal_id, vm, sequence, last_report_time) VALUES ($1, $2, $3, $4)
         ON CONFLICT (principal_id, vm) DO UPDATE SET sequence = excluded.sequence,
             last_report_time = greatest(usage_reporters.last_report_time, excluded.last_report_time)
         WHERE excluded.sequence > usage_reporters.sequence",
    )
    .bind(principal.as_str())
    .bind(vm)
    .bind(signed(sequence)?)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn add(connection: &mut PgConnection, counts: &[UsageCount]) -> Stored<()> {
    for count in counts {
        sqlx::query(
            "INSERT INTO usage_counts (key_id, hour, stream_id, kind, name, currency, count)
             SELECT key_id, $2, $3, $4, $5, $6, $7 FROM api_keys WHERE key_id = $1
             ON CONFLICT (key_id, hour, stream_id, kind, name, currency) DO UPDATE SET
                 count = greatest(-($8::bigint), least($8::bigint, usage_counts.count + excluded.count))",
        )
        .bind(count.key.as_str())
        .bind(count.hour)
        .bind(count.stream.as_ref().map_or("", StreamId::as_str))
        .bind(count.counted.label())
        .bind(&count.name)
        .bind(&count.currency)
        .bind(count.count.clamp(-COUNT_MAX, COUNT_MAX))
        .bind(COUNT_MAX)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn sums(
    connection: &mut PgConnection,
    query: &UsageQuery,
) -> Stored<Vec<UsageSum>> {
    let hour = Span::Hour.seconds();
    // An hour before the largest span is in span 0.
    let rows = sqlx::query(
        "SELECT hour / $1 * $1 AS start, sender, key_id, stream_id, kind, name, currency,
             sum(count / $2)::bigint AS parts, sum(count % $2)::bigint AS rest
         FROM usage_counts JOIN api_keys USING (key_id)
         WHERE consumer_id = $3 AND hour >= $4 AND hour < $5
             AND ($6 IS NULL OR sender = $6) AND ($7 IS NULL OR key_id = $7)
         GROUP BY start, sender, key_id, stream_id, kind, name, currency
         ORDER BY start, sender, key_id, stream_id, kind, name, currency LIMIT $8",
    )
    .bind(query.span.seconds())
    .bind(PART)
    .bind(query.consumer.as_str())
    .bind(query.start.max(0) / hour * hour)
    .bind(query.end)
    .bind(query.sender.as_deref())
    .bind(query.key.as_ref().map(KeyId::as_str))
    .bind(i64::from(query.limit))
    .fetch_all(connection)
    .await?;
    let sum = |row: &sqlx::postgres::PgRow| {
        let (parts, rest): (i64, i64) = (row.time("parts")?, row.time("rest")?);
        let kind = row.words("kind")?;
        Ok(UsageSum {
            start: row.time("start")?,
            sender: row.words("sender")?.to_owned(),
            key: KeyId::parse(row.words("key_id")?).map_err(row::broken)?,
            stream: row.words("stream_id")?.to_owned(),
            counted: Counted::parse(kind)
                .ok_or_else(|| row::broken("what a stored number counts is unknown"))?,
            name: row.words("name")?.to_owned(),
            currency: row.words("currency")?.to_owned(),
            sum: parts.saturating_mul(PART).saturating_add(rest),
        })
    };
    rows.iter().map(sum).collect()
}

pub(super) async fn forget(
    connection: &mut PgConnection,
    hours: Seconds,
    vms: Seconds,
    limit: u32,
) -> Stored<u64> {
    let counts = sqlx::query(
        "DELETE FROM usage_counts WHERE (key_id, hour, stream_id, kind, name, currency) IN (
             SELECT key_id, hour, stream_id, kind, name, currency FROM usage_counts
             WHERE hour < $1 ORDER BY hour LIMIT $2)",
    )
    .bind(hours)
    .bind(i64::from(limit))
    .execute(&mut *connection)
    .await?;
    let reporters = sqlx::query(
        "DELETE FROM usage_reporters WHERE (principal_id, vm) IN (
             SELECT principal_id, vm FROM usage_reporters
             WHERE last_report_time < $1 ORDER BY last_report_time LIMIT $2)",
    )
    .bind(vms)
    .bind(i64::from(limit))
    .execute(&mut *connection)
    .await?;
    let days = sqlx::query(
        "DELETE FROM reconciliations WHERE ordinal IN (
             SELECT ordinal FROM reconciliations WHERE day < $1 ORDER BY day LIMIT $2)",
    )
    .bind(hours)
    .bind(i64::from(limit))
    .execute(&mut *connection)
    .await?;
    let forgotten = [counts, reporters, days].map(|done| done.rows_affected());
    // Whoever asks goes on while one of them is at its limit.
    Ok(forgotten.into_iter().max().unwrap_or(0))
}
