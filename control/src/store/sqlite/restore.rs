//! A restore: one transaction in which the database takes over what a backup holds, while `mpgate serve`
//! goes on.
//!
//! What was restored is another life of the database: it gets a new epoch, so that every gateway starts
//! over. Nothing that is out of force comes back into force: what was revoked, disabled or over stays so.
//! The trail stays, and no revision is given out twice.

use std::io::Read;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use super::backup::{
    BackupError, Loss, Scratch, beside, copy, expect_database, expect_sound, is_same_file, remove,
    ruined,
};
use super::migrate::{look, migrate};
use super::{OpenError, audit, create_private, new_epoch, options};
use crate::model::{Action, AuditEvent, Seconds};

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The new epoch.
    pub epoch: String,
    /// The head of the restored list.
    pub head: u64,
    /// Whether the backup was an earlier state of this very database.
    pub same_line: bool,
    /// Keys that are in force in the backup, or not in it, and that stay out of force.
    pub keys_kept_out: u64,
    /// Keys that were in force and are not in the backup: who sends with them is refused now.
    pub keys_gone: u64,
    /// Whether an administrator's token is in force.
    pub has_admin: bool,
}

/// Replaces what the database holds by a backup, in one transaction. `may_lose`: also where something
/// that the backup does not hold is lost.
///
/// # Errors
/// See [`BackupError`]. The database is then as it was.
pub async fn restore(
    database: &Path,
    from: &Path,
    may_lose: bool,
    now: Seconds,
) -> Result<Restored, BackupError> {
    expect_database(from).await?;
    if is_same_file(database, from) {
        return Err(BackupError::Same(from.to_owned()));
    }
    let scratch = Scratch::new(beside(database, ".restoring"))?;
    copy(from, scratch.path()).await?;
    let named = |error| renamed(error, scratch.path(), from);
    expect_sound(scratch.path()).await.map_err(named)?;
    let faulty = |error| BackupError::Open(from.to_owned(), error);
    migrate(&options(scratch.path())).await.map_err(faulty)?;
    let is_new = !database.exists();
    let done = replace(database, scratch.path(), may_lose, now).await;
    if is_new && done.is_err() {
        remove(database);
    }
    done
}

/// The same with a backup that is received. It is looked at when all of it is beside the database.
///
/// # Errors
/// See [`restore`]; `name` stands for the backup in them.
pub async fn receive_backup(
    database: &Path,
    from: &mut (dyn Read + Send),
    name: &Path,
    may_lose: bool,
    now: Seconds,
) -> Result<Restored, BackupError> {
    let scratch = Scratch::new(beside(database, ".received"))?;
    scratch.fill(from)?;
    let done = restore(database, scratch.path(), may_lose, now).await;
    done.map_err(|error| renamed(error, scratch.path(), name))
}

/// A copy has what it was copied from for its name.
fn renamed(error: BackupError, copy: &Path, name: &Path) -> BackupError {
    let name = |path: PathBuf| if path == copy { name.to_owned() } else { path };
    match error {
        BackupError::Empty(path) => BackupError::Empty(name(path)),
        BackupError::Open(path, error) => BackupError::Open(name(path), error),
        BackupError::Damaged(path, what) => BackupError::Damaged(name(path), what),
        BackupError::Database(path, error) => BackupError::Database(name(path), error),
        error => error,
    }
}

async fn replace(
    database: &Path,
    copy: &Path,
    may_lose: bool,
    now: Seconds,
) -> Result<Restored, BackupError> {
    let unusable = |error| BackupError::Open(database.to_owned(), error);
    create_private(database).map_err(|error| unusable(OpenError::File(error)))?;
    look(database).await.map_err(|error| match error {
        OpenError::Database(error) => ruined(database, error),
        error => unusable(error),
    })?;
    migrate(&options(database)).await.map_err(unusable)?;
    let failed = |error| BackupError::Database(database.to_owned(), error);
    let mut connection = options(database).foreign_keys(false).connect().await.map_err(failed)?;
    let name = copy.to_str().unwrap_or_default();
    sqlx::query("ATTACH ? AS backup").bind(name).execute(&mut connection).await.map_err(failed)?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let line = line(&mut transaction).await.map_err(failed)?;
    match line.loss() {
        Some(loss) if !may_lose => return Err(BackupError::Loss(loss)),
        _ => (),
    }
    let epoch = new_epoch().map_err(|error| unusable(OpenError::NoRandom(error)))?;
    let mut restored = take_over(&mut transaction, &line, &epoch, now).await.map_err(failed)?;
    let event = event(&restored, now);
    audit::append(&mut transaction, &event).await.map_err(BackupError::Trail)?;
    let dangling = sqlx::query("PRAGMA main.foreign_key_check").fetch_optional(&mut *transaction);
    if dangling.await.map_err(failed)?.is_some() {
        let what = "rows refer to rows that are not there".to_owned();
        return Err(BackupError::Damaged(copy.to_owned(), what));
    }
    restored.has_admin = number(&mut transaction, HAS_ADMIN, now).await.map_err(failed)? > 0;
    transaction.commit().await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(restored)
}

