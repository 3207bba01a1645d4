//! A backup: one snapshot of the database in one new file or on a stream, made while `mpgate serve` goes on.
//!
//! It is written under another name, looked through, and bears its own name, or is sent, only when it is whole.

use core::fmt;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::migrate::{Found, look};
use super::{BUSY_TIMEOUT, OpenError, failure};
use crate::store::row;
use crate::store::{Standing, StoreError};

/// Why there is no backup, or nothing was restored. Nothing was changed then.
#[derive(Debug)]
pub enum BackupError {
    /// The file is there already.
    Exists(PathBuf),
    /// The file is not there.
    Missing(PathBuf),
    /// There is nothing in the file.
    Empty(PathBuf),
    /// Backup and database are one file.
    Same(PathBuf),
    /// Another backup or restore is writing this file.
    UnderWay(PathBuf),
    /// The file cannot be written.
    File(PathBuf, io::Error),
    /// The backup cannot be sent.
    Send(io::Error),
    /// The backup cannot be received.
    Receive(io::Error),
    /// The database, or the backup, cannot be used.
    Open(PathBuf, OpenError),
    /// The file is damaged: SQLite's own words.
    Damaged(PathBuf, String),
    /// The database itself is damaged.
    Ruined(PathBuf, String),
    /// Something would be lost, and nobody said that it may be.
    Loss(Loss),
    /// The database failed.
    Database(PathBuf, sqlx::Error),
    /// The trail could not be written to.
    Trail(StoreError),
}

/// What a restore takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The backup is an earlier state of the database: this many events of the trail came after it.
    Later(u64),
    /// The backup is another database's, and this one holds something.
    Everything,
}

impl BackupError {
    /// Whether it is the command line that is wrong, and not a file.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Exists(_) | Self::Missing(_) | Self::Empty(_) | Self::Same(_) | Self::Loss(_)
        )
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(out, "{} is there already; name a new file, or move it away", path.display())
            }
            Self::Missing(path) => write!(out, "there is no file {}", path.display()),
            Self::Empty(path) => write!(out, "{} is empty: no database of mpgate", path.display()),
            Self::Same(path) => {
                write!(out, "{} is the database itself; name a backup", path.display())
            }
            Self::UnderWay(path) => write!(
                out,
                "another backup or restore is writing {}; wait until it is done",
                path.display()
            ),
            Self::File(path, error) => write!(out, "cannot write {}: {error}", path.display()),
            Self::Send(error) => {
                write!(out, "cannot write the backup: {error}; what was written of it is of no use")
            }
            Self::Receive(error) => write!(out, "cannot read the backup: {error}"),
            Self::Open(path, error) => write!(out, "{}: {error}", path.display()),
            Self::Damaged(path, what) => {
                write!(out, "{} is damaged ({what}); use another file", path.display())
            }
            Self::Ruined(path, what) => write!(
                out,
                "{0} is damaged ({what}); stop control, move {0}, {0}-wal and {0}-shm away, and restore into a new file",
                path.display()
            ),
            Self::Loss(Loss::Later(events)) => write!(
                out,
                "changes that came after this backup and would be lost: {events} (the trail, and what was revoked, stay); \
                 add --yes"
            ),
            Self::Loss(Loss::Everything) => out.write_str(
                "the backup is no earlier state of this database, whose consumers, streams and keys would all be lost; \
                 if it is the right file, add --yes",
            ),
            Self::Database(path, error) => write!(out, "{}: {error}", path.display()),
            Self::Trail(error) => error.fmt(out),
        }
    }
}

impl core::error::Error for BackupError {}

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// Where the allowlist stood.
    pub standing: Standing,
    /// The size of the file.
    pub bytes: u64,
}

/// Writes a snapshot of the database to a new file of mode 0600.
///
/// # Errors
/// See [`BackupError`]. There is then no file of that name.
pub async fn backup(database: &Path, to: &Path) -> Result<BackedUp, BackupError> {
    expect_database(database).await?;
    expect_new(to)?;
    let (scratch, standing) = snapshot(database, beside(to, ".partial")).await?;
    let bytes = scratch.publish(to)?;
    Ok(BackedUp { standing, bytes })
}

/// Sends a snapshot of the database. Nothing is sent before all of it is beside the database, for as long as this takes.
///
/// # Errors
/// See [`BackupError`]. What was sent is then of no use.
pub async fn send_backup(
    database: &Path,
    to: &mut (dyn Write + Send),
) -> Result<BackedUp, BackupError> {
    expect_database(database).await?;
    let (scratch, standing) = snapshot(database, beside(database, ".partial")).await?;
    let sent = File::open(scratch.path()).and_then(|mut file| io::copy(&mut file, to));
    let sent = sent.and_then(|bytes| to.flush().map(|()| bytes));
    Ok(BackedUp { standing, bytes: sent.map_err(BackupError::Send)? })
}

/// A copy of the database that was looked through.
async fn snapshot(database: &Path, path: PathBuf) -> Result<(Scratch, Standing), BackupError> {
    let scratch = Scratch::new(path)?;
    copy(database, scratch.path()).await?;
    let standing = expect_sound(scratch.path()).await?;
    Ok((scratch, standing))
}

