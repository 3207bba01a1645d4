//! `/v1/measurementConsumers/{mc}/dataStreams`.

use axum::extract::{Path, State};
use mpgate_contract::{Environment, Mode, State as Life, Stream, StreamId, UpstreamSecret};
use serde::Serialize;

use super::input::{DISPLAY_NAME_CHARS_MAX, Members, Parameters, page_token, text, truth, words};
use super::problem::Problem;
use super::{Answer, App, consumer_id, json, mask, state_label};
use crate::store::{Refusal, StreamPatch, StreamRecord};
use crate::time;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    stream_id: String,
    display_name: String,
    environment: Environment,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_rules: Option<Mode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<bool>,
    upstream_secret: String,
    state: &'static str,
    revision: u64,
    create_time: String,
    update_time: String,
}

impl From<StreamRecord> for Resource {
    fn from(record: StreamRecord) -> Self {
        let stream = record.stream;
        Self {
            name: format!("measurementConsumers/{}/dataStreams/{}", stream.consumer, stream.id),
            stream_id: stream.id.to_string(),
            display_name: record.display_name,
            environment: stream.environment,
            mode: stream.mode,
            protocol_rules: stream.protocol_rules,
            silent: stream.silent,
            upstream_secret: stream.upstream_secret.to_string(),
            state: state_label(record.state == Life::Active),
            revision: record.revision,
            create_time: time::to_text(record.create_time),
            update_time: time::to_text(record.update_time),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    data_streams: Vec<Resource>,
    next_page_token: String,
}

/// What of a stream can be changed later; its environment cannot, keys rely on it.
const CHANGEABLE: [&str; 5] = ["displayName", "mode", "protocolRules", "silent", "upstreamSecret"];

fn environment(word: &str) -> Result<Environment, &'static str> {
    [Environment::Production, Environment::Staging, Environment::Development]
        .into_iter()
        .find(|environment| environment.label() == word)
        .ok_or("An environment is production, staging or development.")
}

fn mode(word: &str) -> Result<Mode, &'static str> {
    [Mode::Off, Mode::DryRun, Mode::Enforce]
        .into_iter()
        .find(|mode| mode.label() == word)
        .ok_or("A mode is off, dry_run or enforce; null for the gate's own.")
}

fn stream_id(id: &str) -> Result<StreamId, Problem> {
    StreamId::parse(id).map_err(|_| Refusal::NoStream.into())
}

pub(super) async fn create(
    State(app): State<App>,
    Path(mc): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&[])?;
    let consumer = consumer_id(&mc)?;
    members.only(&[&["streamId", "environment"], &CHANGEABLE[..]].concat())?;
    let stream = Stream {
        id: members.required("streamId", text(StreamId::parse))?,
        consumer,
        environment: members.required("environment", text(environment))?,
        mode: members.optional("mode", text(mode))?,
        upstream_secret: members.required("upstreamSecret", text(str::parse::<UpstreamSecret>))?,
        protocol_rules: members.optional("protocolRules", text(mode))?,
        silent: members.optional("silent", truth)?,
        requires: vec![],
    };
    let display_name =
        members.optional("displayName", words(DISPLAY_NAME_CHARS_MAX))?.unwrap_or_default();
    json(&Resource::from(app.store.create_stream(&stream, &display_name, time::now()).await?))
}

pub(super) async fn list(
    State(app): State<App>,
    Path(mc): Path<String>,
    parameters: Parameters,
) -> Answer {
    let part = app.store.streams(&consumer_id(&mc)?, parameters.slice()?).await?;
    json(&List {
        data_streams: part.items.into_iter().map(Into::into).collect(),
        next_page_token: page_token(part.next),
    })
}

pub(super) async fn get(
    State(app): State<App>,
    Path((mc, stream)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    json(&Resource::from(app.store.stream(&consumer_id(&mc)?, &stream_id(&stream)?).await?))
}

/// Without `updateMask` the members that are present are changed. With it those it names; one that
/// it names and that is absent is cleared (AIP-134). `null` clears too.
pub(super) async fn patch(
    State(app): State<App>,
    Path((mc, stream)): Path<(String, String)>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["updateMask"])?;
    let (consumer, id) = (consumer_id(&mc)?, stream_id(&stream)?);
    members.only(&CHANGEABLE)?;
    let chosen = parameters.get("updateMask").map(|text| mask(text, &CHANGEABLE)).transpose()?;
    let changes = |name| chosen.as_ref().map_or(members.has(name), |names| names.contains(&name));
    let mut patch = StreamPatch::default();
    let display_name = members.optional("displayName", words(DISPLAY_NAME_CHARS_MAX))?;
    if changes("displayName") {
        patch.display_name = Some(display_name.unwrap_or_default());
    }
    let mode = members.optional("mode", text(mode))?;
    if changes("mode") {
        patch.mode = Some(mode);
    }
    let protocol_rules = members.optional("protocolRules", text(self::mode))?;
    if changes("protocolRules") {
        patch.protocol_rules = Some(protocol_rules);
    }
    let silent = members.optional("silent", truth)?;
    if changes("silent") {
        patch.silent = Some(silent);
    }
    if changes("upstreamSecret") {
        let policy = members.required("upstreamSecret", text(str::parse::<UpstreamSecret>))?;
        patch.upstream_secret = Some(policy);
    }
    json(&Resource::from(app.store.patch_stream(&consumer, &id, patch, time::now()).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path((mc, stream)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    let (consumer, id) = (consumer_id(&mc)?, stream_id(&stream)?);
    json(&Resource::from(app.store.delete_stream(&consumer, &id, time::now()).await?))
}
