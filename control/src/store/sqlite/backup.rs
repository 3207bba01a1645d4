//! Backup and restore, both while `mpgate serve` goes on: a backup is one snapshot, a restore one
//! transaction.
//!
//! What was restored is another life of the database: it gets a new epoch, so that every gateway starts
//! over. Where the database is of the backup's own line, its trail and its revocations stay: a restore
//! never brings a revoked secret back.

use core::fmt;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use super::migrate::{check_ours, migrate, new_epoch};
use super::{BUSY_TIMEOUT, OpenError, audit, create_private, options};
use crate::model::{Action, AuditEvent, Seconds};
use crate::store::StoreError;

/// Why there is no backup, or nothing was restored.
#[derive(Debug)]
pub enum BackupError {
    /// The file is there already.
    Exists(PathBuf),
    /// The file is not there.
    Missing(PathBuf),
    /// The file cannot be written.
    File(PathBuf, io::Error),
    /// The database, or the backup, cannot be used.
    Open(PathBuf, OpenError),
    /// The backup is damaged: SQLite's own words.
    Damaged(String),
    /// The database failed.
    Database(sqlx::Error),
    /// The trail could not be written to.
    Trail(StoreError),
}

impl fmt::Display for BackupError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(out, "{} is there already; name a new file, or move it away", path.display())
            }
            Self::Missing(path) => write!(out, "there is no file {}", path.display()),
            Self::File(path, error) => write!(out, "cannot write {}: {error}", path.display()),
            Self::Open(path, error) => write!(out, "{}: {error}", path.display()),
            Self::Damaged(what) => write!(out, "the backup is damaged ({what}); use another"),
            Self::Database(error) => write!(out, "the database failed: {error}"),
            Self::Trail(error) => error.fmt(out),
        }
    }
}

impl core::error::Error for BackupError {}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The new epoch.
    pub epoch: String,
    /// The head of the restored list.
    pub head: u64,
    /// Whether the database was of the backup's own line, so that its trail and revocations stayed.
    pub same_line: bool,
    /// Keys that the backup has in force, or does not know, and that stay revoked.
    pub keys_kept_revoked: u64,
}

/// Writes a snapshot of the database to a new file of mode 0600.
///
/// # Errors
/// See [`BackupError`].
pub async fn backup(database: &Path, to: &Path) -> Result<(), BackupError> {
    expect_there(database)?;
    check_ours(database).await.map_err(|error| BackupError::Open(database.to_owned(), error))?;
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    copy(database, to).await
}

/// Replaces what the database holds by a backup, in one transaction.
///
/// # Errors
/// See [`BackupError`]. The database is then as it was.
pub async fn restore(database: &Path, from: &Path, now: Seconds) -> Result<Restored, BackupError> {
    expect_there(from)?;
    let faulty = |error| BackupError::Open(from.to_owned(), error);
    check_ours(from).await.map_err(faulty)?;
    let copy_path = beside(database, ".restoring");
    remove(&copy_path);
    copy(from, &copy_path).await?;
    let result = async {
        migrate(&options(&copy_path)).await.map_err(faulty)?;
        expect_sound(&copy_path).await?;
        let unusable = |error| BackupError::Open(database.to_owned(), error);
        create_private(database).map_err(|error| unusable(OpenError::File(error)))?;
        check_ours(database).await.map_err(unusable)?;
        migrate(&options(database)).await.map_err(unusable)?;
        replace(database, &copy_path, now).await
    }
    .await;
    remove(&copy_path);
    result
}

fn expect_there(path: &Path) -> Result<(), BackupError> {
    if path.is_file() { Ok(()) } else { Err(BackupError::Missing(path.to_owned())) }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// The file and what SQLite puts beside it.
fn remove(path: &Path) {
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(beside(path, ending)).ok();
    }
}

/// A snapshot, what is still in the log included.
async fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    create_private(to).map_err(|error| BackupError::File(to.to_owned(), error))?;
    let text = to.to_str().ok_or_else(|| {
        BackupError::File(to.to_owned(), io::Error::other("the path is not text"))
    })?;
    let source = SqliteConnectOptions::new().filename(from).busy_timeout(BUSY_TIMEOUT);
    let copied = async {
        let mut connection = source.disable_statement_logging().connect().await?;
        sqlx::query("VACUUM INTO ?").bind(text).execute(&mut connection).await?;
        connection.close().await
    }
    .await;
    copied.map_err(|error| {
        remove(to);
        BackupError::Database(error)
    })
}

async fn expect_sound(path: &Path) -> Result<(), BackupError> {
    let mut connection = options(path).connect().await?;
    for check in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
        for row in sqlx::query(check).fetch_all(&mut connection).await? {
            let word: String = row.try_get(0)?;
            if word != "ok" {
                return Err(BackupError::Damaged(word));
            }
        }
    }
    connection.close().await?;
    Ok(())
}

/// Tables whose rows are the backup's afterwards. The trail is told apart below.
const TABLES: [&str; 9] = [
    "allowlist",
    "consumers",
    "principals",
    "tokens",
    "streams",
    "api_keys",
    "live_grants",
    "key_uses",
    "requests",
];

