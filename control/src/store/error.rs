//! Why a database did not do as asked. Refusals are no errors of the store: `service` makes those.

use core::fmt;
use std::io;

use super::{postgres, sqlite};

/// Why the store did not do as asked.
#[derive(Debug)]
pub enum StoreError {
    /// The database is busy or gone; asking again may help.
    Unavailable(sqlx::Error),
    /// The connection was lost while the database committed: it is done, or it is not.
    Uncertain(sqlx::Error),
    /// The database failed, or holds what this program would not have written.
    Broken(Box<dyn core::error::Error + Send + Sync>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(error) => write!(out, "the database does not answer: {error}"),
            Self::Uncertain(error) => {
                write!(out, "the database was lost while it committed, which may be done: {error}")
            }
            Self::Broken(error) => write!(out, "the database failed: {error}"),
        }
    }
}

impl core::error::Error for StoreError {}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::Unavailable(error)
            }
            error if sqlite::passes(&error) || postgres::passes(&error) => Self::Unavailable(error),
            error => Self::Broken(error.into()),
        }
    }
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
    /// The server is a standby, or reads only.
    ReadOnly,
    /// The database failed.
    Database(sqlx::Error),
    /// What it holds contradicts itself after it was brought to this version.
    Inconsistent(String),
    /// The operating system has no random bytes.
    NoRandom(getrandom::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(out, "cannot open the database file: {error}"),
            Self::Foreign => out.write_str("this is not a database of mpgate; name another"),
            Self::ReadOnly => {
                out.write_str("the server is a standby or reads only; name the one that writes")
            }
            Self::Newer => {
                out.write_str("the database was written by a newer mpgate; run that version")
            }
            Self::Database(error) => write!(out, "the database cannot be used: {error}"),
            Self::Inconsistent(what) => write!(
                out,
                "the database contradicts itself ({what}) and was left as it is; restore a backup"
            ),
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
