//! From a row to a record. A value that the contract would not parse is a broken database, and said
//! so instead of served.

use mpgate_contract::{ConsumerId, Digest, Environment, KeyId, State};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::model::{
    Action, AuditEvent, Consumer, Gateway, GatewayId, KeyRecord, KeyState, Origin, Part, Principal,
    Role, Scope, Slice, StreamRecord, Token, TokenId,
};
use crate::names::PrincipalId;
use crate::store::{FeedKey, FeedStream, Standing, StoreError, environment as environment_of};

pub(super) fn broken<E: Into<Box<dyn core::error::Error + Send + Sync>>>(error: E) -> StoreError {
    StoreError::Broken(error.into())
}

/// Reads a stored word through the type that owns it.
fn word<T, E>(
    row: &SqliteRow,
    column: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, StoreError>
where
    E: Into<Box<dyn core::error::Error + Send + Sync>>,
{
    parse(row.try_get(column)?).map_err(broken)
}

/// Reads a stored word that may be absent.
fn optional_word<T, E>(
    row: &SqliteRow,
    column: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, StoreError>
where
    E: Into<Box<dyn core::error::Error + Send + Sync>>,
{
    let text: Option<&str> = row.try_get(column)?;
    text.map(parse).transpose().map_err(broken)
}

fn state(row: &SqliteRow) -> Result<State, StoreError> {
    word(row, "state", |text| match text {
        "active" => Ok(State::Active),
        "revoked" => Ok(State::Revoked),
        _ => Err("a stored state is neither active nor revoked"),
    })
}

fn key_state(row: &SqliteRow) -> Result<KeyState, StoreError> {
    word(row, "state", |text| KeyState::parse(text).ok_or("a stored key state is unknown"))
}

fn environment(text: &str) -> Result<Environment, &'static str> {
    environment_of(text).ok_or("a stored environment is unknown")
}

fn consumer_ids(text: &str) -> Result<Vec<ConsumerId>, serde_json::Error> {
    serde_json::from_str(text)
}

fn digest(row: &SqliteRow) -> Result<Digest, StoreError> {
    let bytes: &[u8] = row.try_get("digest")?;
    Ok(Digest::from_bytes(bytes.try_into().map_err(broken)?))
}

pub(super) fn standing(row: &SqliteRow) -> Result<Standing, sqlx::Error> {
    Ok(Standing { epoch: row.try_get("epoch")?, head: row.try_get("head")? })
}

pub(super) fn consumer(row: &SqliteRow) -> Result<Consumer, StoreError> {
    Ok(Consumer {
        id: word(row, "consumer_id", ConsumerId::parse)?,
        display_name: row.try_get("display_name")?,
        version: row.try_get("version")?,
        create_time: row.try_get("create_time")?,
        delete_time: row.try_get("delete_time")?,
    })
}

pub(super) fn stream(row: &SqliteRow) -> Result<StreamRecord, StoreError> {
    Ok(StreamRecord {
        stream: word(row, "stream_json", |text| serde_json::from_str(text))?,
        display_name: row.try_get("display_name")?,
        state: state(row)?,
        revision: row.try_get("revision")?,
        create_time: row.try_get("create_time")?,
        update_time: row.try_get("update_time")?,
    })
}

pub(super) fn key(row: &SqliteRow) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        consumer: word(row, "consumer_id", ConsumerId::parse)?,
        environment: word(row, "environment", environment)?,
        grant: word(row, "grant_json", |text| serde_json::from_str(text))?,
        nickname: row.try_get("nickname")?,
        description: row.try_get("description")?,
        state: key_state(row)?,
        origin: word(row, "origin", |text| Origin::parse(text).ok_or("an origin is unknown"))?,
        predecessor: optional_word(row, "predecessor", KeyId::parse)?,
        successor: optional_word(row, "successor", KeyId::parse)?,
        revision: row.try_get("revision")?,
        create_time: row.try_get("create_time")?,
        revoke_time: row.try_get("revoke_time")?,
    })
}

