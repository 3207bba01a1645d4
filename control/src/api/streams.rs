//! `/v1/measurementConsumers/{mc}/dataStreams`.

use axum::extract::{Path, State};
use mpgate_contract::{Mode, Stream, StreamId, UpstreamSecret};

use super::input::{DISPLAY_NAME_CHARS_MAX, Members, Parameters, environment, text, truth, words};
use super::mutation::{Call, MUTATION_PARAMETERS, answer};
use super::problem::Problem;
use super::{Answer, App, changed, consumer_id, json, list as list_of};
use crate::model::{Refusal, StreamPatch};
use crate::service::{Caller, NewStream};

/// What of a stream can be changed later; its environment cannot, keys rely on it.
const CHANGEABLE: [&str; 5] = ["displayName", "mode", "protocolRules", "silent", "upstreamSecret"];

const FILTERED: &[&str] = &[
    "name",
    "streamId",
    "displayName",
    "environment",
    "mode",
    "protocolRules",
    "silent",
    "upstreamSecret",
    "state",
    "revision",
    "createTime",
    "updateTime",
];

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
    call: Call,
    Path(mc): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["requestId"])?;
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
    let mutation = call.mutation(&parameters, Some(&members))?;
    answer(app.service.create_stream(&mutation, NewStream { stream, display_name }).await?, "")
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(mc): Path<String>,
    parameters: Parameters,
) -> Answer {
    let listing = parameters.listing(FILTERED, &[])?;
    list_of("dataStreams", app.service.streams(&caller, &consumer_id(&mc)?, listing).await?)
}

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((mc, stream)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    json(&app.service.stream(&caller, &consumer_id(&mc)?, &stream_id(&stream)?).await?)
}

pub(super) async fn patch(
    State(app): State<App>,
    call: Call,
    Path((mc, stream)): Path<(String, String)>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["updateMask", "requestId", "etag"])?;
    let (consumer, id) = (consumer_id(&mc)?, stream_id(&stream)?);
    members.only(&[&["etag"], &CHANGEABLE[..]].concat())?;
    let changes = changed(&parameters, &members, &CHANGEABLE)?;
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
    let mutation = call.mutation(&parameters, Some(&members))?;
    answer(app.service.patch_stream(&mutation, &consumer, &id, patch).await?, "")
}

pub(super) async fn delete(
    State(app): State<App>,
    call: Call,
    Path((mc, stream)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&MUTATION_PARAMETERS)?;
    let (consumer, id) = (consumer_id(&mc)?, stream_id(&stream)?);
    let mutation = call.mutation(&parameters, None)?;
    answer(app.service.delete_stream(&mutation, &consumer, &id).await?, "")
}
