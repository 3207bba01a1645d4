//! Bringing a database to this program's version: all steps in one transaction, by one process at a time.

use sqlx::postgres::PgPool;
use sqlx::{PgConnection, Row as _};

use super::lineage::LINEAGE;
use super::{CHANNEL, OpenError, new_epoch};

/// In order; number N brings a database to version N.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001_control.sql"),
    include_str!("../../../migrations/postgres/0002_gateways_in_milliseconds.sql"),
    include_str!("../../../migrations/postgres/0003_gateways_lives.sql"),
    include_str!("../../../migrations/postgres/0004_token_ends.sql"),
    include_str!("../../../migrations/postgres/0005_denials.sql"),
    include_str!("../../../migrations/postgres/0006_gateways_by_gate.sql"),
    include_str!("../../../migrations/postgres/0007_requests_without_change.sql"),
];

/// Processes that start at once take this lock, one after the other ("mpgt").
const LOCK: i64 = 1_836_083_060;

/// The version of this program.
pub(super) fn version() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Runs what is missing. A new database gets its epoch.
pub(super) async fn migrate(writer: &PgPool) -> Result<(), OpenError> {
    let mut transaction = writer.begin().await?;
    let read_only = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";
    if sqlx::query_scalar::<_, bool>(read_only).fetch_one(&mut *transaction).await? {
        return Err(OpenError::ReadOnly);
    }
    sqlx::raw_sql("SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '10min'")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    let done = found(&mut transaction).await?;
    let missing = MIGRATIONS.get(done..).ok_or(OpenError::Newer)?;
    if missing.is_empty() {
        return Ok(());
    }
    for script in missing {
        sqlx::raw_sql(*script).execute(&mut *transaction).await?;
    }
    sqlx::query("UPDATE mpgate.schema_version SET version = $1")
        .bind(version())
        .execute(&mut *transaction)
        .await?;
    let start = format!(
        "INSERT INTO mpgate.allowlist (only_row, epoch, head, lineage) VALUES (1, $1, 0, {LINEAGE})
         ON CONFLICT DO NOTHING"
    );
    sqlx::query(sqlx::AssertSqlSafe(start))
        .bind(new_epoch().map_err(OpenError::NoRandom)?)
        .execute(&mut *transaction)
        .await?;
    // Processes of an earlier version look, and ask for no more.
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Of which version the database is. Makes the schema where there is none.
async fn found(connection: &mut PgConnection) -> Result<usize, OpenError> {
    let row = sqlx::query(
        "SELECT to_regnamespace('mpgate') IS NOT NULL AS has_schema,
            to_regclass('mpgate.schema_version') IS NOT NULL AS is_ours,
            EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace('mpgate')) AS is_used",
    )
    .fetch_one(&mut *connection)
    .await?;
    let (has_schema, is_ours): (bool, bool) = (row.try_get("has_schema")?, row.try_get("is_ours")?);
    if is_ours {
        let version: i32 = sqlx::query_scalar("SELECT version FROM mpgate.schema_version")
            .fetch_one(connection)
            .await?;
        return usize::try_from(version).map_err(|_| OpenError::Foreign);
    }
    if row.try_get("is_used")? {
        return Err(OpenError::Foreign);
    }
    // Who may not make a schema may still have been given one.
    if !has_schema {
        sqlx::raw_sql("CREATE SCHEMA mpgate").execute(&mut *connection).await?;
    }
    sqlx::raw_sql(
        "CREATE TABLE mpgate.schema_version
             (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), version INTEGER NOT NULL);
         INSERT INTO mpgate.schema_version VALUES (1, 0)",
    )
    .execute(connection)
    .await?;
    Ok(0)
}
