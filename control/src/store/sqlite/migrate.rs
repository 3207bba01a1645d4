//! Bringing a database to this program's version: all steps in one transaction, so that it is of one
//! version also after a crash.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use super::{BUSY_TIMEOUT, OpenError, new_epoch};

/// In order; number N brings a database to version N.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_allowlist.sql"),
    include_str!("../../../migrations/sqlite/0002_control.sql"),
    include_str!("../../../migrations/sqlite/0003_usage.sql"),
    include_str!("../../../migrations/sqlite/0004_reconciliations.sql"),
    include_str!("../../../migrations/sqlite/0005_gateways_in_milliseconds.sql"),
    include_str!("../../../migrations/sqlite/0006_gateways_lives.sql"),
    include_str!("../../../migrations/sqlite/0007_token_ends.sql"),
    include_str!("../../../migrations/sqlite/0008_denials.sql"),
    include_str!("../../../migrations/sqlite/0009_gateways_by_gate.sql"),
    include_str!("../../../migrations/sqlite/0010_requests_without_change.sql"),
];

/// What `PRAGMA application_id` says of our files ("mpgt").
const APPLICATION_ID: i64 = 1_836_083_060;

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet.
    Nothing,
    /// A database of ours, of this version or an earlier one.
    Ours,
}

/// Looks before anything is written, not even the journal mode.
pub(super) async fn look(path: &Path) -> Result<Found, OpenError> {
    if std::fs::metadata(path).map_err(OpenError::File)?.len() == 0 {
        return Ok(Found::Nothing);
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("query_only", "ON")
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let application = number(&mut connection, "PRAGMA application_id").await?;
    let tables = number(&mut connection, "SELECT count(*) FROM sqlite_master").await?;
    let version = number(&mut connection, "PRAGMA user_version").await?;
    connection.close().await?;
    match usize::try_from(version) {
        _ if tables == 0 => Ok(Found::Nothing),
        _ if application != APPLICATION_ID => Err(OpenError::Foreign),
        Ok(version) if version <= MIGRATIONS.len() => Ok(Found::Ours),
        _ => Err(OpenError::Newer),
    }
}

/// Runs what is missing. A new database gets its epoch.
pub(super) async fn migrate(options: &SqliteConnectOptions) -> Result<(), OpenError> {
    // Tables that others refer to are written anew; the references are checked before the commit.
    let mut connection = options.clone().foreign_keys(false).connect().await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let version = number(&mut transaction, "PRAGMA user_version").await?;
    let done = usize::try_from(version).map_err(|_| OpenError::Foreign)?;
    let missing = MIGRATIONS.get(done..).ok_or(OpenError::Newer)?;
    for script in missing {
        sqlx::raw_sql(*script).execute(&mut *transaction).await?;
    }
    if !missing.is_empty() {
        let set = format!("PRAGMA user_version = {}", MIGRATIONS.len());
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *transaction).await?;
        expect_references(&mut transaction).await?;
    }
    start_epoch(&mut transaction).await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}

async fn expect_references(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let broken = sqlx::query("PRAGMA foreign_key_check").fetch_optional(connection).await?;
    match broken {
        None => Ok(()),
        Some(row) => {
            let table: String = row.try_get(0)?;
            Err(OpenError::Inconsistent(format!(
                "a row of {table} refers to one that is not there"
            )))
        }
    }
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query(sql).fetch_one(connection).await?.try_get(0)
}

/// A database gets its epoch once.
async fn start_epoch(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    sqlx::query(
        "INSERT INTO allowlist (only_row, epoch, head) VALUES (1, ?, 0) ON CONFLICT DO NOTHING",
    )
    .bind(new_epoch().map_err(OpenError::NoRandom)?)
    .execute(connection)
    .await?;
    Ok(())
}
