//! `/v1/gateways`: which gateways there are, and how far each has come.

use axum::extract::{Path, State};
use serde_json::json;

use super::input::Parameters;
use super::mutation::{Call, answer};
use super::{Answer, App, json as json_of};
use crate::service::Caller;

pub(super) async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Answer {
    parameters.only(&[])?;
    let list = app.service.gateways(&caller).await?;
    json_of(&json!({
        "gateways": list.gateways,
        "head": list.head,
        "incomplete": list.incomplete,
        "nextPageToken": "",
    }))
}

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(gateway): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    json_of(&app.service.gateway(&caller, &gateway).await?)
}

/// It has no secret to show.
pub(super) async fn forget(
    State(app): State<App>,
    call: Call,
    Path(gateway): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&["requestId"])?;
    let mutation = call.mutation(&parameters, None)?;
    answer(app.service.forget_gateway(&mutation, &gateway).await?, "")
}
