//! `/v1/measurementConsumers/{mc}/apiKeys`. The secret is in the answer that creates the key, and in
//! no other; its digest is in none. A restriction that a key does not have is not in its resource.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use mpgate_contract::{
    CertificateName, ConsumerId, Digest, EventPattern, KeyId, Network, Secret, SenderName,
    StreamId, limits,
};

use super::input::{
    DESCRIPTION_CHARS_MAX, DISPLAY_NAME_CHARS_MAX, Members, Parameters, seconds, text, words,
};
use super::mutation::{Call, MUTATION_PARAMETERS, answer};
use super::problem::Problem;
use super::{Answer, App, changed, consumer_id, json, list as list_of};
use crate::model::{KeyPatch, Refusal, Seconds};
use crate::service::{Adopted, Caller, NewKey, OVERLAP_DEFAULT, Rotation, Streams};
use crate::time;

/// The member that shows the secret, as the Cross-Media Measurement API names it.
const SECRET: &str = "authenticationKey";

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

const FILTERED: &[&str] = &[
    "name",
    "nickname",
    "description",
    "sender",
    "environment",
    "dataStreams",
    "events",
    "sourceNetworks",
    "certificateNames",
    "notBefore",
    "expireTime",
    "state",
    "origin",
    "predecessor",
    "successor",
    "revision",
    "createTime",
    "revokeTime",
    "lastUseTime",
    "lastRefuseTime",
    "advice",
];

fn key_id(id: &str) -> Result<KeyId, Problem> {
    KeyId::parse(id).map_err(|_| Refusal::NoKey.into())
}

fn time_of(members: &Members, name: &str) -> Result<Option<u64>, Problem> {
    Ok(members.optional(name, text(time::parse))?.map(Seconds::unsigned_abs))
}

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
            not_before: time_of(members, "notBefore")?,
            expire_time: time_of(members, "expireTime")?,
        })
    }

    fn streams(streams: Option<Vec<StreamId>>) -> Result<Vec<StreamId>, Problem> {
        streams.ok_or_else(|| {
            Problem::field("dataStreams", "dataStreams is required: a key writes some stream.")
        })
    }

    /// As a new key of this consumer.
    fn new_key(self, consumer: ConsumerId, sender: SenderName) -> Result<NewKey, Problem> {
        Ok(NewKey {
            consumer,
            sender,
            streams: Streams::Named(Self::streams(self.streams)?),
            events: self.events.unwrap_or_default(),
            source_networks: self.source_networks.unwrap_or_default(),
            certificate_names: self.certificate_names.unwrap_or_default(),
            not_before: self.not_before,
            expire_time: self.expire_time,
            nickname: self.nickname.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
        })
    }
}

pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    Path(mc): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["requestId"])?;
    let consumer = consumer_id(&mc)?;
    members.only(&[&["sender"], &CHANGEABLE[..]].concat())?;
    let sender = members.required("sender", text(SenderName::parse))?;
    let new = Given::read(&members)?.new_key(consumer, sender)?;
    let mutation = call.mutation(&parameters, Some(&members))?;
    answer(app.service.create_key(&mutation, new).await?, SECRET)
}

/// Either the secret itself or, from an admin, the SHA-256 of it.
pub(super) async fn adopt(
    State(app): State<App>,
    call: Call,
    Path(mc): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["requestId"])?;
    let consumer = consumer_id(&mc)?;
    members.only(&[&["secret", "digest", "sender"], &CHANGEABLE[..]].concat())?;
    let sender = members.required("sender", text(SenderName::parse))?;
    let secret = members.optional("secret", text(|text| Ok::<_, String>(text.to_owned())))?;
    let adopted = match (secret, members.optional("digest", text(Digest::from_hex))?) {
        (Some(secret), None) => Adopted::Secret(Secret::new(secret.into_bytes())),
        (None, Some(digest)) => Adopted::Digest(digest),
        _ => {
            return Err(Problem::field("secret", "Send the secret, or else the digest of it."));
        }
    };
    let new = Given::read(&members)?.new_key(consumer, sender)?;
    let mutation = call.mutation(&parameters, Some(&members))?;
    answer(app.service.adopt_key(&mutation, new, adopted).await?, SECRET)
}

/// What is changed is told as for a stream: by `updateMask`, or by what is there; `null` clears.
pub(super) async fn patch(
    State(app): State<App>,
    call: Call,
    Path((mc, key)): Path<(String, String)>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["updateMask", "requestId", "etag"])?;
    let (consumer, id) = (consumer_id(&mc)?, key_id(&key)?);
    expect_no_sender(&parameters, &members)?;
    members.only(&[&["etag"], &CHANGEABLE[..]].concat())?;
    let changes = changed(&parameters, &members, &CHANGEABLE)?;
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
    let mutation = call.mutation(&parameters, Some(&members))?;
    answer(app.service.patch_key(&mutation, &consumer, &id, patch).await?, SECRET)
}

fn expect_no_sender(parameters: &Parameters, members: &Members) -> Result<(), Problem> {
    const RULE: &str = "A key keeps its sender: metrics and trails name it. Create a new key for the other \
         sender, then delete this one.";
    let mask = parameters.get("updateMask").unwrap_or_default();
    if members.has("sender") {
        return Err(Problem::field("sender", RULE));
    }
    if mask.split(',').any(|name| name.trim() == "sender") {
        return Err(Problem::field("updateMask", RULE));
    }
    Ok(())
}

/// The custom methods of a key (AIP-136): `:rotate`, `:disable`, `:enable`.
pub(super) async fn turn(
    State(app): State<App>,
    call: Call,
    Path((mc, key)): Path<(String, String)>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["requestId"])?;
    let (key, verb) = key.split_once(':').unwrap_or((&key, ""));
    let consumer = consumer_id(&mc)?;
    let known: &[&str] = match verb {
        "rotate" => &["overlap", "expireTime", "etag"],
        "disable" | "enable" => &["etag"],
        _ => return Err(Problem::of_status(StatusCode::NOT_FOUND)),
    };
    let id = key_id(key)?;
    members.only(known)?;
    let rotation = Rotation {
        overlap: members.optional("overlap", seconds)?.unwrap_or(OVERLAP_DEFAULT),
        expire_time: time_of(&members, "expireTime")?,
    };
    let mutation = call.mutation(&parameters, Some(&members))?;
    let outcome = match verb {
        "rotate" => app.service.rotate_key(&mutation, &consumer, &id, rotation).await?,
        "disable" => app.service.disable_key(&mutation, &consumer, &id).await?,
        _ => app.service.enable_key(&mutation, &consumer, &id).await?,
    };
    answer(outcome, SECRET)
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(mc): Path<String>,
    parameters: Parameters,
) -> Answer {
    let listing = parameters.listing(FILTERED, &[])?;
    list_of("apiKeys", app.service.keys(&caller, &consumer_id(&mc)?, listing).await?)
}

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((mc, key)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    json(&app.service.key(&caller, &consumer_id(&mc)?, &key_id(&key)?).await?)
}

pub(super) async fn delete(
    State(app): State<App>,
    call: Call,
    Path((mc, key)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&MUTATION_PARAMETERS)?;
    let (consumer, id) = (consumer_id(&mc)?, key_id(&key)?);
    let mutation = call.mutation(&parameters, None)?;
    answer(app.service.revoke_key(&mutation, &consumer, &id).await?, SECRET)
}
