//! The HTTP API: routes, and what they share. Handlers hold no SQL; they read a request, ask the
//! store, and write a resource (AIP names, lowerCamelCase members, RFC 3339 times).

pub(crate) mod auth;
mod changes;
mod consumers;
mod health;
pub(crate) mod input;
mod keys;
pub(crate) mod observe;
mod principals;
pub(crate) mod problem;
mod streams;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mpgate_contract::ConsumerId;
use serde::Serialize;
use tokio::sync::watch;

use self::auth::{Permission, require};
use self::problem::Problem;
use crate::store::{Refusal, Store};

/// A body may be this large. The largest good one, a key with a full grant, has about 13 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What every handler works with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) store: Store,
    /// Turns true when the process is about to end: held-open requests are answered.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// All routes.
pub(crate) fn router(app: App) -> Router {
    let guarded = |router: Router<App>, permission| {
        router.route_layer(from_fn_with_state((app.clone(), permission), require))
    };
    let administration = Router::new()
        .route("/v1/measurementConsumers", get(consumers::list).post(consumers::create))
        .route("/v1/measurementConsumers/{mc}", get(consumers::get).delete(consumers::delete))
        .route(
            "/v1/measurementConsumers/{mc}/dataStreams",
            get(streams::list).post(streams::create),
        )
        .route(
            "/v1/measurementConsumers/{mc}/dataStreams/{stream}",
            get(streams::get).patch(streams::patch).delete(streams::delete),
        )
        .route("/v1/measurementConsumers/{mc}/apiKeys", get(keys::list).post(keys::create))
        .route(
            "/v1/measurementConsumers/{mc}/apiKeys/{key}",
            get(keys::get).patch(keys::patch).delete(keys::delete),
        )
        .route("/v1/principals", get(principals::list).post(principals::create))
        .route("/v1/principals/{principal}", get(principals::get).delete(principals::delete));
    let feed = Router::new().route("/v1/allowlist/changes", get(changes::get));
    let open =
        Router::new().route("/healthz", get(health::healthz)).route("/readyz", get(health::readyz));
    open.merge(guarded(administration, Permission::Administer))
        .merge(guarded(feed, Permission::ReadChanges))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
        .layer(from_fn(observe::observe))
        .with_state(app)
}

/// A handler's answer.
type Answer = Result<Response, Problem>;

/// A resource, or a list of them. Never kept by a cache: it may hold a secret, and it may change.
fn json(resource: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(resource)
        .map_err(|_| Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok(json_bytes(body))
}

fn json_bytes(body: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, body).into_response()
}

/// The consumer of a path. What cannot be an id is not there.
fn consumer_id(text: &str) -> Result<ConsumerId, Problem> {
    ConsumerId::parse(text).map_err(|_| Refusal::NoConsumer.into())
}

/// The words of the API for the life of a resource.
fn state_label(active: bool) -> &'static str {
    if active { "ACTIVE" } else { "REVOKED" }
}

/// `updateMask`: which members a change is about.
fn mask<'a>(text: &'a str, known: &[&str]) -> Result<Vec<&'a str>, Problem> {
    let names: Vec<_> = text.split(',').map(str::trim).collect();
    match names.iter().find(|name| !known.contains(name)) {
        None => Ok(names),
        Some(_) => Err(Problem::field(
            "updateMask",
            format!(
                "A list, separated by commas, of members that can be changed: {}.",
                known.join(", ")
            ),
        )),
    }
}
