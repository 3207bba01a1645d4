//! The store in one SQLite file: opening it, its migrations, its one writer and its few readers.
//!
//! `synchronous=FULL` under WAL: what a commit acknowledged survives the machine. Files that are
//! another program's, or a newer version's, are refused.

mod consumers;
mod feed;
mod keys;
mod principals;
mod read;
mod streams;

use core::fmt;
use core::time::Duration;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, Sqlite, SqliteConnection, Transaction};
use tokio::sync::watch;

use super::StoreError;

/// In order; number N brings a database to version N.
const MIGRATIONS: &[&str] = &[include_str!("../../../migrations/sqlite/0001_allowlist.sql")];

/// What `PRAGMA application_id` says of our files ("mpgt").
const APPLICATION_ID: i64 = 1_836_083_060;

/// Readers side by side. A read takes well under a millisecond; long polls hold none.
const READERS: u32 = 4;

/// How long a request waits for the writer or a reader before it is told to come again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a statement waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    head: watch::Sender<u64>,
}

/// Why a database cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// The file cannot be created or opened.
    File(io::Error),
    /// It is a database, but not one of ours.
    Foreign,
    /// It was written by a newer version of this program.
    Newer,
    /// The database failed.
    Database(sqlx::Error),
    /// The operating system has no random bytes.
    NoRandom(getrandom::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(out, "cannot open the database file: {error}"),
            Self::Foreign => out.write_str("the file is not a database of mpgate; name another"),
            Self::Newer => {
                out.write_str("the database was written by a newer mpgate; run that version")
            }
            Self::Database(error) => write!(out, "the database cannot be used: {error}"),
            Self::NoRandom(error) => write!(out, "no random bytes: {error}"),
        }
    }
}

impl core::error::Error for OpenError {}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Store {
    /// Opens the database, and creates or migrates it where needed. A new file has mode 0600.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        create_private(path).map_err(OpenError::File)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        check_ours(&options).await?;
        let writer = pool(1).connect_with(options.clone()).await?;
        migrate(&writer).await?;
        let head = start_epoch(&writer).await?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
        Ok(Self { writer, readers, head: watch::Sender::new(head) })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT head FROM allowlist").fetch_one(&self.readers).await?;
        Ok(())
    }

    /// Tells of each commit that moved the head. What it says is a hint: the truth is read.
    #[must_use]
    pub fn watch_head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Closes the file after what is under way.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        // IMMEDIATE: the lock is taken before anything is read, so no check of this transaction can
        // be overtaken, not even by another process.
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.readers.begin().await?)
    }

    /// Commits a change of the allowlist, then wakes who waits for it.
    async fn commit_at(
        &self,
        transaction: Transaction<'static, Sqlite>,
        revision: u64,
    ) -> Result<(), StoreError> {
        transaction.commit().await?;
        self.head.send_if_modified(|head| {
            let grows = revision > *head;
            *head = revision.max(*head);
            grows
        });
        Ok(())
    }
}

/// Takes the next revision, inside the transaction of the change that will carry it.
async fn next_revision(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let row = sqlx::query("UPDATE allowlist SET head = head + 1 RETURNING head")
        .fetch_one(connection)
        .await?;
    Ok(row.try_get("head")?)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// SQLite gives its `-wal` and `-shm` files the mode of the database.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Looks before anything is written, not even the journal mode.
async fn check_ours(options: &SqliteConnectOptions) -> Result<(), OpenError> {
    let mut options = options.clone();
    if path_len(&options).map_err(OpenError::File)? == 0 {
        return Ok(());
    }
    options = SqliteConnectOptions::new()
        .filename(options.get_filename())
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("query_only", "ON")
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let application: i64 = number(&mut connection, "PRAGMA application_id").await?;
    let tables: i64 = number(&mut connection, "SELECT count(*) FROM sqlite_master").await?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(OpenError::Foreign);
    }
    Ok(())
}

fn path_len(options: &SqliteConnectOptions) -> io::Result<u64> {
    Ok(std::fs::metadata(options.get_filename())?.len())
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query(sql).fetch_one(connection).await?.try_get(0)
}

/// All that is missing, in one transaction: a database is of one version, also after a crash.
async fn migrate(writer: &SqlitePool) -> Result<(), OpenError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let version = number(&mut transaction, "PRAGMA user_version").await?;
    let done = usize::try_from(version).map_err(|_| OpenError::Foreign)?;
    let missing = MIGRATIONS.get(done..).ok_or(OpenError::Newer)?;
    for script in missing {
        sqlx::raw_sql(*script).execute(&mut *transaction).await?;
    }
    let set = format!("PRAGMA user_version = {}", MIGRATIONS.len());
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// A database gets its epoch once; answers the head.
async fn start_epoch(writer: &SqlitePool) -> Result<u64, OpenError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(OpenError::NoRandom)?;
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "INSERT INTO allowlist (only_row, epoch, head) VALUES (1, ?, 0) ON CONFLICT DO NOTHING",
    )
    .bind(hex::encode(random))
    .execute(&mut *transaction)
    .await?;
    let head = sqlx::query("SELECT head FROM allowlist")
        .fetch_one(&mut *transaction)
        .await?
        .try_get("head")?;
    transaction.commit().await?;
    Ok(head)
}
