//! Gateways, as they last spoke. Not changes: no revision, no trace.

use mpgate_contract::Environment;
use sqlx::PgConnection;

use super::signed;
use crate::model::{Gateway, GatewayId, Millis};
use crate::names::PrincipalId;
use crate::store::Stored;
use crate::store::row::{self, Columns as _};

/// The server's clock: the replicas' own may differ.
pub(super) async fn now_millis(connection: &mut PgConnection) -> Stored<Millis> {
    let sql = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
}

pub(super) async fn list(connection: &mut PgConnection, since: Millis) -> Stored<Vec<Gateway>> {
    let rows = sqlx::query(
        "SELECT * FROM gateways WHERE last_seen_millis >= $1 ORDER BY principal_id, instance, gate",
    )
    .bind(since)
    .fetch_all(connection)
    .await?;
    rows.iter().map(row::gateway).collect()
}

pub(super) async fn put(connection: &mut PgConnection, gateways: &[Gateway]) -> Stored<()> {
    for gateway in gateways {
        sqlx::query(
            "INSERT INTO gateways (principal_id, instance, gate, node, version, capabilities, environment,
                 consumers, revision, last_seen_millis, first_seen_millis, forgotten_millis)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (principal_id, instance, gate) DO UPDATE SET
                 node = excluded.node, version = excluded.version,
                 capabilities = excluded.capabilities, environment = excluded.environment,
                 consumers = excluded.consumers, revision = excluded.revision,
                 last_seen_millis = excluded.last_seen_millis,
                 first_seen_millis = LEAST(gateways.first_seen_millis, excluded.first_seen_millis),
                 forgotten_millis = GREATEST(gateways.forgotten_millis, excluded.forgotten_millis)
             WHERE (excluded.last_seen_millis, excluded.revision)
                 >= (gateways.last_seen_millis, gateways.revision)
                 OR gateways.last_seen_millis > extract(epoch FROM clock_timestamp()) * 1000",
        )
        .bind(gateway.id.principal.as_str())
        .bind(&gateway.id.instance)
        .bind(&gateway.id.gate)
        .bind(&gateway.node)
        .bind(&gateway.version)
        .bind(serde_json::to_string(&gateway.capabilities).map_err(row::broken)?)
        .bind(gateway.scope.environment.map(Environment::label))
        .bind(serde_json::to_string(&gateway.scope.consumers).map_err(row::broken)?)
        .bind(signed(gateway.revision)?)
        .bind(gateway.last_seen_millis)
        .bind(gateway.first_seen_millis)
        .bind(gateway.forgotten_millis)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

pub(super) async fn forget(
    connection: &mut PgConnection,
    before: Millis,
) -> Stored<Vec<GatewayId>> {
    let rows = sqlx::query(
        "DELETE FROM gateways WHERE last_seen_millis < $1 RETURNING principal_id, instance, gate",
    )
    .bind(before)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let principal = row.words("principal_id")?;
            Ok(GatewayId {
                principal: PrincipalId::parse(principal).map_err(row::broken)?,
                instance: row.words("instance")?.to_owned(),
                gate: row.words("gate")?.to_owned(),
            })
        })
        .collect()
}

pub(super) async fn crowd_out(
    connection: &mut PgConnection,
    before: Millis,
    places: usize,
) -> Stored<()> {
    sqlx::query(
        "DELETE FROM gateways WHERE last_seen_millis < $1 AND (principal_id, instance, gate) IN (
             SELECT principal_id, instance, gate FROM (
                 SELECT principal_id, instance, gate, row_number() OVER (
                     PARTITION BY principal_id ORDER BY last_seen_millis DESC, instance, gate) AS place
                 FROM gateways) AS placed
             WHERE place > $2)",
    )
    .bind(before)
    .bind(signed(places as u64)?)
    .execute(connection)
    .await?;
    Ok(())
}
