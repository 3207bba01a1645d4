//! Principals and the digests of their tokens. They are not on the allowlist and take no revision.

use mpgate_contract::Digest;
use sqlx::{Row as _, SqliteConnection};

use super::{Store, read};
use crate::names::PrincipalId;
use crate::store::{Part, Principal, Refusal, Role, Seconds, Slice, StoreError};

impl Store {
    /// Adds a principal.
    ///
    /// # Errors
    /// [`Refusal::PrincipalExists`], also for the id of a revoked one.
    pub async fn create_principal(
        &self,
        id: &PrincipalId,
        display_name: &str,
        role: Role,
        digest: Digest,
        now: Seconds,
    ) -> Result<Principal, StoreError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "INSERT INTO principals (principal_id, display_name, role, digest, create_time)
             VALUES (?, ?, ?, ?, ?) ON CONFLICT (principal_id) DO NOTHING RETURNING *",
        )
        .bind(id.as_str())
        .bind(display_name)
        .bind(role.label())
        .bind(&digest.as_bytes()[..])
        .bind(now)
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(Refusal::PrincipalExists)?;
        transaction.commit().await?;
        read::principal(&row)
    }

    /// Whether anybody was ever added.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_principals(&self) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM principals)")
            .fetch_one(&self.readers)
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Whose token this is, if it is in force. The lookup is by the digest of what was presented, so
    /// its time says nothing of the token.
    ///
    /// # Errors
    /// The database failed.
    pub async fn principal_by_digest(
        &self,
        digest: Digest,
    ) -> Result<Option<Principal>, StoreError> {
        let row = sqlx::query("SELECT * FROM principals WHERE digest = ? AND revoke_time IS NULL")
            .bind(&digest.as_bytes()[..])
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read::principal).transpose()
    }

    /// A part of the list.
    ///
    /// # Errors
    /// The database failed.
    pub async fn principals(&self, slice: Slice) -> Result<Part<Principal>, StoreError> {
        let rows = sqlx::query(
            "SELECT *, ordinal AS position FROM principals
             WHERE ordinal > ? AND (? OR revoke_time IS NULL) ORDER BY ordinal LIMIT ? + 1",
        )
        .bind(i64::try_from(slice.after).unwrap_or(i64::MAX))
        .bind(slice.show_deleted)
        .bind(slice.limit)
        .fetch_all(&self.readers)
        .await?;
        read::part(&rows, slice, read::principal)
    }

    /// One principal, revoked or not.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`].
    pub async fn principal(&self, id: &PrincipalId) -> Result<Principal, StoreError> {
        let mut snapshot = self.snapshot().await?;
        find(&mut snapshot, id).await
    }

    /// Revokes a principal's token; one that is revoked stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`], [`Refusal::LastAdmin`].
    pub async fn revoke_principal(
        &self,
        id: &PrincipalId,
        now: Seconds,
    ) -> Result<Principal, StoreError> {
        let mut transaction = self.begin().await?;
        let mut principal = find(&mut transaction, id).await?;
        if principal.revoke_time.is_some() {
            return Ok(principal);
        }
        if principal.role == Role::Admin && admins(&mut transaction).await? <= 1 {
            return Err(Refusal::LastAdmin.into());
        }
        let end = now.max(principal.create_time);
        sqlx::query("UPDATE principals SET revoke_time = ? WHERE principal_id = ?")
            .bind(end)
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        principal.revoke_time = Some(end);
        Ok(principal)
    }
}

async fn admins(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let row =
        sqlx::query("SELECT count(*) FROM principals WHERE role = 'admin' AND revoke_time IS NULL")
            .fetch_one(connection)
            .await?;
    Ok(row.try_get(0)?)
}

async fn find(
    connection: &mut SqliteConnection,
    id: &PrincipalId,
) -> Result<Principal, StoreError> {
    let row = sqlx::query("SELECT * FROM principals WHERE principal_id = ?")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?
        .ok_or(Refusal::NoPrincipal)?;
    read::principal(&row)
}
