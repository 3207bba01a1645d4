//! Around every request: its id, one log line, a panic made a 500, and every refusal a problem.
//!
//! The log line holds the route, never the path or the query: people paste tokens into both.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::problem::{IsLogged, PROBLEM_JSON, Problem};
use super::trace::TraceParent;
use super::verbs;
use crate::metrics::Metrics;
use crate::names::PrincipalId;
use crate::traces;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, for its answer, the log and the trail.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// Who called, for the log: empty until that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct CalledBy(Arc<OnceLock<PrincipalId>>);

impl CalledBy {
    /// It is known by now.
    pub(crate) fn is(&self, principal: &PrincipalId) {
        self.0.set(principal.clone()).ok();
    }

    /// Its name, once it is known.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.get().map(PrincipalId::as_str)
    }
}

pub(super) async fn observe(
    State(metrics): State<Metrics>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let parent = TraceParent::of(request.headers());
    let called_by = CalledBy::default();
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(called_by.clone());
    let method = known_method(request.method());
    let route = route(&request);
    let span = traces::http_span(method, &route, &id, parent.as_ref());

    // A task of its own: a panic ends it and nothing else. A change goes on when its caller hangs up,
    // so that what was committed is also announced; a question is dropped with its caller.
    let is_question = request.method().is_safe();
    let work = next.run(request).instrument(span.clone());
    let mut task = Task { handle: tokio::spawn(work), is_question };
    let response = (&mut task.handle)
        .await
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response());
    let mut response = as_problem(response);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }

    let status = response.status().as_u16();
    metrics.http(method, &route, status, started.elapsed());
    let principal = called_by.name();
    traces::answered(&span, status, principal);
    if response.extensions().get::<IsLogged>().is_some() {
        return response;
    }
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let trace_id = traces::id(&span, parent.as_ref());
    if status >= 500 {
        tracing::error!(
            request_id = id,
            trace_id,
            principal,
            method,
            route,
            status,
            duration_ms,
            "request"
        );
    } else {
        tracing::info!(
            request_id = id,
            trace_id,
            principal,
            method,
            route,
            status,
            duration_ms,
            "request"
        );
    }
    response
}

/// The template of the route, with the custom method if there is one. Never the path.
pub(super) fn route(request: &Request) -> String {
    let Some(template) = request.extensions().get::<MatchedPath>() else {
        return "unknown".to_owned();
    };
    let verb = verbs::known(request.uri().path()).filter(|_| !template.as_str().contains(':'));
    verb.map_or_else(
        || template.as_str().to_owned(),
        |verb| format!("{}:{verb}", template.as_str()),
    )
}

/// A request's work.
struct Task {
    handle: JoinHandle<Response>,
    is_question: bool,
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.is_question {
            self.handle.abort();
        }
    }
}

/// The caller's id if it can be one, else that of its trace, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    if let Some(given) = given {
        return given.to_owned();
    }
    TraceParent::of(headers).map_or_else(new_id, |parent| parent.trace_id().to_owned())
}

fn new_id() -> String {
    let mut random = [0; 8];
    // An id that repeats is a nuisance in the log, not a reason to refuse work.
    getrandom::fill(&mut random).ok();
    hex::encode(random)
}

/// A method is the client's text; only those with a meaning are logged.
pub(super) fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The layers below answer some requests by themselves, in plain text. Their status and `Allow` stay.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut response = Problem::of_status(status).into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_request_and_nothing_else() {
        let broken = |request: Request| async move {
            assert!(request.uri().query().is_none(), "this request breaks the handler");
            "whole"
        };
        let app = Router::new()
            .route("/", get(broken))
            .layer(from_fn_with_state(Metrics::default(), observe));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let server = tokio::spawn(axum::serve(listener, app).into_future());
        // reqwest comes without a provider of TLS and does not start without one.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::new();
        for _ in 0..2 {
            let answer = client.get(format!("{url}?x")).send().await.expect("an answer");
            assert_eq!(answer.status(), 500);
            let problem: serde_json::Value = answer.json().await.expect("a problem");
            assert_eq!(problem["reason"], "INTERNAL");
            let id =
                client.get(&url).header("x-request-id", "abc-1").send().await.expect("an answer");
            assert_eq!(id.headers()["x-request-id"], "abc-1");
            assert_eq!(id.text().await.ok().as_deref(), Some("whole"));
        }
        server.abort();
    }

    #[test]
    fn only_what_can_be_an_id_is_taken_over() {
        for (given, taken) in [("abc-1", true), ("", false), ("a b", false), ("a\"b", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(given));
            assert_eq!(request_id(&headers) == given, taken, "{given}");
        }
    }
}
