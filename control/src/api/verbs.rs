//! Custom methods (AIP-136): `POST .../{id}:rotate`, `GET .../{id}:usage`. The router sees `{id}:rotate` as the id of the resource;
//! this room tells the two apart, so that each path has its own methods and no others.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;

/// The custom methods of a resource, and what else may be done to it.
#[derive(Clone, Copy)]
pub(super) struct Verbs {
    pub(super) changes: &'static [&'static str],
    /// Those that only read.
    pub(super) reads: &'static [&'static str],
    pub(super) allow: &'static str,
}

/// Of keys.
pub(super) const OF_KEYS: Verbs =
    Verbs { changes: &["rotate", "disable", "enable"], reads: &[], allow: "GET,HEAD,PATCH,DELETE" };

/// Of consumers.
pub(super) const OF_CONSUMERS: Verbs =
    Verbs { changes: &["reconcile"], reads: &["usage"], allow: "GET,HEAD,PATCH,DELETE" };

/// Of principals.
pub(super) const OF_PRINCIPALS: Verbs =
    Verbs { changes: &["rotate"], reads: &[], allow: "GET,HEAD,PATCH,DELETE" };

/// The custom method at the end of a path, if there is such a one.
pub(super) fn known(path: &str) -> Option<&'static str> {
    let (_, verb) = path.rsplit('/').next()?.split_once(':')?;
    let all = [OF_KEYS, OF_CONSUMERS, OF_PRINCIPALS];
    all.iter().flat_map(|of| of.changes.iter().chain(of.reads)).find(|it| **it == verb).copied()
}

pub(super) async fn tell_apart(
    axum::extract::State(of): axum::extract::State<Verbs>,
    request: Request,
    next: Next,
) -> Response {
    let last = request.uri().path().rsplit('/').next().unwrap_or_default();
    let method = request.method();
    match last.split_once(':') {
        Some((_, verb)) if of.reads.contains(&verb) => {
            if matches!(*request.method(), Method::GET | Method::HEAD) {
                next.run(request).await
            } else {
                not_allowed("GET,HEAD")
            }
        }
        Some((_, verb)) if !of.changes.contains(&verb) => {
            Problem::of_status(StatusCode::NOT_FOUND).into_response()
        }
        Some(_) if method != Method::POST => not_allowed("POST"),
        None if !of.allow.split(',').any(|allowed| allowed == method) => not_allowed(of.allow),
        _ => next.run(request).await,
    }
}

fn not_allowed(allow: &'static str) -> Response {
    let mut response = Problem::of_status(StatusCode::METHOD_NOT_ALLOWED).into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
