//! The trail, and the requests that may be repeated.

use mpgate_contract::Digest;
use serde_json::Value;
use sqlx::PgConnection;

use super::signed;
use crate::model::{AuditEvent, Part, Seconds, Slice};
use crate::names::PrincipalId;
use crate::store::row::{self, Columns as _};
use crate::store::{Done, DoneRequest, Stored};

pub(super) async fn append(connection: &mut PgConnection, event: &AuditEvent) -> Stored<u64> {
    let row = sqlx::query(
        "INSERT INTO audit_events (time, principal_id, source, action, resource, consumer_id, request_id,
             revision, before_json, after_json, denied_method, denied_count)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING ordinal",
    )
    .bind(event.time)
    .bind(event.principal.as_ref().map(PrincipalId::as_str))
    .bind(event.source.as_deref())
    .bind(event.action.label())
    .bind(&event.resource)
    .bind(event.consumer.as_ref().map(mpgate_contract::ConsumerId::as_str))
    .bind(event.request_id.as_deref())
    .bind(event.revision.map(signed).transpose()?)
    .bind(event.before.as_ref().map(Value::to_string))
    .bind(event.after.as_ref().map(Value::to_string))
    .bind(event.denial.as_ref().map(|denial| denial.method.as_str()))
    .bind(event.denial.as_ref().map(|denial| signed(denial.count)).transpose()?)
    .fetch_one(connection)
    .await?;
    Ok(row.count("ordinal")?)
}

pub(super) async fn list(
    connection: &mut PgConnection,
    slice: Slice,
    newest_first: bool,
) -> Stored<Part<AuditEvent>> {
    let (sql, from) = match (newest_first, slice.after) {
        (false, after) => (
            "SELECT *, ordinal AS position FROM audit_events WHERE ordinal > $1 ORDER BY ordinal LIMIT $2 + 1",
            after,
        ),
        (true, after) => (
            "SELECT *, ordinal AS position FROM audit_events WHERE ordinal < $1
             ORDER BY ordinal DESC LIMIT $2 + 1",
            if after == 0 { u64::MAX } else { after },
        ),
    };
    let rows = sqlx::query(sql)
        .bind(i64::try_from(from).unwrap_or(i64::MAX))
        .bind(i64::from(slice.limit))
        .fetch_all(connection)
        .await?;
    row::part(&rows, slice, row::audit_event)
}

pub(super) async fn time_after(
    connection: &mut PgConnection,
    revision: u64,
) -> Stored<Option<Seconds>> {
    let row = sqlx::query(
        "SELECT time FROM audit_events WHERE revision > $1 ORDER BY revision, ordinal LIMIT 1",
    )
    .bind(signed(revision)?)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| row.time("time")).transpose()?)
}

pub(super) async fn find(
    connection: &mut PgConnection,
    ordinal: u64,
) -> Stored<Option<AuditEvent>> {
    let row = sqlx::query("SELECT * FROM audit_events WHERE ordinal = $1")
        .bind(signed(ordinal)?)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::audit_event).transpose()
}

pub(super) async fn request(
    connection: &mut PgConnection,
    principal: &PrincipalId,
    request_id: &str,
) -> Stored<Option<DoneRequest>> {
    let row = sqlx::query(
        "SELECT fingerprint, ordinal, found_json FROM requests WHERE principal_id = $1 AND request_id = $2",
    )
    .bind(principal.as_str())
    .bind(request_id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let fingerprint = row.bytes("fingerprint")?;
    Ok(Some(DoneRequest {
        fingerprint: Digest::from_bytes(fingerprint.try_into().map_err(row::broken)?),
        done: match row.text("found_json")? {
            Some(found) => Done::Unchanged(serde_json::from_str(found).map_err(row::broken)?),
            None => Done::Changed(row.count("ordinal")?),
        },
    }))
}

pub(super) async fn put_request(
    connection: &mut PgConnection,
    principal: &PrincipalId,
    request_id: &str,
    request: &DoneRequest,
    now: Seconds,
) -> Stored<()> {
    let (ordinal, found) = match &request.done {
        Done::Changed(ordinal) => (*ordinal, None),
        Done::Unchanged(found) => (0, Some(found.to_string())),
    };
    sqlx::query(
        "INSERT INTO requests (principal_id, request_id, fingerprint, ordinal, found_json, time)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(principal.as_str())
    .bind(request_id)
    .bind(&request.fingerprint.as_bytes()[..])
    .bind(signed(ordinal)?)
    .bind(found)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn forget_requests(connection: &mut PgConnection, before: Seconds) -> Stored<()> {
    sqlx::query("DELETE FROM requests WHERE time < $1").bind(before).execute(connection).await?;
    Ok(())
}
