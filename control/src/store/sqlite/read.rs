//! From a row to a record. A value that the contract would not parse is a broken database, and said
//! so instead of served.

use mpgate_contract::{Digest, State};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::names::PrincipalId;
use crate::store::{
    Consumer, FeedKey, FeedStream, KeyRecord, Part, Principal, Role, Slice, StoreError,
    StreamRecord,
};

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

pub(super) fn state(row: &SqliteRow) -> Result<State, StoreError> {
    word(row, "state", |text| match text {
        "active" => Ok(State::Active),
        "revoked" => Ok(State::Revoked),
        _ => Err("a stored state is neither active nor revoked"),
    })
}

fn digest(row: &SqliteRow) -> Result<Digest, StoreError> {
    let bytes: &[u8] = row.try_get("digest")?;
    Ok(Digest::from_bytes(bytes.try_into().map_err(broken)?))
}

pub(super) fn consumer(row: &SqliteRow) -> Result<Consumer, StoreError> {
    Ok(Consumer {
        id: word(row, "consumer_id", mpgate_contract::ConsumerId::parse)?,
        display_name: row.try_get("display_name")?,
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
        consumer: word(row, "consumer_id", mpgate_contract::ConsumerId::parse)?,
        grant: word(row, "grant_json", |text| serde_json::from_str(text))?,
        nickname: row.try_get("nickname")?,
        description: row.try_get("description")?,
        state: state(row)?,
        revision: row.try_get("revision")?,
        create_time: row.try_get("create_time")?,
        revoke_time: row.try_get("revoke_time")?,
    })
}

pub(super) fn feed_key(row: &SqliteRow) -> Result<FeedKey, StoreError> {
    Ok(FeedKey {
        revision: row.try_get("revision")?,
        digest: digest(row)?,
        state: state(row)?,
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
        create_time: row.try_get("create_time")?,
        revoke_time: row.try_get("revoke_time")?,
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