fn event(restored: &Restored, now: Seconds) -> AuditEvent {
    AuditEvent {
        ordinal: 0,
        time: now,
        principal: None,
        source: None,
        action: Action::Restore,
        resource: "database".to_owned(),
        consumer: None,
        request_id: None,
        revision: Some(restored.head),
        before: None,
        after: Some(serde_json::json!({
            "epoch": restored.epoch,
            "earlierState": restored.same_line,
            "keysKeptOut": restored.keys_kept_out,
            "keysGone": restored.keys_gone,
        })),
        denial: None,
    }
}

/// How database and backup are related.
struct Line {
    /// All that the backup's trail tells happened here too: it is an earlier state of this database.
    is_same: bool,
    /// Changes in the own trail that are not in the backup's.
    later: u64,
    /// There never was a consumer here.
    is_fresh: bool,
}

impl Line {
    fn loss(&self) -> Option<Loss> {
        match self {
            Self { is_same: true, later: 0, .. } => None,
            Self { is_same: true, later, .. } => Some(Loss::Later(*later)),
            Self { is_fresh: true, .. } => None,
            _ => Some(Loss::Everything),
        }
    }
}

/// A backup from before there was a trail has an empty one: then it is the epoch that tells.
async fn line(connection: &mut SqliteConnection) -> Result<Line, sqlx::Error> {
    let row = sqlx::query(
        "SELECT NOT EXISTS (SELECT * FROM backup.audit_events EXCEPT SELECT * FROM main.audit_events)
                AND (EXISTS (SELECT 1 FROM backup.audit_events)
                    OR (SELECT epoch FROM backup.allowlist) = (SELECT epoch FROM main.allowlist)) AS is_same,
            max(0, (SELECT count(*) FROM main.audit_events WHERE action <> 'denied')
                - (SELECT count(*) FROM backup.audit_events WHERE action <> 'denied')) AS later,
            NOT EXISTS (SELECT 1 FROM main.consumers) AS is_fresh",
    )
    .fetch_one(connection)
    .await?;
    Ok(Line {
        is_same: row.try_get("is_same")?,
        later: row.try_get("later")?,
        is_fresh: row.try_get("is_fresh")?,
    })
}

/// What the database held before, for what stays of it.
const REMEMBER: &str = "
    CREATE TEMP TABLE own_list AS SELECT * FROM main.allowlist;
    CREATE TEMP TABLE own_consumers AS SELECT * FROM main.consumers;
    CREATE TEMP TABLE own_principals AS SELECT * FROM main.principals;
    CREATE TEMP TABLE own_tokens AS SELECT * FROM main.tokens;
    CREATE TEMP TABLE own_keys AS SELECT * FROM main.api_keys;
    CREATE INDEX temp.own_digests ON own_keys (digest);";

/// Tables whose rows are the backup's afterwards, whatever the backup is.
const TABLES: [&str; 7] =
    ["allowlist", "consumers", "principals", "tokens", "streams", "api_keys", "live_grants"];

/// Tables that go on where the backup is an earlier state: what was seen stays seen, and the trail stays.
const OF_THE_LINE: [&str; 6] =
    ["key_uses", "usage_counts", "usage_reporters", "reconciliations", "requests", "audit_events"];

/// Revisions that were given out are not given out again.
const KEEP_HEAD: &str = "UPDATE main.allowlist SET head = max(head, (SELECT head FROM own_list))";

