//! Which failures of PostgreSQL pass by themselves or by an operator's hand: those are "not now". The others
//! mean that the database, or this program, is broken. Codes are those of the manual's appendix A.

use sqlx::postgres::PgDatabaseError;

/// PostgreSQL's own code, where the server said anything.
fn code(error: &sqlx::Error) -> Option<&str> {
    let sqlx::Error::Database(error) = error else { return None };
    Some(error.try_downcast_ref::<PgDatabaseError>()?.code())
}

/// What was asked for was not done, and may be asked for again. No transaction is retried here: writers take
/// one lock, so a serialization failure (40) is another program's doing.
pub(in crate::store) fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        error => code(error).is_some_and(|code| {
            // A plan that a migration outdated; a transaction that idled; a server that only reads.
            matches!(code, "0A000" | "25P03" | "25006" | "3D000")
                // Connection, authentication, rollback, resources, locks and state, operator, disk.
                || ["08", "28", "40", "53", "55", "57", "58"]
                    .iter()
                    .any(|class| code.starts_with(class))
        }),
    }
}

/// Other connections from before this may have the same trouble: they lead to a server that has gone, or
/// that is no longer the one to write to.
pub(super) fn is_of_the_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        error => code(error).is_some_and(|code| {
            matches!(code, "0A000" | "25006" | "55000" | "57P01" | "57P02" | "57P03")
                || code.starts_with("08")
        }),
    }
}
