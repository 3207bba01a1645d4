//! `/v1/measurementConsumers/{mc}/apiKeys`. The secret is in the answer that creates the key, and in
//! no other; its digest is in none.

use axum::extract::{Path, State};
use mpgate_contract::{Grant, KeyId, SenderName, State as Life, StreamId, limits};
use serde::Serialize;

use super::input::{
    DESCRIPTION_CHARS_MAX, DISPLAY_NAME_CHARS_MAX, Members, Parameters, list as items, page_token,
    text, words,
};
use super::problem::Problem;
use super::{Answer, App, consumer_id, json, state_label};
use crate::keys::{Shown, issue_key};
use crate::store::{KeyRecord, NewKey, Refusal, Seconds};
use crate::time;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    nickname: String,
    description: String,
    sender: String,
    data_streams: Vec<StreamId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<String>,
    state: &'static str,
    revision: u64,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_key: Option<Shown>,
}

impl Resource {
    fn new(record: KeyRecord, now: Seconds, authentication_key: Option<Shown>) -> Self {
        let grant = record.grant;
        let end = grant.expire_time.and_then(|time| Seconds::try_from(time).ok());
        let start = grant.not_before.and_then(|time| Seconds::try_from(time).ok());
        let active = record.state == Life::Active;
        Self {
            name: format!("measurementConsumers/{}/apiKeys/{}", record.consumer, grant.key_id),
            nickname: record.nickname,
            description: record.description,
            sender: grant.sender.to_string(),
            data_streams: grant.streams,
            not_before: start.map(time::to_text),
            expire_time: end.map(time::to_text),
            state: match end {
                Some(end) if active && end <= now => "EXPIRED",
                _ => state_label(active),
            },
            revision: record.revision,
            create_time: time::to_text(record.create_time),
            revoke_time: record.revoke_time.map(time::to_text),
            authentication_key,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    api_keys: Vec<Resource>,
    next_page_token: String,
}

fn key_id(id: &str) -> Result<KeyId, Problem> {
    KeyId::parse(id).map_err(|_| Refusal::NoKey.into())
}

pub(super) async fn create(
    State(app): State<App>,
    Path(mc): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&[])?;
    let consumer = consumer_id(&mc)?;
    members.only(&[
        "sender",
        "dataStreams",
        "nickname",
        "description",
        "notBefore",
        "expireTime",
    ])?;
    let sender = members.required("sender", text(SenderName::parse))?;
    let streams =
        members.required("dataStreams", items(limits::STREAMS_PER_GRANT_MAX, StreamId::parse))?;
    let nickname = members.optional("nickname", words(DISPLAY_NAME_CHARS_MAX))?;
    let description = members.optional("description", words(DESCRIPTION_CHARS_MAX))?;
    let start = members.optional("notBefore", text(time::parse))?;
    let end = members.optional("expireTime", text(time::parse))?;
    let now = time::now();
    check_life(start, end, now)?;

    let issued = issue_key()?;
    let key = NewKey {
        consumer: &consumer,
        digest: issued.digest,
        grant: Grant {
            key_id: issued.id,
            sender,
            streams,
            not_before: start.map(Seconds::unsigned_abs),
            expire_time: end.map(Seconds::unsigned_abs),
            events: vec![],
            source_networks: vec![],
            certificate_names: vec![],
            requires: vec![],
        },
        nickname: nickname.unwrap_or_default(),
        description: description.unwrap_or_default(),
    };
    let record = app.store.create_key(&key, now).await?;
    json(&Resource::new(record, now, Some(issued.secret)))
}

fn check_life(start: Option<Seconds>, end: Option<Seconds>, now: Seconds) -> Result<(), Problem> {
    match (start, end) {
        (_, Some(end)) if end <= now => {
            Err(Problem::field("expireTime", "The time has passed; name one in the future."))
        }
        (Some(start), Some(end)) if end <= start => {
            Err(Problem::field("expireTime", "The time is not after notBefore."))
        }
        _ => Ok(()),
    }
}

pub(super) async fn list(
    State(app): State<App>,
    Path(mc): Path<String>,
    parameters: Parameters,
) -> Answer {
    let part = app.store.keys(&consumer_id(&mc)?, parameters.slice()?).await?;
    let now = time::now();
    json(&List {
        api_keys: part.items.into_iter().map(|key| Resource::new(key, now, None)).collect(),
        next_page_token: page_token(part.next),
    })
}

pub(super) async fn get(
    State(app): State<App>,
    Path((mc, key)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    let record = app.store.key(&consumer_id(&mc)?, &key_id(&key)?).await?;
    json(&Resource::new(record, time::now(), None))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path((mc, key)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    let now = time::now();
    let record = app.store.revoke_key(&consumer_id(&mc)?, &key_id(&key)?, now).await?;
    json(&Resource::new(record, now, None))
}
