//! `/v1/gateways`: which gateways there are, and how far each has come.

use axum::extract::{Path, State};
use serde_json::json;

use super::input::Parameters;
use super::{Answer, App, json as json_of};
use crate::service::Caller;

pub(super) async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Answer {
    parameters.only(&[])?;
    let list = app.service.gateways(&caller).await?;
    json_of(&json!({"gateways": list.gateways, "head": list.head, "nextPageToken": ""}))
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
