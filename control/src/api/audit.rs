//! `/v1/auditEvents`: the trail.

use axum::extract::State;

use super::input::Parameters;
use super::{Answer, App, list as list_of};
use crate::service::Caller;

const FILTERED: &[&str] = &[
    "name",
    "time",
    "principal",
    "source",
    "action",
    "resource",
    "measurementConsumer",
    "status",
    "method",
    "count",
    "requestId",
    "revision",
];

/// Oldest first; with `orderBy=time desc` newest first (AIP-132).
pub(super) async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Answer {
    let listing = parameters.listing(FILTERED, &["orderBy"])?;
    let newest_first = parameters.parse("orderBy", |order| match order.trim() {
        "" | "time" | "time asc" => Ok(false),
        "time desc" => Ok(true),
        _ => Err("The trail is ordered by time or by time desc."),
    })?;
    let listed = app.service.audit(&caller, listing, newest_first.unwrap_or(false)).await?;
    list_of("auditEvents", listed)
}