pub(super) fn feed_key(row: &SqliteRow) -> Result<FeedKey, StoreError> {
    Ok(FeedKey {
        revision: row.try_get("revision")?,
        digest: digest(row)?,
        state: key_state(row)?.on_the_wire(),
        grant_json: row.try_get("grant_json")?,
    })
}

pub(super) fn feed_stream(row: &SqliteRow) -> Result<FeedStream, StoreError> {
    Ok(FeedStream {
        revision: row.try_get("revision")?,
        state: state(row)?,
        stream_json: row.try_get("stream_json")?,
    })
}

pub(super) fn principal(row: &SqliteRow) -> Result<Principal, StoreError> {
    Ok(Principal {
        id: word(row, "principal_id", PrincipalId::parse)?,
        display_name: row.try_get("display_name")?,
        role: word(row, "role", |text| Role::parse(text).ok_or("a stored role is unknown"))?,
        consumers: word(row, "consumers", consumer_ids)?,
        environment: optional_word(row, "environment", environment)?,
        version: row.try_get("version")?,
        create_time: row.try_get("create_time")?,
        revoke_time: row.try_get("revoke_time")?,
    })
}

/// The columns of a token bear other names where its principal's are beside them.
pub(super) fn token(row: &SqliteRow) -> Result<Token, StoreError> {
    Ok(Token {
        id: word(row, "token_id", |text| TokenId::parse(text).ok_or("a token's id is unreadable"))?,
        principal: word(row, "principal_id", PrincipalId::parse)?,
        create_time: row.try_get("token_create_time")?,
        expire_time: row.try_get("token_expire_time")?,
        revoke_time: row.try_get("token_revoke_time")?,
        last_use_time: row.try_get("last_use_time")?,
    })
}

pub(super) fn audit_event(row: &SqliteRow) -> Result<AuditEvent, StoreError> {
    fn json(text: &str) -> Result<Value, serde_json::Error> {
        serde_json::from_str(text)
    }
    Ok(AuditEvent {
        ordinal: row.try_get("ordinal")?,
        time: row.try_get("time")?,
        principal: optional_word(row, "principal_id", PrincipalId::parse)?,
        source: row.try_get("source")?,
        action: word(row, "action", |text| Action::parse(text).ok_or("an action is unknown"))?,
        resource: row.try_get("resource")?,
        consumer: optional_word(row, "consumer_id", ConsumerId::parse)?,
        request_id: row.try_get("request_id")?,
        revision: row.try_get("revision")?,
        before: optional_word(row, "before_json", json)?,
        after: optional_word(row, "after_json", json)?,
    })
}

pub(super) fn gateway(row: &SqliteRow) -> Result<Gateway, StoreError> {
    Ok(Gateway {
        id: GatewayId {
            principal: word(row, "principal_id", PrincipalId::parse)?,
            instance: row.try_get("instance")?,
        },
        gate: row.try_get("gate")?,
        node: row.try_get("node")?,
        version: row.try_get("version")?,
        capabilities: word(row, "capabilities", |text| serde_json::from_str(text))?,
        scope: Scope {
            environment: optional_word(row, "environment", environment)?,
            consumers: word(row, "consumers", consumer_ids)?,
        },
        revision: row.try_get("revision")?,
        last_seen_time: row.try_get("last_seen_time")?,
    })
}

/// Makes a part of a list out of one row more than was asked for; that one says whether there is more.
pub(super) fn part<T>(
    rows: &[SqliteRow],
    slice: Slice,
    read: impl Fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Part<T>, StoreError> {
    let limit = usize::try_from(slice.limit).map_err(broken)?;
    let shown = rows.get(..limit.min(rows.len())).unwrap_or(rows);
    let next = match shown.last() {
        Some(last) if rows.len() > limit => Some(last.try_get("position")?),
        _ => None,
    };
    Ok(Part { items: shown.iter().map(read).collect::<Result<_, _>>()?, next })
}
