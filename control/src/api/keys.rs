//! `/v1/measurementConsumers/{mc}/apiKeys`. The secret is in the answer that creates the key, and in
//! no other; its digest is in none. A restriction that a key does not have is not in its resource.

use axum::extract::{Path, State};
use mpgate_contract::{
    CertificateName, EventPattern, Grant, KeyId, Network, SenderName, State as Life, StreamId,
    limits,
};
use serde::Serialize;

use super::input::{
    DESCRIPTION_CHARS_MAX, DISPLAY_NAME_CHARS_MAX, Members, Parameters, page_token, text, words,
};
use super::problem::Problem;
use super::{Answer, App, consumer_id, json, mask, state_label};
use crate::keys::{Shown, issue_key};
use crate::store::{KeyPatch, KeyRecord, NewKey, Refusal, Seconds};
use crate::time;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    nickname: String,
    description: String,
    sender: String,
    data_streams: Vec<StreamId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventPattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_networks: Vec<Network>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate_names: Vec<CertificateName>,
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
            events: grant.events,
            source_networks: grant.source_networks,
            certificate_names: grant.certificate_names,
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

/// What of a key can be changed later; the rest of what a key is made of is its sender.
const CHANGEABLE: [&str; 8] = [
    "nickname",
    "description",
    "dataStreams",
    "events",
    "sourceNetworks",
    "certificateNames",
    "notBefore",
    "expireTime",
];

/// The members of [`CHANGEABLE`], each by the rule of its type.
struct Given {
    nickname: Option<String>,
    description: Option<String>,
    streams: Option<Vec<StreamId>>,
    events: Option<Vec<EventPattern>>,
    source_networks: Option<Vec<Network>>,
    certificate_names: Option<Vec<CertificateName>>,
    not_before: Option<u64>,
    expire_time: Option<u64>,
}

impl Given {
    fn read(members: &Members) -> Result<Self, Problem> {
        let time = |name| {
            let seconds = members.optional(name, text(time::parse))?;
            Ok::<_, Problem>(seconds.map(Seconds::unsigned_abs))
        };
        Ok(Self {
            nickname: members.optional("nickname", words(DISPLAY_NAME_CHARS_MAX))?,
            description: members.optional("description", words(DESCRIPTION_CHARS_MAX))?,
            streams: members.list("dataStreams", limits::STREAMS_PER_GRANT_MAX, StreamId::parse)?,
            events: members.list("events", limits::EVENTS_PER_GRANT_MAX, EventPattern::parse)?,
            source_networks: members.list(
                "sourceNetworks",
                limits::NETWORKS_PER_GRANT_MAX,
                Network::parse,
            )?,
            certificate_names: members.list(
                "certificateNames",
                limits::CERTIFICATE_NAMES_PER_GRANT_MAX,
                CertificateName::parse,
            )?,
            not_before: time("notBefore")?,
            expire_time: time("expireTime")?,
        })
    }

    fn streams(streams: Option<Vec<StreamId>>) -> Result<Vec<StreamId>, Problem> {
        streams.ok_or_else(|| {
            Problem::field("dataStreams", "dataStreams is required: a key writes some stream.")
        })
    }
}

pub(super) async fn create(
    State(app): State<App>,
    Path(mc): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&[])?;
    let consumer = consumer_id(&mc)?;
    members.only(&[&["sender"], &CHANGEABLE[..]].concat())?;
    let sender = members.required("sender", text(SenderName::parse))?;
    let given = Given::read(&members)?;
    let streams = Given::streams(given.streams)?;
    let now = time::now();
    let issued = issue_key()?;
    let key = NewKey {
        consumer: &consumer,
        digest: issued.digest,
        grant: Grant {
            key_id: issued.id,
            sender,
            streams,
            not_before: given.not_before,
            expire_time: given.expire_time,
            events: given.events.unwrap_or_default(),
            source_networks: given.source_networks.unwrap_or_default(),
            certificate_names: given.certificate_names.unwrap_or_default(),
            requires: vec![],
        },
        nickname: given.nickname.unwrap_or_default(),
        description: given.description.unwrap_or_default(),
    };
    let record = app.store.create_key(&key, now).await?;
    json(&Resource::new(record, now, Some(issued.secret)))
}

/// What is changed is told as for a stream: by `updateMask`, or by what is there; `null` clears.
pub(super) async fn patch(
    State(app): State<App>,
    Path((mc, key)): Path<(String, String)>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["updateMask"])?;
    let (consumer, id) = (consumer_id(&mc)?, key_id(&key)?);
    if members.has("sender") {
        return Err(Problem::field("sender", SENDER_RULE));
    }
    members.only(&CHANGEABLE)?;
    let chosen = parameters.get("updateMask").map(chosen).transpose()?;
    let changes = |name| chosen.as_ref().map_or(members.has(name), |names| names.contains(&name));
    let given = Given::read(&members)?;
    let patch = KeyPatch {
        nickname: changes("nickname").then_some(given.nickname.unwrap_or_default()),
        description: changes("description").then_some(given.description.unwrap_or_default()),
        streams: changes("dataStreams").then(|| Given::streams(given.streams)).transpose()?,
        events: changes("events").then_some(given.events.unwrap_or_default()),
        source_networks: changes("sourceNetworks")
            .then_some(given.source_networks.unwrap_or_default()),
        certificate_names: changes("certificateNames")
            .then_some(given.certificate_names.unwrap_or_default()),
        not_before: changes("notBefore").then_some(given.not_before),
        expire_time: changes("expireTime").then_some(given.expire_time),
    };
    let now = time::now();
    json(&Resource::new(app.store.patch_key(&consumer, &id, patch, now).await?, now, None))
}

const SENDER_RULE: &str = "A key keeps its sender: metrics and trails name it. Create a new key for the other \
     sender, then delete this one.";

fn chosen(update_mask: &str) -> Result<Vec<&str>, Problem> {
    if update_mask.split(',').any(|name| name.trim() == "sender") {
        return Err(Problem::field("updateMask", SENDER_RULE));
    }
    mask(update_mask, &CHANGEABLE)
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
