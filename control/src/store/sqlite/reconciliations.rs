//! What backends posted, beside what the gates had counted. Not changes: no revision, no trace.

use mpgate_contract::{ConsumerId, StreamId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::signed;
use crate::model::{Measure, Part, Reconciliation, SenderDay, Slice};
use crate::names::PrincipalId;
use crate::store::{Stored, row};

pub(super) async fn senders(
    connection: &mut SqliteConnection,
    consumer: &ConsumerId,
) -> Stored<Vec<String>> {
    let rows =
        sqlx::query("SELECT DISTINCT sender FROM api_keys WHERE consumer_id = ? ORDER BY sender")
            .bind(consumer.as_str())
            .fetch_all(connection)
            .await?;
    rows.iter().map(|row| Ok(row.try_get("sender")?)).collect()
}

pub(super) async fn put(
    connection: &mut SqliteConnection,
    consumer: &ConsumerId,
    of: &SenderDay,
    all: &[Reconciliation],
) -> Stored<()> {
    sqlx::query(
        "DELETE FROM reconciliations
         WHERE consumer_id = ? AND sender = ? AND stream_id = ? AND day = ?",
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
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    connection: &mut SqliteConnection,
    consumer: &ConsumerId,
    slice: Slice,
) -> Stored<Part<Reconciliation>> {
    let rows = sqlx::query(
        "SELECT *, ordinal AS position FROM reconciliations
         WHERE consumer_id = ? AND ordinal > ? ORDER BY ordinal LIMIT ? + 1",
    )
    .bind(consumer.as_str())
    .bind(signed(slice.after)?)
    .bind(slice.limit)
    .fetch_all(connection)
    .await?;
    row::part(&rows, slice, reconciliation)
}

pub(super) async fn newest(
    connection: &mut SqliteConnection,
    limit: u32,
) -> Stored<Vec<Reconciliation>> {
    let rows = sqlx::query(
        "SELECT * FROM reconciliations JOIN (
             SELECT consumer_id, sender, stream_id, max(day) AS day FROM reconciliations
             GROUP BY consumer_id, sender, stream_id) AS newest
         USING (consumer_id, sender, stream_id, day)
         ORDER BY consumer_id, sender, stream_id, event LIMIT ?",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(reconciliation).collect()
}

fn reconciliation(row: &SqliteRow) -> Stored<Reconciliation> {
    let values: &str = row.try_get("value_json")?;
    let measure: &str = row.try_get("measure")?;
    Ok(Reconciliation {
        consumer: ConsumerId::parse(row.try_get("consumer_id")?).map_err(row::broken)?,
        of: SenderDay {
            sender: row.try_get("sender")?,
            stream: StreamId::parse(row.try_get("stream_id")?).map_err(row::broken)?,
            day: row.try_get("day")?,
        },
        event: row.try_get("event")?,
        count: row.try_get("count")?,
        measure: Measure::parse(measure)
            .ok_or_else(|| row::broken("how far a stored total was measured is unknown"))?,
        gate_count: row.try_get("gate_count")?,
        values: serde_json::from_str(values).map_err(row::broken)?,
        principal: PrincipalId::parse(row.try_get("principal_id")?).map_err(row::broken)?,
        reconcile_time: row.try_get("reconcile_time")?,
    })
}
