//! The HTTP API: routes, and what they share. Handlers hold no SQL; they read a request, ask the
//! store, and write a resource (AIP names, lowerCamelCase members, RFC 3339 times).

mod audit;
pub(crate) mod auth;
mod changes;
mod consumers;
mod denied;
mod gateways;
mod health;
pub(crate) mod input;
mod keys;
mod mutation;
pub(crate) mod observe;
mod openapi;
mod pages;
mod principals;
pub(crate) mod problem;
mod reconcile;
mod streams;
pub(crate) mod trace;
mod usage;
mod verbs;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post};
use mpgate_contract::ConsumerId;
use mpgate_contract::limits::REPORT_BYTES_MAX;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;

pub(crate) use self::auth::FailureLimit;
use self::auth::require;
use self::input::{Members, Parameters, page_token};
pub(crate) use self::pages::Pages;
use self::problem::Problem;
use crate::metrics::Metrics;
use crate::model::Refusal;
use crate::service::{Listed, Permission, Service};

/// A body may be this large. The largest good one, a key with a full grant, has about 13 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What every handler works with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) service: Service,
    /// Pages that many gateways wait for.
    pub(crate) pages: Pages,
    /// How often authentication failed, and from where.
    pub(crate) failures: FailureLimit,
    /// What is counted of requests.
    pub(crate) metrics: Metrics,
    /// Turns true when the process is about to end: held-open requests are answered.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// A route: its path, what it needs, its handlers. Permissions differ by method, so a path may appear
/// twice.
type Route = (&'static str, Permission, MethodRouter<App>);

const CONSUMER: &str = "/v1/measurementConsumers/{mc}";
const KEY: &str = "/v1/measurementConsumers/{mc}/apiKeys/{key}";
const PRINCIPAL: &str = "/v1/principals/{principal}";

fn routes() -> Vec<Route> {
    use Permission::{
        ForgetGateways, ManageConsumers, ManagePrincipals, Read, ReadAudit, ReadChanges,
        ReadGateways, ReadOwnToken, Reconcile, ReportUsage, Write,
    };
    const STREAMS: &str = "/v1/measurementConsumers/{mc}/dataStreams";
    const STREAM: &str = "/v1/measurementConsumers/{mc}/dataStreams/{stream}";
    const KEYS: &str = "/v1/measurementConsumers/{mc}/apiKeys";
    vec![
        ("/v1/measurementConsumers", Read, get(consumers::list)),
        ("/v1/measurementConsumers", ManageConsumers, post(consumers::create)),
        (CONSUMER, Read, get(consumers::get)),
        (CONSUMER, ManageConsumers, patch(consumers::patch).delete(consumers::delete)),
        // `{mc}:reconcile`: see `verbs`.
        (
            CONSUMER,
            Reconcile,
            post(reconcile::post).layer(DefaultBodyLimit::max(reconcile::RECONCILE_BYTES_MAX)),
        ),
        ("/v1/measurementConsumers/{mc}/reconciliations", Read, get(reconcile::list)),
        (STREAMS, Read, get(streams::list)),
        (STREAMS, Write, post(streams::create)),
        (STREAM, Read, get(streams::get)),
        (STREAM, Write, patch(streams::patch).delete(streams::delete)),
        (KEYS, Read, get(keys::list)),
        (KEYS, Write, post(keys::create)),
        ("/v1/measurementConsumers/{mc}/apiKeys:adopt", Write, post(keys::adopt)),
        (KEY, Read, get(keys::get)),
        // `{key}:rotate` and its like: see `verbs`.
        (KEY, Write, patch(keys::patch).delete(keys::delete).post(keys::turn)),
        ("/v1/principals", ManagePrincipals, get(principals::list).post(principals::create)),
        (
            PRINCIPAL,
            ManagePrincipals,
            get(principals::get)
                .patch(principals::patch)
                .delete(principals::delete)
                .post(principals::turn),
        ),
        ("/v1/principals/{principal}/tokens", ManagePrincipals, get(principals::tokens)),
        (
            "/v1/principals/{principal}/tokens/{token}",
            ManagePrincipals,
            delete(principals::revoke_token),
        ),
        ("/v1/tokens:self", ReadOwnToken, get(principals::own_token)),
        ("/v1/auditEvents", ReadAudit, get(audit::list)),
        ("/v1/gateways", ReadGateways, get(gateways::list)),
        ("/v1/gateways/{gateway}", ReadGateways, get(gateways::get)),
        ("/v1/gateways/{gateway}", ForgetGateways, delete(gateways::forget)),
        ("/v1/allowlist/changes", ReadChanges, get(changes::get)),
        (
            "/v1/usageReports",
            ReportUsage,
            post(usage::report).layer(DefaultBodyLimit::max(REPORT_BYTES_MAX)),
        ),
    ]
}

/// The resources with custom methods.
fn verbs_of(path: &str) -> Option<verbs::Verbs> {
    match path {
        CONSUMER => Some(verbs::OF_CONSUMERS),
        KEY => Some(verbs::OF_KEYS),
        PRINCIPAL => Some(verbs::OF_PRINCIPALS),
        _ => None,
    }
}

/// Routes for everybody.
fn open_routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/openapi.json", get(openapi::get)),
    ]
}

/// The paths of all routes. For the tests of who may do what: none is to be forgotten.
#[must_use]
pub fn paths() -> Vec<&'static str> {
    let open = open_routes().into_iter().map(|(path, _)| path);
    let mut paths: Vec<_> = open.chain(routes().into_iter().map(|(path, ..)| path)).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// All routes.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for (path, handlers) in open_routes() {
        router = router.route(path, handlers);
    }
    for (path, permission, handlers) in routes() {
        let guard = from_fn_with_state((app.clone(), permission), require);
        let mut handlers = handlers.route_layer(guard);
        if let Some(verbs) = verbs_of(path) {
            handlers = handlers.layer(from_fn_with_state(verbs, verbs::tell_apart));
        }
        router = router.route(path, handlers);
    }
    router
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
        .layer(from_fn_with_state(app.metrics.clone(), observe::observe))
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

fn json_bytes(body: impl Into<Body>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, body.into()).into_response()
}

/// The consumer of a path. What cannot be an id is not there.
fn consumer_id(text: &str) -> Result<ConsumerId, Problem> {
    ConsumerId::parse(text).map_err(|_| Refusal::NoConsumer.into())
}

/// A list in its member, with the way to its next part.
fn list(member: &str, listed: Listed) -> Answer {
    let mut members = Map::new();
    members.insert(member.to_owned(), Value::Array(listed.items));
    members.insert("nextPageToken".to_owned(), page_token(listed.next).into());
    json(&members)
}

/// Which members a patch is about. Without `updateMask` those that are present; with it those it names,
/// and one that it names and that is absent is cleared (AIP-134). `null` clears too.
fn changed<'a>(
    parameters: &'a Parameters,
    members: &'a Members,
    known: &[&str],
) -> Result<impl Fn(&str) -> bool + use<'a>, Problem> {
    let chosen = parameters.get("updateMask").map(|text| mask(text, known)).transpose()?;
    Ok(move |name: &str| {
        chosen.as_ref().map_or_else(|| members.has(name), |names| names.contains(&name))
    })
}

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
