//! `/v1/measurementConsumers`.

use axum::extract::{Path, State};
use mpgate_contract::ConsumerId;

use super::input::{DISPLAY_NAME_CHARS_MAX, Members, Parameters, words};
use super::mutation::{Call, MUTATION_PARAMETERS, answer};
use super::problem::Problem;
use super::{Answer, App, changed, consumer_id, json, list as list_of, usage};
use crate::service::Caller;

const FILTERED: &[&str] = &["name", "displayName", "state", "createTime", "deleteTime"];

pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["measurementConsumerId", "requestId"])?;
    let id = parameters.parse("measurementConsumerId", ConsumerId::parse)?.ok_or_else(|| {
        Problem::field(
            "measurementConsumerId",
            "Name the consumer in the query: ?measurementConsumerId=acme.",
        )
    })?;
    members.only(&["displayName"])?;
    let display_name = members.optional("displayName", words(DISPLAY_NAME_CHARS_MAX))?;
    let mutation = call.mutation(&parameters, Some(&members))?;
    let outcome =
        app.service.create_consumer(&mutation, &id, display_name.unwrap_or_default()).await?;
    answer(outcome, "")
}

pub(super) async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Answer {
    let listing = parameters.listing(FILTERED, &[])?;
    list_of("measurementConsumers", app.service.consumers(&caller, listing).await?)
}

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(mc): Path<String>,
    parameters: Parameters,
) -> Answer {
    // `{mc}:usage`: see `verbs`.
    if let Some(mc) = mc.strip_suffix(":usage") {
        return usage::get(app, caller, mc, &parameters).await;
    }
    parameters.only(&[])?;
    json(&app.service.consumer(&caller, &consumer_id(&mc)?).await?)
}

pub(super) async fn patch(
    State(app): State<App>,
    call: Call,
    Path(mc): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["updateMask", "requestId", "etag"])?;
    let id = consumer_id(&mc)?;
    members.only(&["displayName", "etag"])?;
    let changes = changed(&parameters, &members, &["displayName"])?;
    let display_name = members.optional("displayName", words(DISPLAY_NAME_CHARS_MAX))?;
    let display_name = changes("displayName").then_some(display_name.unwrap_or_default());
    let mutation = call.mutation(&parameters, Some(&members))?;
    answer(app.service.patch_consumer(&mutation, &id, display_name).await?, "")
}

pub(super) async fn delete(
    State(app): State<App>,
    call: Call,
    Path(mc): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&MUTATION_PARAMETERS)?;
    let mutation = call.mutation(&parameters, None)?;
    answer(app.service.delete_consumer(&mutation, &consumer_id(&mc)?).await?, "")
}
