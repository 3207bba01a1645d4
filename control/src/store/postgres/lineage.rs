//! Whether this is still the database whose revisions were given out.
//!
//! A standby that took over may lack the last commits and give their revisions to other changes; so may what
//! was restored from a dump. A gate that has come as far as the lost ones would never hear of the others.
//! So the database says which one it was when its epoch began, and each transaction compares: where it is
//! another one, nothing is read from it before a new epoch has begun, in which every gate starts over.

use sqlx::PgConnection;

use super::row::Columns as _;
use super::{Session, new_epoch, row, signed};
use crate::model::{Action, AuditEvent};
use crate::store::{Read as _, Standing, StoreError, Stored, Write as _};
use crate::time;

/// The cluster, its timeline, which every promotion and recovery to a point in time moves on, the database, and
/// the table itself, which a restored dump makes anew.
pub(super) const LINEAGE: &str = "(SELECT system_identifier FROM pg_control_system()) || '.' ||
    left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.' ||
    (SELECT oid FROM pg_database WHERE datname = current_database()) || '.' ||
    'mpgate.allowlist'::regclass::oid";

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) standing: Standing,
    /// Which version of this program wrote it last.
    pub(super) version: i32,
    /// It is the one that it was when its epoch began.
    is_same: bool,
}

impl Found {
    /// Whether a new epoch has to begin: it is another database, or what was given out was taken back.
    pub(super) fn is_astray(&self, known: &Standing) -> bool {
        let went_back = self.standing.epoch == known.epoch && self.standing.head < known.head;
        !self.is_same || went_back
    }

    /// Where the list stands, if it may be told.
    pub(super) fn expect_same(self) -> Stored<Standing> {
        if self.is_same {
            return Ok(self.standing);
        }
        let what = "another server or copy has taken over; a new epoch has to begin first";
        Err(StoreError::Unavailable(sqlx::Error::Protocol(what.to_owned())))
    }
}

/// Asks the database.
pub(super) async fn look(connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let sql = format!(
        "SELECT epoch, head, version::bigint AS version, (lineage = {LINEAGE})::int::bigint AS is_same
         FROM mpgate.allowlist CROSS JOIN mpgate.schema_version"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await?;
    let version = i32::try_from(row.time("version")?).unwrap_or(i32::MAX);
    Ok(Found { standing: row::standing(&row)?, version, is_same: row.time("is_same")? == 1 })
}

impl Session {
    /// Begins a new epoch in this transaction. No revision that anybody knows of is given out again.
    pub(super) async fn begin_epoch(&mut self, found: &Standing, known: &Standing) -> Stored<()> {
        let epoch = new_epoch().map_err(row::broken)?;
        let head = if found.epoch == known.epoch { found.head.max(known.head) } else { found.head };
        tracing::warn!(
            epoch,
            before = found.epoch,
            head,
            "this database is a copy, or has lost commits: a new epoch begins, and every gateway starts over"
        );
        let sql = format!("UPDATE mpgate.allowlist SET epoch = $1, head = $2, lineage = {LINEAGE}");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&epoch)
            .bind(signed(head)?)
            .execute(self.connection())
            .await?;
        self.mark_moved();
        let event = AuditEvent {
            ordinal: 0,
            time: time::now(),
            principal: None,
            source: None,
            action: Action::Restore,
            resource: "database".to_owned(),
            consumer: None,
            request_id: None,
            revision: Some(head),
            before: Some(serde_json::json!({"epoch": found.epoch})),
            after: Some(serde_json::json!({"epoch": epoch})),
            denial: None,
        };
        self.append(&event).await?;
        Ok(())
    }

    /// Begins a new epoch where it has to.
    pub(super) async fn keep_line(&mut self, known: &Standing) -> Stored<()> {
        let found = look(self.connection()).await?;
        self.expect_version(found.version)?;
        if found.is_astray(known) {
            self.begin_epoch(&found.standing, known).await?;
            self.standing().await?;
        }
        Ok(())
    }
}
