//! Who calls: a bearer token to a principal, with a limit on failures from one address. Runs before a
//! handler looks at anything, and with the route's permission, so a refusal says nothing of what exists.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use mpgate_contract::ConsumerId;

use super::App;
use super::denied::Asked;
use super::observe::{CalledBy, RequestId};
use super::problem::{Problem, Reason};
use crate::failures::{Failures, Limits, Tell, Verdict};
use crate::problem::TOKEN_UNKNOWN;
use crate::service::{Caller, Permission};

/// Lets a request through if its principal has the permission, for the consumer that the path names if
/// it names one.
pub(super) async fn require(
    State((app, permission)): State<(App, Permission)>,
    parameters: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let extensions = request.extensions();
    let source = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let request_id = extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let called_by = extensions.get::<CalledBy>().cloned().unwrap_or_default();
    let caller = authenticate(&app, request.headers(), source, request_id).await?;
    called_by.is(&caller.principal.id);
    let asked = Asked::of(&request, &parameters);
    let allowed = match parameters.iter().find(|(name, _)| *name == "mc") {
        None => caller.may(permission),
        Some((_, id)) => match ConsumerId::parse(id) {
            Ok(consumer) => caller.may_to(permission, &consumer),
            // What cannot be a consumer is nobody's: the handler says that it is not there.
            Err(_) => caller.may(permission),
        },
    };
    let answer = match allowed {
        Ok(()) => {
            request.extensions_mut().insert(caller.clone());
            next.run(request).await
        }
        Err(refusal) => Problem::from(refusal).into_response(),
    };
    // Some rules are about what was sent, so that only the handler knows.
    if answer.status() == StatusCode::FORBIDDEN {
        app.service.note_denied(&caller, asked.method, asked.resource);
    }
    Ok(answer)
}

/// Finds out who calls.
pub(crate) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    source: Option<IpAddr>,
    request_id: String,
) -> Result<Caller, Problem> {
    let found = match bearer(headers) {
        None => None,
        Some(token) => app.service.authenticate(token, source, &request_id).await?,
    };
    found.ok_or_else(|| failed(app, source, bearer(headers).is_some()))
}

fn failed(app: &App, source: Option<IpAddr>, had_token: bool) -> Problem {
    let source = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let verdict = app.failures.failed(source);
    if let Some(unlogged) = verdict.log {
        tracing::warn!(%source, unlogged, "failed authentication");
    }
    let problem = match verdict.tell {
        Tell::Unauthenticated if had_token => Problem::new(Reason::Unauthenticated, TOKEN_UNKNOWN),
        Tell::Unauthenticated => {
            Problem::new(Reason::Unauthenticated, "Send one header: authorization: Bearer mpt_...")
        }
        Tell::Later(seconds) => Problem {
            retry_after: Some(seconds),
            ..Problem::new(
                Reason::ResourceExhausted,
                "Too many failed authentications came from this address; a token that is in force still passes.",
            )
        },
    };
    Problem { is_logged: true, ..problem }
}

/// The failures of all sources, by this process's clock.
#[derive(Clone)]
pub(crate) struct FailureLimit {
    failures: Arc<Mutex<Failures>>,
    started: Instant,
}

impl Default for FailureLimit {
    fn default() -> Self {
        let failures = Arc::new(Mutex::new(Failures::new(Limits::default())));
        Self { failures, started: Instant::now() }
    }
}

impl FailureLimit {
    fn failed(&self, source: IpAddr) -> Verdict {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).failed(source, now)
    }
}

/// The one bearer token, or nothing.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // Every route with a caller stands behind `require`.
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::internal().into_response())
    }
}
