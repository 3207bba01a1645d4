//! From a row to a record. A value that the contract would not parse is a broken database, and said
//! so instead of served.

use mpgate_contract::{ConsumerId, Digest, Environment, KeyId, State};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::model::{
    Action, AuditEvent, Consumer, Denial, Gateway, GatewayId, KeyEnd, KeyRecord, KeyState, Origin,
    Part, Principal, PrincipalEnd, Role, Scope, Slice, StreamRecord, Token, TokenId,
};
use crate::names::PrincipalId;
use crate::store::{FeedKey, FeedStream, Standing, StoreError, environment as environment_of};

type Got<T> = Result<T, sqlx::Error>;

/// A row of either database. Neither has unsigned numbers.
pub(super) trait Columns {
    /// A text.
    fn text(&self, column: &str) -> Got<Option<&str>>;
    /// A number.
    fn number(&self, column: &str) -> Got<Option<i64>>;
    /// Bytes.
    fn bytes(&self, column: &str) -> Got<&[u8]>;

    /// A text that is there.
    fn words(&self, column: &str) -> Got<&str> {
        self.text(column)?.ok_or_else(|| missing(column))
    }
    /// A time.
    fn time(&self, column: &str) -> Got<i64> {
        self.number(column)?.ok_or_else(|| missing(column))
    }
    /// A number that counts something.
    fn count(&self, column: &str) -> Got<u64> {
        unsigned(column, self.time(column)?)
    }
}

fn missing(column: &str) -> sqlx::Error {
    let source = "a stored value is missing".into();
    sqlx::Error::ColumnDecode { index: column.to_owned(), source }
}

fn unsigned(column: &str, number: i64) -> Got<u64> {
    u64::try_from(number).map_err(|error| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: error.into(),
    })
}

macro_rules! columns {
    ($row:ty) => {
        impl Columns for $row {
            fn text(&self, column: &str) -> Got<Option<&str>> {
                self.try_get(column)
            }
            fn number(&self, column: &str) -> Got<Option<i64>> {
                self.try_get(column)
            }
            fn bytes(&self, column: &str) -> Got<&[u8]> {
                self.try_get(column)
            }
        }
    };
}

columns!(PgRow);
columns!(SqliteRow);

pub(super) fn broken<E: Into<Box<dyn core::error::Error + Send + Sync>>>(error: E) -> StoreError {
    StoreError::Broken(error.into())
}

/// Reads a stored word through the type that owns it.
fn word<T, E>(
    row: &impl Columns,
    column: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, StoreError>
where
    E: Into<Box<dyn core::error::Error + Send + Sync>>,
{
    parse(row.words(column)?).map_err(broken)
}

/// Reads a stored word that may be absent.
fn optional_word<T, E>(
    row: &impl Columns,
    column: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, StoreError>
where
    E: Into<Box<dyn core::error::Error + Send + Sync>>,
{
    let text = row.text(column)?;
    text.map(parse).transpose().map_err(broken)
}

fn state(row: &impl Columns) -> Result<State, StoreError> {
    word(row, "state", |text| match text {
        "active" => Ok(State::Active),
        "revoked" => Ok(State::Revoked),
        _ => Err("a stored state is neither active nor revoked"),
    })
}

fn key_state(row: &impl Columns) -> Result<KeyState, StoreError> {
    word(row, "state", |text| KeyState::parse(text).ok_or("a stored key state is unknown"))
}

fn environment(text: &str) -> Result<Environment, &'static str> {
    environment_of(text).ok_or("a stored environment is unknown")
}

fn consumer_ids(text: &str) -> Result<Vec<ConsumerId>, serde_json::Error> {
    serde_json::from_str(text)
}

fn digest(row: &impl Columns) -> Result<Digest, StoreError> {
    let bytes = row.bytes("digest")?;
    Ok(Digest::from_bytes(bytes.try_into().map_err(broken)?))
}

pub(super) fn standing(row: &impl Columns) -> Result<Standing, sqlx::Error> {
    Ok(Standing { epoch: row.words("epoch")?.to_owned(), head: row.count("head")? })
}

pub(super) fn consumer(row: &impl Columns) -> Result<Consumer, StoreError> {
    Ok(Consumer {
        id: word(row, "consumer_id", ConsumerId::parse)?,
        display_name: row.words("display_name")?.to_owned(),
        version: row.count("version")?,
        create_time: row.time("create_time")?,
        delete_time: row.number("delete_time")?,
    })
}

pub(super) fn stream(row: &impl Columns) -> Result<StreamRecord, StoreError> {
    Ok(StreamRecord {
        stream: word(row, "stream_json", |text| serde_json::from_str(text))?,
        display_name: row.words("display_name")?.to_owned(),
        state: state(row)?,
        revision: row.count("revision")?,
        create_time: row.time("create_time")?,
        update_time: row.time("update_time")?,
    })
}

pub(super) fn key(row: &impl Columns) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        consumer: word(row, "consumer_id", ConsumerId::parse)?,
        environment: word(row, "environment", environment)?,
        grant: word(row, "grant_json", |text| serde_json::from_str(text))?,
        nickname: row.words("nickname")?.to_owned(),
        description: row.words("description")?.to_owned(),
        state: key_state(row)?,
        origin: word(row, "origin", |text| Origin::parse(text).ok_or("an origin is unknown"))?,
        predecessor: optional_word(row, "predecessor", KeyId::parse)?,
        successor: optional_word(row, "successor", KeyId::parse)?,
        revision: row.count("revision")?,
        create_time: row.time("create_time")?,
        revoke_time: row.number("revoke_time")?,
    })
}