async fn replace(database: &Path, copy: &Path, now: Seconds) -> Result<Restored, BackupError> {
    let mut connection = options(database).foreign_keys(false).connect().await?;
    let name = copy.to_str().unwrap_or_default();
    sqlx::query("ATTACH ? AS backup").bind(name).execute(&mut connection).await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let same_line = is_same_line(&mut transaction).await?;
    let triggers = drop_triggers(&mut transaction).await?;
    let keys_kept_revoked = take_over(&mut transaction, same_line).await?;
    for trigger in triggers {
        run(&mut transaction, trigger).await?;
    }
    let epoch = new_epoch().map_err(OpenError::NoRandom);
    let epoch = epoch.map_err(|error| BackupError::Open(database.to_owned(), error))?;
    let row = sqlx::query("UPDATE allowlist SET epoch = ? RETURNING head")
        .bind(&epoch)
        .fetch_one(&mut *transaction)
        .await?;
    let head = row.try_get("head")?;
    let event = AuditEvent {
        ordinal: 0,
        time: now,
        principal: None,
        source: None,
        action: Action::Restore,
        resource: "database".to_owned(),
        consumer: None,
        request_id: None,
        revision: Some(head),
        before: None,
        after: Some(serde_json::json!({"epoch": epoch, "keysKeptRevoked": keys_kept_revoked})),
    };
    audit::append(&mut transaction, &event).await.map_err(BackupError::Trail)?;
    if sqlx::query("PRAGMA main.foreign_key_check")
        .fetch_optional(&mut *transaction)
        .await?
        .is_some()
    {
        return Err(BackupError::Damaged("rows refer to rows that are not there".to_owned()));
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(Restored { epoch, head, same_line, keys_kept_revoked })
}

/// Whether all that the backup's trail tells happened here too: then the backup is an earlier state of
/// this very database.
async fn is_same_line(connection: &mut SqliteConnection) -> Result<bool, BackupError> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM backup.audit_events) > 0 AND NOT EXISTS (
             SELECT 1 FROM backup.audit_events AS old LEFT JOIN main.audit_events AS own
                 ON own.ordinal = old.ordinal AND own.time = old.time
                     AND own.resource = old.resource AND own.after_json IS old.after_json
             WHERE own.ordinal IS NULL)",
    )
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}

/// Triggers keep rows from being erased; inside this transaction they stand back.
async fn drop_triggers(connection: &mut SqliteConnection) -> Result<Vec<String>, BackupError> {
    let rows = sqlx::query("SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger'")
        .fetch_all(&mut *connection)
        .await?;
    let mut triggers = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.try_get("name")?;
        triggers.push(row.try_get("sql")?);
        run(connection, format!("DROP TRIGGER main.{name}")).await?;
    }
    Ok(triggers)
}

async fn take_over(connection: &mut SqliteConnection, same_line: bool) -> Result<u64, BackupError> {
    run(connection, "CREATE TEMP TABLE own_list AS SELECT * FROM main.allowlist".to_owned())
        .await?;
    run(
        connection,
        "CREATE TEMP TABLE own_revoked AS SELECT * FROM main.api_keys WHERE state = 'revoked'"
            .to_owned(),
    )
    .await?;
    run(
        connection,
        "CREATE TEMP TABLE own_revoked_tokens AS
             SELECT token_id, revoke_time FROM main.tokens WHERE revoke_time IS NOT NULL"
            .to_owned(),
    )
    .await?;
    let trail = if same_line { None } else { Some("audit_events") };
    for table in TABLES.into_iter().chain(trail) {
        run(connection, format!("DELETE FROM main.{table}")).await?;
        run(connection, format!("INSERT INTO main.{table} SELECT * FROM backup.{table}")).await?;
    }
    if !same_line {
        run(connection, "DELETE FROM main.gateways".to_owned()).await?;
        return Ok(0);
    }
    // Revisions after the backup were given out: they are not given out again.
    run(
        connection,
        "UPDATE main.allowlist SET head = max(head, (SELECT head FROM own_list))".to_owned(),
    )
    .await?;
    let row = sqlx::query(
        "SELECT count(*) FROM own_revoked WHERE consumer_id IN (SELECT consumer_id FROM main.consumers)
             AND key_id NOT IN (SELECT key_id FROM main.api_keys WHERE state = 'revoked')",
    )
    .fetch_one(&mut *connection)
    .await?;
    let kept: u64 = row.try_get(0)?;
    for statement in [
        "DELETE FROM main.live_grants WHERE key_id IN (SELECT key_id FROM own_revoked)",
        "DELETE FROM main.api_keys WHERE key_id IN (SELECT key_id FROM own_revoked)",
        "INSERT INTO main.api_keys SELECT * FROM own_revoked
             WHERE consumer_id IN (SELECT consumer_id FROM main.consumers)",
        "UPDATE main.tokens SET revoke_time =
             (SELECT revoke_time FROM own_revoked_tokens AS own WHERE own.token_id = main.tokens.token_id)
         WHERE token_id IN (SELECT token_id FROM own_revoked_tokens)",
    ] {
        run(connection, statement.to_owned()).await?;
    }
    Ok(kept)
}

/// The statements are ours, and the names in them come from our own schema.
async fn run(connection: &mut SqliteConnection, sql: String) -> Result<(), BackupError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
