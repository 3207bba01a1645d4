//! Principals and the digests of their tokens. They are not on the allowlist and take no revision.

use mpgate_contract::Digest;
use sqlx::PgConnection;

use super::signed;
use crate::model::{Part, Principal, PrincipalEnd, Seconds, Slice, Token, TokenId};
use crate::names::PrincipalId;
use crate::store::Stored;
use crate::store::row::{self, Columns as _};

pub(super) async fn find(
    connection: &mut PgConnection,
    id: &PrincipalId,
) -> Stored<Option<Principal>> {
    let row = sqlx::query("SELECT * FROM principals WHERE principal_id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::principal).transpose()
}

pub(super) async fn list(connection: &mut PgConnection, slice: Slice) -> Stored<Part<Principal>> {
    let rows = sqlx::query(
        "SELECT *, ordinal AS position FROM principals
         WHERE ordinal > $1 AND ($2 OR revoke_time IS NULL) ORDER BY ordinal LIMIT $3 + 1",
    )
    .bind(i64::try_from(slice.after).unwrap_or(i64::MAX))
    .bind(slice.show_deleted)
    .bind(i64::from(slice.limit))
    .fetch_all(connection)
    .await?;
    row::part(&rows, slice, row::principal)
}

/// The lookup is by the digest of what was presented, so its time says nothing of the token.
pub(super) async fn by_digest(
    connection: &mut PgConnection,
    digest: Digest,
) -> Stored<Option<(Principal, Token)>> {
    let row = sqlx::query(
        "SELECT principals.*, token_id, last_use_time, tokens.create_time AS token_create_time,
             tokens.expire_time AS token_expire_time, tokens.revoke_time AS token_revoke_time
         FROM tokens JOIN principals USING (principal_id) WHERE tokens.digest = $1",
    )
    .bind(&digest.as_bytes()[..])
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row::principal(&row)?, row::token(&row)?))).transpose()
}

pub(super) async fn tokens(
    connection: &mut PgConnection,
    principal: &PrincipalId,
) -> Stored<Vec<Token>> {
    let rows = sqlx::query(
        "SELECT token_id, principal_id, last_use_time, create_time AS token_create_time,
             expire_time AS token_expire_time, revoke_time AS token_revoke_time
         FROM tokens WHERE principal_id = $1 ORDER BY ordinal",
    )
    .bind(principal.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(row::token).collect()
}

pub(super) async fn token_ends(
    connection: &mut PgConnection,
    principals: &[PrincipalId],
) -> Stored<Vec<Option<Seconds>>> {
    // The list as one array: one statement, however many principals.
    let rows = sqlx::query(
        "SELECT (SELECT CASE WHEN count(*) = count(expire_time) THEN max(expire_time) END
             FROM tokens WHERE principal_id = asked.id AND revoke_time IS NULL) AS expire_time
         FROM unnest($1::text[]) WITH ORDINALITY AS asked (id, place) ORDER BY place",
    )
    .bind(principals.iter().map(PrincipalId::as_str).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.number("expire_time")?)).collect()
}

pub(super) async fn ends(
    connection: &mut PgConnection,
    after: Seconds,
    limit: u32,
) -> Stored<Vec<PrincipalEnd>> {
    let rows = sqlx::query(
        "SELECT principal_id, role, max(expire_time) AS expire_time
         FROM tokens JOIN principals USING (principal_id)
         WHERE tokens.revoke_time IS NULL AND principals.revoke_time IS NULL AND expire_time > $1
             AND NOT EXISTS (SELECT 1 FROM tokens AS lasting
                 WHERE lasting.principal_id = tokens.principal_id
                     AND lasting.revoke_time IS NULL AND lasting.expire_time IS NULL)
         GROUP BY principal_id, role ORDER BY max(expire_time), principal_id LIMIT $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(row::principal_end).collect()
}

pub(super) async fn insert(connection: &mut PgConnection, principal: &Principal) -> Stored<()> {
    sqlx::query(
        "INSERT INTO principals (principal_id, display_name, role, consumers, environment, version,
             create_time, revoke_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(principal.id.as_str())
    .bind(&principal.display_name)
    .bind(principal.role.label())
    .bind(serde_json::to_string(&principal.consumers).map_err(row::broken)?)
    .bind(principal.environment.map(mpgate_contract::Environment::label))
    .bind(signed(principal.version)?)
    .bind(principal.create_time)
    .bind(principal.revoke_time)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update(connection: &mut PgConnection, principal: &Principal) -> Stored<()> {
    sqlx::query(
        "UPDATE principals SET display_name = $1, role = $2, consumers = $3, environment = $4, version = $5,
             revoke_time = $6 WHERE principal_id = $7",
    )
    .bind(&principal.display_name)
    .bind(principal.role.label())
    .bind(serde_json::to_string(&principal.consumers).map_err(row::broken)?)
    .bind(principal.environment.map(mpgate_contract::Environment::label))
    .bind(signed(principal.version)?)
    .bind(principal.revoke_time)
    .bind(principal.id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn insert_token(
    connection: &mut PgConnection,
    token: &Token,
    digest: Digest,
) -> Stored<()> {
    sqlx::query(
        "INSERT INTO tokens (token_id, principal_id, digest, create_time, expire_time)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(token.id.as_str())
    .bind(token.principal.as_str())
    .bind(&digest.as_bytes()[..])
    .bind(token.create_time)
    .bind(token.expire_time)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_token(connection: &mut PgConnection, token: &Token) -> Stored<()> {
    sqlx::query("UPDATE tokens SET expire_time = $1, revoke_time = $2 WHERE token_id = $3")
        .bind(token.expire_time)
        .bind(token.revoke_time)
        .bind(token.id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn touch_tokens(
    connection: &mut PgConnection,
    uses: &[(TokenId, Seconds)],
) -> Stored<()> {
    for (token, time) in uses {
        sqlx::query(
            "UPDATE tokens SET last_use_time = greatest(last_use_time, $1) WHERE token_id = $2",
        )
        .bind(time)
        .bind(token.as_str())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