/// The keys of the backup that are further out of force here, by their secret's digest. `?1` is now.
const KEPT_KEYS: &str = "
    CREATE TEMP TABLE kept_keys AS
    SELECT *, row_number() OVER (ORDER BY old_revision) AS step FROM (
        SELECT key.key_id, key.revision AS old_revision, key.state AS old_state,
            key.grant_json AS old_grant,
            CASE WHEN 'revoked' IN (own.state, key.state) THEN 'revoked'
                WHEN 'disabled' IN (own.state, key.state) THEN 'disabled' ELSE 'active' END AS state,
            coalesce(key.revoke_time, max(own.revoke_time, key.create_time)) AS revoke_time,
            CASE WHEN own.grant_json ->> '$.expire_time' <= ?1
                    AND coalesce(key.grant_json ->> '$.expire_time' > own.grant_json ->> '$.expire_time', TRUE)
                THEN json_set(key.grant_json, '$.expire_time', own.grant_json ->> '$.expire_time')
                ELSE key.grant_json END AS grant_json
        FROM main.api_keys AS key JOIN own_keys AS own ON own.digest = key.digest)
    WHERE state <> old_state OR grant_json <> old_grant";

const KEEP_KEYS_OUT: &str = "
    UPDATE main.api_keys AS key SET state = kept.state, revoke_time = kept.revoke_time,
        grant_json = kept.grant_json, revision = (SELECT head FROM main.allowlist) + kept.step
    FROM kept_keys AS kept WHERE kept.key_id = key.key_id;
    UPDATE main.allowlist SET head = head + (SELECT count(*) FROM kept_keys);
    DELETE FROM main.live_grants
        WHERE key_id IN (SELECT key_id FROM main.api_keys WHERE state = 'revoked');";

/// A key that came after the backup and is out of force is revoked for good: a later backup, restored after
/// this one, would put it back into force. `?1` is now.
const END_KEYS: &str =
    "UPDATE temp.own_keys SET state = 'revoked', revoke_time = max(?1, create_time)
    WHERE digest NOT IN (SELECT digest FROM main.api_keys) AND state <> 'revoked'
        AND (state = 'disabled' OR grant_json ->> '$.expire_time' <= ?1)";

/// Of the tokens that came after the backup, those that have ended are what is to be kept. `?1` is now.
const ONLY_ENDED_TOKENS: &str = "DELETE FROM temp.own_tokens
    WHERE digest IN (SELECT digest FROM main.tokens)
        OR (revoke_time IS NULL AND coalesce(expire_time > ?1, TRUE))";

/// What was revoked after it came after the backup stays too, so that its secret stays taken. Who is not in the
/// backup and not revoked stays with what tokens have ended, and can do nothing.
const KEEP_REVOKED: &str = "
    INSERT INTO main.consumers SELECT * FROM own_consumers
        WHERE consumer_id NOT IN (SELECT consumer_id FROM main.consumers)
            AND consumer_id IN (SELECT consumer_id FROM own_keys WHERE state = 'revoked');
    INSERT INTO main.api_keys SELECT * FROM own_keys
        WHERE state = 'revoked' AND digest NOT IN (SELECT digest FROM main.api_keys);
    UPDATE main.principals AS principal SET version = principal.version + 1,
        revoke_time = max(own.revoke_time, principal.create_time)
    FROM own_principals AS own WHERE own.principal_id = principal.principal_id
        AND own.revoke_time IS NOT NULL AND principal.revoke_time IS NULL;
    INSERT INTO main.principals SELECT * FROM own_principals
        WHERE principal_id NOT IN (SELECT principal_id FROM main.principals)
            AND (revoke_time IS NOT NULL OR principal_id IN (SELECT principal_id FROM own_tokens));
    INSERT INTO main.tokens SELECT * FROM own_tokens;
    DELETE FROM main.key_uses WHERE key_id NOT IN (SELECT key_id FROM main.api_keys);
    DELETE FROM main.usage_counts WHERE key_id NOT IN (SELECT key_id FROM main.api_keys);
    DELETE FROM main.usage_reporters
        WHERE principal_id NOT IN (SELECT principal_id FROM main.principals);
    DELETE FROM main.reconciliations
        WHERE consumer_id NOT IN (SELECT consumer_id FROM main.consumers);
    DELETE FROM main.requests;
    INSERT INTO main.requests SELECT * FROM backup.requests;";

/// `?1` is now.
const KEEP_TOKENS_OUT: &str = "
    UPDATE main.tokens AS token SET
        revoke_time = coalesce(token.revoke_time, max(own.revoke_time, token.create_time)),
        expire_time = CASE WHEN own.expire_time <= ?1 THEN own.expire_time ELSE token.expire_time END,
        last_use_time = coalesce(max(own.last_use_time, token.last_use_time),
            own.last_use_time, token.last_use_time)
    FROM own_tokens AS own WHERE own.digest = token.digest";

