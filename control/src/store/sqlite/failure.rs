//! Which failures of SQLite pass by themselves or by an operator's hand: those are "not now". The others
//! mean that the file, or this program, is broken.

use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;

/// The family of SQLite's error, where it is one.
pub(super) fn family(error: &sqlx::Error) -> Option<u32> {
    let sqlx::Error::Database(error) = error else { return None };
    let code = error.try_downcast_ref::<SqliteError>()?.code()?;
    Some(code.parse::<u32>().ok()? & 0xff)
}

/// Busy, locked, read-only, input or output, full, cannot open, locking protocol: another process holds
/// the file, or the disk is full, away or not to be written. What was asked for was not done, and may
/// be asked for again.
pub(in crate::store) fn passes(error: &sqlx::Error) -> bool {
    family(error).is_some_and(|family| matches!(family, 5 | 6 | 8 | 10 | 13 | 14 | 15))
}

/// The file is damaged, or no database.
pub(super) fn is_damage(family: u32) -> bool {
    matches!(family, 11 | 26)
}
