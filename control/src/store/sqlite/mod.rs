//! The store in one SQLite file: opening it, its one writer and its few readers.
//!
//! `synchronous=FULL` under WAL: what a commit acknowledged survives the machine. Files that are
//! another program's, or a newer version's, are refused.

mod audit;
mod backup;
mod consumers;
mod failure;
mod feed;
mod gateways;
mod keys;
mod migrate;
mod principals;
mod reconciliations;
mod restore;
mod session;
mod streams;
mod usage;

use core::time::Duration;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::watch;

use self::session::Session;
use super::{
    OpenError, Read, Standing, Store, StoreError, Stored, Write, announce, new_epoch, row,
};

pub(super) use failure::passes;

pub use backup::{BackedUp, BackupError, Loss, backup, send_backup};
pub use restore::{Restored, receive_backup, restore};

/// Readers side by side. A read takes well under a millisecond; long polls hold none.
const READERS: u32 = 4;

/// How long a request waits for the writer or a reader before it is told to come again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a statement waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A log of SQLite beyond this is emptied. Its own measure, 1 000 pages, is 4 MiB.
const LOG_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// How soon a change that another process made (`mpgate restore`) is noticed.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The store. Clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    head: watch::Sender<Standing>,
    log: Arc<Path>,
}

impl SqliteStore {
    /// Opens the database, and creates or migrates it where needed. A new file has mode 0600.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        create_private(path).map_err(OpenError::File)?;
        migrate::look(path).await?;
        let options = options(path);
        migrate::migrate(&options).await?;
        let writer = pool(1).connect_with(options.clone()).await?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
        let standing = standing(&readers).await?;
        let log = backup::beside(path, "-wal").into();
        let store = Self { writer, readers, head: watch::Sender::new(standing), log };
        tokio::spawn(store.clone().look_again());
        Ok(store)
    }

    /// Notices what other processes did, until the store is closed.
    async fn look_again(self) {
        while !self.readers.is_closed() {
            tokio::time::sleep(LOOK_AGAIN).await;
            if let Ok(found) = standing(&self.readers).await {
                announce(&self.head, found);
            }
            let bytes = std::fs::metadata(&self.log).map_or(0, |log| log.len());
            if bytes > LOG_BYTES_MAX
                && let Err(error) = self.empty_log().await
            {
                tracing::warn!(%error, bytes, "the database's log could not be emptied");
            }
        }
    }

    /// SQLite begins its log anew when no reader is in it. Under steady reading there may be no such
    /// moment: this waits for one, while new readers no longer need the log.
    async fn empty_log(&self) -> Result<(), sqlx::Error> {
        let mut writer = self.writer.acquire().await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *writer).await?;
        Ok(())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn read(&self) -> Stored<Box<dyn Read>> {
        let transaction = self.readers.begin().await?;
        Ok(Box::new(Session::new(transaction, self.head.clone())))
    }

    async fn write(&self) -> Stored<Box<dyn Write>> {
        // IMMEDIATE: the lock is taken before anything is read, so no check of this transaction can
        // be overtaken, not even by another process.
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Box::new(Session::new(transaction, self.head.clone())))
    }

    fn watch_head(&self) -> watch::Receiver<Standing> {
        self.head.subscribe()
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn standing(pool: &SqlitePool) -> Result<Standing, sqlx::Error> {
    let row = sqlx::query("SELECT epoch, head FROM allowlist").fetch_one(pool).await?;
    row::standing(&row)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        // When the disk fails or is full, SQLite ends the transaction by itself, and sqlx still believes
        // that one is open: such a connection would refuse every later one.
        .before_acquire(|connection, _| {
            Box::pin(async move { Ok(!connection.is_in_transaction()) })
        })
}

/// SQLite gives its `-wal` and `-shm` files the mode of the database.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A number for SQLite, which has no unsigned ones.
fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(row::broken)
}