/// The trail of a database that goes stays before the one that comes. Its places are others then, so no
/// repeated request finds its event.
const JOIN_TRAILS: &str = "
    INSERT INTO main.audit_events (time, principal_id, source, action, resource, consumer_id,
        request_id, revision, before_json, after_json, denied_method, denied_count)
    SELECT time, principal_id, source, action, resource, consumer_id, request_id, revision,
        before_json, after_json, denied_method, denied_count FROM backup.audit_events ORDER BY ordinal;
    DELETE FROM main.requests;";

/// What triggers keep otherwise.
const COUNT_KEYS: &str = "UPDATE main.live_counts
    SET keys = (SELECT count(*) FROM main.api_keys WHERE state <> 'revoked')";

const KEPT_OUT: &str =
    "SELECT (SELECT count(*) FROM kept_keys) + (SELECT count(*) FROM main.api_keys
    WHERE digest NOT IN (SELECT digest FROM backup.api_keys))";

const GONE: &str = "SELECT count(*) FROM own_keys WHERE state = 'active'
    AND coalesce(grant_json ->> '$.expire_time' > ?1, TRUE)
    AND digest NOT IN (SELECT digest FROM main.api_keys)";

const HAS_ADMIN: &str =
    "SELECT EXISTS (SELECT 1 FROM main.tokens JOIN main.principals USING (principal_id)
    WHERE role = 'admin' AND principals.revoke_time IS NULL AND tokens.revoke_time IS NULL
        AND coalesce(expire_time > ?1, TRUE))";

async fn take_over(
    connection: &mut SqliteConnection,
    line: &Line,
    epoch: &str,
    now: Seconds,
) -> Result<Restored, sqlx::Error> {
    let triggers = drop_triggers(connection).await?;
    run(connection, REMEMBER).await?;
    let others = if line.is_same { &[][..] } else { &OF_THE_LINE };
    for table in TABLES.iter().chain(others) {
        // Where trails are joined, the own one comes first.
        if *table != "audit_events" || line.is_fresh {
            run(connection, &format!("DELETE FROM main.{table}")).await?;
            run(connection, &format!("INSERT INTO main.{table} SELECT * FROM backup.{table}"))
                .await?;
        }
    }
    run(connection, KEEP_HEAD).await?;
    sqlx::query(KEPT_KEYS).bind(now).execute(&mut *connection).await?;
    run(connection, KEEP_KEYS_OUT).await?;
    sqlx::query(KEEP_TOKENS_OUT).bind(now).execute(&mut *connection).await?;
    match line {
        Line { is_same: true, .. } => {
            sqlx::query(END_KEYS).bind(now).execute(&mut *connection).await?;
            sqlx::query(ONLY_ENDED_TOKENS).bind(now).execute(&mut *connection).await?;
            run(connection, KEEP_REVOKED).await?;
        }
        Line { is_fresh: true, .. } => run(connection, "DELETE FROM main.gateways").await?,
        _ => {
            run(connection, "DELETE FROM main.gateways").await?;
            run(connection, JOIN_TRAILS).await?;
        }
    }
    run(connection, COUNT_KEYS).await?;
    for trigger in triggers {
        run(connection, &trigger).await?;
    }
    let row = sqlx::query("UPDATE main.allowlist SET epoch = ? RETURNING head")
        .bind(epoch)
        .fetch_one(&mut *connection)
        .await?;
    Ok(Restored {
        epoch: epoch.to_owned(),
        head: row.try_get("head")?,
        same_line: line.is_same,
        keys_kept_out: number(connection, KEPT_OUT, now).await?,
        keys_gone: number(connection, GONE, now).await?,
        has_admin: false,
    })
}

/// Triggers keep rows from being erased; inside this transaction they stand back.
async fn drop_triggers(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query("SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger'")
        .fetch_all(&mut *connection)
        .await?;
    let mut triggers = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.try_get("name")?;
        triggers.push(row.try_get("sql")?);
        run(connection, &format!("DROP TRIGGER main.{name}")).await?;
    }
    Ok(triggers)
}

/// The statements are ours, and the names in them come from our own schema.
async fn run(connection: &mut SqliteConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await?;
    Ok(())
}

/// One number; `?1`, where the query has it, is now.
async fn number(
    connection: &mut SqliteConnection,
    sql: &'static str,
    now: Seconds,
) -> Result<u64, sqlx::Error> {
    let query = sqlx::query(sql);
    let query = if sql.contains("?1") { query.bind(now) } else { query };
    query.fetch_one(connection).await?.try_get(0)
}
