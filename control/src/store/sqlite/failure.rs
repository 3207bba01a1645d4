//! Which failures of SQLite pass by themselves or by an operator's hand: those are "not now". The others
//! mean that the file, or this program, is broken.

use crate::store::StoreError;

/// The family of SQLite's error, where it is one.
pub(super) fn family(error: &sqlx::Error) -> Option<u32> {
    let sqlx::Error::Database(error) = error else { return None };
    Some(error.code()?.parse::<u32>().ok()? & 0xff)
}

/// Busy, locked, read-only, input or output, full, cannot open, locking protocol: another process holds
/// the file, or the disk is full, away or not to be written. What was asked for was not done, and may
/// be asked for again.
pub(super) fn passes(family: u32) -> bool {
    matches!(family, 5 | 6 | 8 | 10 | 13 | 14 | 15)
}

/// The file is damaged, or no database.
pub(super) fn is_damage(family: u32) -> bool {
    matches!(family, 11 | 26)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::Unavailable(error)
            }
            error if family(&error).is_some_and(passes) => Self::Unavailable(error),
            error => Self::Broken(error.into()),
        }
    }
}