pub(super) fn key_end(row: &impl Columns) -> Result<KeyEnd, StoreError> {
    Ok(KeyEnd {
        consumer: word(row, "consumer_id", ConsumerId::parse)?,
        sender: row.words("sender")?.to_owned(),
        id: word(row, "key_id", KeyId::parse)?,
        expire_time: row.time("expire_time")?,
    })
}

pub(super) fn feed_key(row: &impl Columns) -> Result<FeedKey, StoreError> {
    Ok(FeedKey {
        revision: row.count("revision")?,
        digest: digest(row)?,
        state: key_state(row)?.on_the_wire(),
        grant_json: row.words("grant_json")?.to_owned(),
    })
}

pub(super) fn feed_stream(row: &impl Columns) -> Result<FeedStream, StoreError> {
    Ok(FeedStream {
        revision: row.count("revision")?,
        state: state(row)?,
        stream_json: row.words("stream_json")?.to_owned(),
    })
}

fn role(text: &str) -> Result<Role, &'static str> {
    Role::parse(text).ok_or("a stored role is unknown")
}

pub(super) fn principal(row: &impl Columns) -> Result<Principal, StoreError> {
    Ok(Principal {
        id: word(row, "principal_id", PrincipalId::parse)?,
        display_name: row.words("display_name")?.to_owned(),
        role: word(row, "role", role)?,
        consumers: word(row, "consumers", consumer_ids)?,
        environment: optional_word(row, "environment", environment)?,
        version: row.count("version")?,
        create_time: row.time("create_time")?,
        revoke_time: row.number("revoke_time")?,
    })
}

pub(super) fn principal_end(row: &impl Columns) -> Result<PrincipalEnd, StoreError> {
    Ok(PrincipalEnd {
        principal: word(row, "principal_id", PrincipalId::parse)?,
        role: word(row, "role", role)?,
        expire_time: row.time("expire_time")?,
    })
}

/// The columns of a token bear other names where its principal's are beside them.
pub(super) fn token(row: &impl Columns) -> Result<Token, StoreError> {
    Ok(Token {
        id: word(row, "token_id", |text| TokenId::parse(text).ok_or("a token's id is unreadable"))?,
        principal: word(row, "principal_id", PrincipalId::parse)?,
        create_time: row.time("token_create_time")?,
        expire_time: row.number("token_expire_time")?,
        revoke_time: row.number("token_revoke_time")?,
        last_use_time: row.number("last_use_time")?,
    })
}

fn denial(row: &impl Columns) -> Result<Option<Denial>, StoreError> {
    let Some(method) = row.text("denied_method")? else { return Ok(None) };
    Ok(Some(Denial { method: method.to_owned(), count: row.count("denied_count")? }))
}

pub(super) fn audit_event(row: &impl Columns) -> Result<AuditEvent, StoreError> {
    fn json(text: &str) -> Result<Value, serde_json::Error> {
        serde_json::from_str(text)
    }
    Ok(AuditEvent {
        ordinal: row.count("ordinal")?,
        time: row.time("time")?,
        principal: optional_word(row, "principal_id", PrincipalId::parse)?,
        source: row.text("source")?.map(str::to_owned),
        action: word(row, "action", |text| Action::parse(text).ok_or("an action is unknown"))?,
        resource: row.words("resource")?.to_owned(),
        consumer: optional_word(row, "consumer_id", ConsumerId::parse)?,
        request_id: row.text("request_id")?.map(str::to_owned),
        revision: row.number("revision")?.map(|it| unsigned("revision", it)).transpose()?,
        before: optional_word(row, "before_json", json)?,
        after: optional_word(row, "after_json", json)?,
        denial: denial(row)?,
    })
}

pub(super) fn gateway(row: &impl Columns) -> Result<Gateway, StoreError> {
    Ok(Gateway {
        id: GatewayId {
            principal: word(row, "principal_id", PrincipalId::parse)?,
            instance: row.words("instance")?.to_owned(),
            gate: row.words("gate")?.to_owned(),
        },
        node: row.words("node")?.to_owned(),
        version: row.words("version")?.to_owned(),
        capabilities: word(row, "capabilities", |text| serde_json::from_str(text))?,
        scope: Scope {
            environment: optional_word(row, "environment", environment)?,
            consumers: word(row, "consumers", consumer_ids)?,
        },
        revision: row.count("revision")?,
        first_seen_millis: row.time("first_seen_millis")?,
        last_seen_millis: row.time("last_seen_millis")?,
        forgotten_millis: row.time("forgotten_millis")?,
    })
}

/// Makes a part of a list out of one row more than was asked for; that one says whether there is more.
pub(super) fn part<R: Columns, T>(
    rows: &[R],
    slice: Slice,
    read: impl Fn(&R) -> Result<T, StoreError>,
) -> Result<Part<T>, StoreError> {
    let limit = usize::try_from(slice.limit).map_err(broken)?;
    let shown = rows.get(..limit.min(rows.len())).unwrap_or(rows);
    let next = match shown.last() {
        Some(last) if rows.len() > limit => Some(last.count("position")?),
        _ => None,
    };
    Ok(Part { items: shown.iter().map(read).collect::<Result<_, _>>()?, next })
}
