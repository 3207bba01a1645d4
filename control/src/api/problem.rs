//! What a refused request is told (RFC 9457): what was wrong, where, and what to do.
//! Never a secret, and never what belongs to somebody else.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::{Refusal, StoreError};

/// Why a request was refused, in AIP-193's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The request itself is wrong.
    InvalidArgument,
    /// No token, or none that is in force.
    Unauthenticated,
    /// The token's principal may not.
    PermissionDenied,
    /// No such resource or route.
    NotFound,
    /// The route has no such method.
    MethodNotAllowed,
    /// The id is taken.
    AlreadyExists,
    /// Right in itself, but not in this state.
    FailedPrecondition,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is not JSON by its header.
    UnsupportedMediaType,
    /// Our fault.
    Internal,
    /// Not now.
    Unavailable,
}

impl Reason {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::InvalidArgument => "The request is not valid",
            Self::Unauthenticated => "A valid token is needed",
            Self::PermissionDenied => "This token may not do that",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "There is no such method here",
            Self::AlreadyExists => "The id is taken",
            Self::FailedPrecondition => "Not in this state",
            Self::PayloadTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body is of another type than JSON",
            Self::Internal => "Control failed",
            Self::Unavailable => "Control cannot answer now",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::AlreadyExists | Self::FailedPrecondition => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
    pub(crate) field: Option<String>,
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
}

impl Problem {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), field: None }
    }

    /// A member or parameter that is wrong.
    pub(crate) fn field(field: &str, detail: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(Reason::InvalidArgument, detail) }
    }

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
            _ => (Reason::Internal, "Control failed; its log names this request's x-request-id."),
        };
        Self::new(reason, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.reason.status();
        let wire = Wire {
            r#type: format!("urn:x-mpgate:control:{}", self.reason.label().to_ascii_lowercase()),
            title: self.reason.title(),
            status: status.as_u16(),
            detail: &self.detail,
            reason: self.reason.label(),
            field: self.field.as_deref(),
        };
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.reason {
            Reason::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Reason::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => refusal.into(),
            StoreError::Unavailable(error) => {
                tracing::warn!(%error, "the database does not answer");
                Self::new(Reason::Unavailable, "The database is busy; ask again in a second.")
            }
            StoreError::Broken(error) => {
                tracing::error!(%error, "the database failed");
                Self::of_status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl From<getrandom::Error> for Problem {
    fn from(error: getrandom::Error) -> Self {
        tracing::error!(%error, "no random bytes");
        Self::new(Reason::Unavailable, "The operating system has no random bytes; ask again.")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        use Reason::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};
        match refusal {
            Refusal::NoConsumer => Self::new(NotFound, "There is no such measurement consumer."),
            Refusal::ConsumerExists => Self::new(
                AlreadyExists,
                "The measurementConsumerId is taken, or was: ids are not given out twice. Choose another.",
            ),
            Refusal::ConsumerDeleted => Self::new(
                FailedPrecondition,
                "The measurement consumer is deleted and takes no more streams or keys.",
            ),
            Refusal::ConsumerInUse(streams, keys) => Self::new(
                FailedPrecondition,
                format!(
                    "The measurement consumer has {streams} active data stream(s) and {keys} active API key(s); delete them first."
                ),
            ),
            Refusal::NoStream => {
                Self::new(NotFound, "The measurement consumer has no such data stream.")
            }
            Refusal::StreamExists => Self {
                field: Some("streamId".to_owned()),
                ..Self::new(
                    AlreadyExists,
                    "A data stream with this streamId exists. If it is not yours, ask an administrator.",
                )
            },
            Refusal::StreamDeleted => Self::new(
                FailedPrecondition,
                "The data stream is deleted and cannot be changed; create it again.",
            ),
            Refusal::StreamInUse(keys) => Self::new(
                FailedPrecondition,
                format!(
                    "{keys} API key(s) that are not deleted are granted this data stream; delete them first."
                ),
            ),
            Refusal::TooManyStreams => Self::new(
                FailedPrecondition,
                format!(
                    "A gate takes {} data streams, and there are as many; delete one first.",
                    mpgate_contract::limits::STREAMS_MAX
                ),
            ),
            Refusal::GrantNamesNoStream(place, id) => Self::field(
                &format!("dataStreams[{place}]"),
                format!(
                    "The measurement consumer has no active data stream {id}; create it first."
                ),
            ),
            Refusal::GrantMixesEnvironments => Self::field(
                "dataStreams",
                "The data streams are of different environments; create one key for each environment.",
            ),
            Refusal::GrantTooLarge(bytes) => Self::new(
                InvalidArgument,
                format!(
                    "What the key may do takes {bytes} bytes, and a gate reads {} at most; write shorter \
                     lists (one event pattern covers many names), or issue several keys.",
                    mpgate_contract::limits::GRANT_BYTES_MAX
                ),
            ),
            Refusal::KeyEndsBeforeItBegins => Self::field(
                "expireTime",
                "The key would end before it begins: name an expireTime after notBefore.",
            ),
            Refusal::KeyEndsInThePast => Self::field(
                "expireTime",
                "The time has passed; name one in the future. To end a key now, delete it.",
            ),
            Refusal::NoKey => Self::new(NotFound, "The measurement consumer has no such API key."),
            Refusal::KeyRevoked => Self::new(
                FailedPrecondition,
                "The API key is revoked, for good, and cannot be changed; create a new one.",
            ),
            Refusal::NoPrincipal => Self::new(NotFound, "There is no such principal."),
            Refusal::PrincipalExists => Self::new(
                AlreadyExists,
                "The principalId is taken, or was: ids are not given out twice. Choose another.",
            ),
            Refusal::LastAdmin => Self::new(
                FailedPrecondition,
                "This is the last admin; create another one first, or nobody could administer control.",
            ),
        }
    }
}
