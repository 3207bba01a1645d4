//! Refusals as HTTP answers (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(crate) use crate::problem::{Problem, Reason};

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// In an answer's extensions: the request needs no line of its own in the log.
#[derive(Clone, Copy)]
pub(crate) struct IsLogged;

const fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::InvalidArgument => StatusCode::BAD_REQUEST,
        Reason::Unauthenticated => StatusCode::UNAUTHORIZED,
        Reason::PermissionDenied => StatusCode::FORBIDDEN,
        Reason::NotFound => StatusCode::NOT_FOUND,
        Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Reason::AlreadyExists | Reason::FailedPrecondition | Reason::Aborted => {
            StatusCode::CONFLICT
        }
        Reason::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Reason::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Reason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault<'a>>,
}

#[derive(Serialize)]
struct Fault<'a> {
    field: &'a str,
    detail: &'a str,
}

impl Problem {
    /// What a bare status says, for answers that the HTTP layers give by themselves.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (reason, detail) = match status {
            StatusCode::NOT_FOUND => {
                (Reason::NotFound, "There is no such route; the API is under /v1.")
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                (Reason::MethodNotAllowed, "Use a method that the Allow header names.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                (Reason::PayloadTooLarge, "A request's body may have 65536 bytes; send less.")
            }
            status if status.is_client_error() => (
                Reason::InvalidArgument,
                "The request cannot be read; check its path and its body.",
            ),
            _ => return Self::internal(),
        };
        Self::new(reason, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = status(self.reason);
        let wire = Wire {
            r#type: format!("urn:x-mpgate:control:{}", self.reason.label().to_ascii_lowercase()),
            title: self.reason.title(),
            status: status.as_u16(),
            detail: &self.detail,
            reason: self.reason.label(),
            field: self.field.as_deref(),
            faults: self.faults.iter().map(|(field, detail)| Fault { field, detail }).collect(),
        };
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.reason == Reason::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.is_logged {
            response.extensions_mut().insert(IsLogged);
        }
        response
    }
}