fn expect_new(path: &Path) -> Result<(), BackupError> {
    // A link that leads nowhere is there as well.
    match path.symlink_metadata() {
        Ok(_) => Err(BackupError::Exists(path.to_owned())),
        Err(_) => Ok(()),
    }
}

/// The file must be there and hold a database of ours, of a version that this program knows.
pub(super) async fn expect_database(path: &Path) -> Result<(), BackupError> {
    if !path.is_file() {
        return Err(BackupError::Missing(path.to_owned()));
    }
    match look(path).await {
        Ok(Found::Ours) => Ok(()),
        Ok(Found::Nothing) => Err(BackupError::Empty(path.to_owned())),
        Err(OpenError::Database(error)) => Err(unreadable(path, error)),
        Err(error) => Err(BackupError::Open(path.to_owned(), error)),
    }
}

/// Whether both names lead to one file.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// The file and what SQLite puts beside it.
pub(super) fn remove(path: &Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        fs::remove_file(beside(path, ending)).ok();
    }
}

/// A private file that is being written. It goes unless it is published. What a killed process left of
/// the same name is written over; what another one is writing is not.
pub(super) struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    pub(super) fn new(path: PathBuf) -> Result<Self, BackupError> {
        let failed = |error| BackupError::File(path.clone(), error);
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(BackupError::UnderWay(path)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let found = file.metadata().map_err(failed)?;
        // Between opening and locking its owner may have published or removed it.
        if fs::metadata(&path).map(|it| it.ino()).ok() != Some(found.ino()) {
            return Err(BackupError::UnderWay(path));
        }
        let emptied =
            file.set_permissions(fs::Permissions::from_mode(0o600)).and_then(|()| file.set_len(0));
        emptied.map_err(failed)?;
        for ending in ["-wal", "-shm", "-journal"] {
            fs::remove_file(beside(&path, ending)).ok();
        }
        Ok(Self { file, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all that there is to read.
    pub(super) fn fill(&self, from: &mut dyn Read) -> Result<(), BackupError> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut chunk).map_err(BackupError::Receive)?;
            let Some(read) = chunk.get(..count).filter(|read| !read.is_empty()) else {
                return Ok(());
            };
            let written = (&self.file).write_all(read);
            written.map_err(|error| BackupError::File(self.path.clone(), error))?;
        }
    }

    /// Gives the file its name, on the disk when this returns, and answers its size.
    fn publish(self, to: &Path) -> Result<u64, BackupError> {
        expect_new(to)?;
        let bytes = self
            .file
            .sync_all()
            .and_then(|()| self.file.metadata())
            .and_then(|found| fs::rename(&self.path, to).map(|()| found.len()));
        let bytes = bytes.map_err(|error| BackupError::File(to.to_owned(), error))?;
        // The name itself is part of the folder. Where folders cannot be synced, the file is there.
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).ok();
        Ok(bytes)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// A snapshot, what is still in the log included.
pub(super) async fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let text = to.to_str().ok_or_else(|| {
        BackupError::File(to.to_owned(), io::Error::other("the path is not text"))
    })?;
    let source = SqliteConnectOptions::new().filename(from).busy_timeout(BUSY_TIMEOUT);
    let copied = async {
        let mut connection = source.disable_statement_logging().connect().await?;
        sqlx::query("VACUUM INTO ?").bind(text).execute(&mut connection).await?;
        connection.close().await
    };
    copied.await.map_err(|error| match failure::family(&error) {
        // Full, or not to be written: it is the copy that is.
        Some(8 | 10 | 13 | 14) => BackupError::Database(to.to_owned(), error),
        _ => unreadable(from, error),
    })
}

/// Looks through a copy that nobody else has open, and answers where its allowlist stands.
pub(super) async fn expect_sound(path: &Path) -> Result<Standing, BackupError> {
    let failed = |error| unreadable(path, error);
    let damaged = |what| BackupError::Damaged(path.to_owned(), what);
    let options = SqliteConnectOptions::new().filename(path).disable_statement_logging();
    let mut connection = options.connect().await.map_err(failed)?;
    let rows = sqlx::query("PRAGMA integrity_check").fetch_all(&mut connection).await;
    for row in rows.map_err(failed)? {
        let word: String = row.try_get(0).map_err(failed)?;
        if word != "ok" {
            return Err(damaged(word));
        }
    }
    let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_optional(&mut connection).await;
    if dangling.map_err(failed)?.is_some() {
        return Err(damaged("rows refer to rows that are not there".to_owned()));
    }
    let list = sqlx::query("SELECT epoch, head FROM allowlist").fetch_one(&mut connection).await;
    let standing = list.and_then(|list| row::standing(&list)).map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(standing)
}

/// What SQLite says of a file that it cannot read.
fn unreadable(path: &Path, error: sqlx::Error) -> BackupError {
    match damage(&error) {
        Some(words) => BackupError::Damaged(path.to_owned(), words),
        None => BackupError::Database(path.to_owned(), error),
    }
}

/// The same of the database that is to be restored.
pub(super) fn ruined(path: &Path, error: sqlx::Error) -> BackupError {
    match damage(&error) {
        Some(words) => BackupError::Ruined(path.to_owned(), words),
        None => BackupError::Database(path.to_owned(), error),
    }
}

fn damage(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(database) = error else { return None };
    let is_damage = failure::family(error).is_some_and(failure::is_damage);
    is_damage.then(|| database.message().to_owned())
}
