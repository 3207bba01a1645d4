//! What backends posted, beside what the gates had counted. Not changes: no revision, no trace.

use mpgate_contract::{ConsumerId, StreamId};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::signed;
use crate::model::{Measure, Part, Reconciliation, SenderDay, Slice};
use crate::names::PrincipalId;
use crate::store::Stored;
use crate::store::row::{self, Columns as _};

pub(super) async fn senders(
    connection: &mut PgConnection,
    consumer: &ConsumerId,
) -> Stored<Vec<String>> {
    let rows =
        sqlx::query("SELECT DISTINCT sender FROM api_keys WHERE consumer_id = $1 ORDER BY sender")
            .bind(consumer.as_str())
            .fetch_all(connection)
            .await?;
    rows.iter().map(|row| Ok(row.words("sender")?.to_owned())).collect()
}

pub(super) async fn put(
    connection: &mut PgConnection,
    consumer: &ConsumerId,
    of: &SenderDay,
    all: &[Reconciliation],
) -> Stored<()> {
    sqlx::query(
        "DELETE FROM reconciliations
         WHERE consumer_id = $1 AND sender = $2 AND stream_id = $3 AND day = $4",
    )
    .bind(consumer.as_str())
    .bind(&of.sender)
    .bind(of.stream.as_str())
    .bind(of.day)
    .execute(&mut *connection)
    .await?;
    for one in all {
        sqlx::query(
            "INSERT INTO reconciliations (consumer_id, sender, stream_id, day, event, count, measure,
                 gate_count, value_json, principal_id, reconcile_time)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(one.consumer.as_str())
        .bind(&one.of.sender)
        .bind(one.of.stream.as_str())
        .bind(one.of.day)
        .bind(&one.event)
        .bind(one.count)
        .bind(one.measure.label())
        .bind(one.gate_count)
        .bind(serde_json::to_string(&one.values).map_err(row::broken)?)
        .bind(one.principal.as_str())
        .bind(one.reconcile_time)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn list(
    connection: &mut PgConnection,
    consumer: &ConsumerId,
    slice: Slice,
) -> Stored<Part<Reconciliation>> {
    let rows = sqlx::query(
        "SELECT *, ordinal AS position FROM reconciliations
         WHERE consumer_id = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3 + 1",
    )
    .bind(consumer.as_str())
    .bind(signed(slice.after)?)
    .bind(i64::from(slice.limit))
    .fetch_all(connection)
    .await?;
    row::part(&rows, slice, reconciliation)
}

pub(super) async fn newest(
    connection: &mut PgConnection,
    limit: u32,
) -> Stored<Vec<Reconciliation>> {
    let rows = sqlx::query(
        "SELECT * FROM reconciliations JOIN (
             SELECT consumer_id, sender, stream_id, max(day) AS day FROM reconciliations
             GROUP BY consumer_id, sender, stream_id) AS newest
         USING (consumer_id, sender, stream_id, day)
         ORDER BY consumer_id, sender, stream_id, event LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(reconciliation).collect()
}

fn reconciliation(row: &PgRow) -> Stored<Reconciliation> {
    let values = row.words("value_json")?;
    let measure = row.words("measure")?;
    Ok(Reconciliation {
        consumer: ConsumerId::parse(row.words("consumer_id")?).map_err(row::broken)?,
        of: SenderDay {
            sender: row.words("sender")?.to_owned(),
            stream: StreamId::parse(row.words("stream_id")?).map_err(row::broken)?,
            day: row.time("day")?,
        },
        event: row.words("event")?.to_owned(),
        count: row.time("count")?,
        measure: Measure::parse(measure)
            .ok_or_else(|| row::broken("how far a stored total was measured is unknown"))?,
        gate_count: row.number("gate_count")?,
        values: serde_json::from_str(values).map_err(row::broken)?,
        principal: PrincipalId::parse(row.words("principal_id")?).map_err(row::broken)?,
        reconcile_time: row.time("reconcile_time")?,
    })
}
