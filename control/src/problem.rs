//! What a refused request is told: what was wrong, where, and what to do. The same words for HTTP and
//! gRPC. Never a secret, and never what belongs to somebody else.

use crate::model::{KeyState, Refusal, TotalFault};
use crate::service::Error;
use crate::store::StoreError;

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
    /// The resource is not the one that was read.
    Aborted,
    /// Too many failures, or there are as many as there may be.
    ResourceExhausted,
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
            Self::Aborted => "ABORTED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
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
            Self::Aborted => "The resource has changed",
            Self::ResourceExhausted => "Too many",
            Self::Internal => "Control failed",
            Self::Unavailable => "Control cannot answer now",
        }
    }
}

/// To a token that is no good, whyever.
pub(crate) const TOKEN_UNKNOWN: &str = "The token is not known, or it has ended or was revoked.";

/// A refusal in words.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
    /// The member or parameter at fault.
    pub(crate) field: Option<String>,
    /// All members at fault, where a request can have several.
    pub(crate) faults: Vec<(String, String)>,
    /// When to ask again, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// Whether the log has been told, or need not be: the request then has no line of its own.
    pub(crate) is_logged: bool,
}

impl Problem {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            field: None,
            faults: Vec::new(),
            retry_after: None,
            is_logged: false,
        }
    }

    /// A member or parameter that is wrong.
    pub(crate) fn field(field: &str, detail: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(Reason::InvalidArgument, detail) }
    }

    /// Totals that are wrong. The first is the field and the detail, as where there is only one.
    pub(crate) fn totals(faults: Vec<TotalFault>) -> Self {
        let faults: Vec<_> = faults
            .into_iter()
            .map(|fault| (format!("totals[{}].{}", fault.place, fault.member), fault.rule))
            .collect();
        let first = faults.first().cloned().unwrap_or_default();
        Self { faults, ..Self::field(&first.0, first.1) }
    }

    /// Control failed; the log has more.
    pub(crate) fn internal() -> Self {
        let detail = "Control failed; its log names this request's x-request-id.";
        Self::new(Reason::Internal, detail)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Store(error) => error.into(),
            Error::NoRandom(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(error) => {
                tracing::warn!(%error, "the database does not answer");
                let detail = "The database is busy, or cannot be written; ask again in a second.";
                Self { retry_after: Some(1), ..Self::new(Reason::Unavailable, detail) }
            }
            StoreError::Uncertain(error) => {
                tracing::warn!(%error, "the database was lost while it committed");
                let detail = "The database was lost while it committed: this is done, or it is not. Look, or ask \
                    again with the same requestId, which does it once.";
                Self { retry_after: Some(1), ..Self::new(Reason::Unavailable, detail) }
            }
            StoreError::Broken(error) => {
                tracing::error!(%error, "the database failed");
                Self::internal()
            }
        }
    }
}

impl From<getrandom::Error> for Problem {
    fn from(error: getrandom::Error) -> Self {
        tracing::error!(%error, "no random bytes");
        let detail = "The operating system has no random bytes; ask again.";
        Self { retry_after: Some(1), ..Self::new(Reason::Unavailable, detail) }
    }
}

impl From<Refusal> for Problem {
    #[expect(clippy::too_many_lines, reason = "a table: one row for each way to be refused")]
    fn from(refusal: Refusal) -> Self {
        use Reason::{
            Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound,
            PermissionDenied, ResourceExhausted,
        };
        match refusal {
            Refusal::PermissionDenied(role) => Self::new(
                PermissionDenied,
                format!(
                    "A token of the role {} may not do this here; use another token.",
                    role.label()
                ),
            ),
            Refusal::Invalid(member, rule) => Self::field(member, rule),
            Refusal::OtherEtag => Self {
                field: Some("etag".to_owned()),
                ..Self::new(
                    Aborted,
                    "The resource has changed since this etag was read; read it again and decide anew.",
                )
            },
            Refusal::RequestIdTaken => Self::field(
                "requestId",
                "This requestId was used for another request; make a new one for each request.",
            ),
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
            Refusal::SecretNeedsAdmin => Self {
                field: Some("upstreamSecret".to_owned()),
                ..Self::new(
                    PermissionDenied,
                    "replace(NAME) names a secret of the gateways' own environment, so only an admin sets it; \
                     use keep or none, or ask an admin.",
                )
            },
            Refusal::TooMany(what, max) => Self::new(
                ResourceExhausted,
                format!(
                    "There may be {max} {what}, and there are as many; delete some that are not needed."
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
            Refusal::KeyKeepsItsEnvironment => Self::field(
                "dataStreams",
                "A key keeps its environment; create a key for the other one, then delete this one.",
            ),
            Refusal::NoStreamInEnvironment => Self::new(
                FailedPrecondition,
                "The measurement consumer has no active data stream in this environment; create one first, or \
                 name another environment (over gRPC in the metadata x-mpgate-environment).",
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
            Refusal::KeyIs(KeyState::Disabled) => {
                Self::new(FailedPrecondition, "The API key is disabled; enable it first.")
            }
            Refusal::KeyIs(_) => Self::new(
                FailedPrecondition,
                "The API key is revoked, for good, and cannot be changed; create a new one.",
            ),
            Refusal::KeyExpired => Self::new(
                FailedPrecondition,
                "The API key has expired: nobody sends with it, so there is nothing to overlap. Create a new one.",
            ),
            Refusal::KeyRotated => Self::new(
                FailedPrecondition,
                "The API key has a successor already; rotate that one, or delete it to rotate this one again.",
            ),
            Refusal::SecretTaken => Self::new(
                AlreadyExists,
                "This secret is on the list, or was and has been taken back for good; it cannot be adopted.",
            ),
            Refusal::BindingNamesNoConsumer(place) => Self::field(
                &format!("measurementConsumers[{place}]"),
                "There is no such measurement consumer; create it first.",
            ),
            Refusal::NoPrincipal => Self::new(NotFound, "There is no such principal."),
            Refusal::PrincipalExists => Self::new(
                AlreadyExists,
                "The principalId is taken, or was: ids are not given out twice. Choose another.",
            ),
            Refusal::PrincipalRevoked => Self::new(
                FailedPrecondition,
                "The principal is revoked, for good, and cannot be changed; create a new one.",
            ),
            Refusal::TokenEnded => Self::new(Reason::Unauthenticated, TOKEN_UNKNOWN),
            Refusal::NoToken => Self::new(NotFound, "The principal has no such token."),
            Refusal::Totals(faults) => Self::totals(faults),
            Refusal::NoGateway => {
                Self::new(NotFound, "No gateway of this name was seen in the last day.")
            }
            Refusal::GatewayIsLive(seconds) => Self::new(
                FailedPrecondition,
                format!(
                    "The gateway is alive; only one that has been unseen for {seconds} s can be forgotten. Stop its \
                     Envoy first, and ask again then."
                ),
            ),
            Refusal::TokenEndsInThePast => Self::field(
                "expireTime",
                "The time has passed; name one in the future. To end a token now, revoke it.",
            ),
            Refusal::LastAdminEnds => Self {
                field: Some("expireTime".to_owned()),
                ..Self::new(
                    FailedPrecondition,
                    "This is the last admin with a token without an end, and nobody could administer control once the \
                     new one has ended; create another admin first, or give the new token no end (expireTime: null).",
                )
            },
            Refusal::LastAdmin => Self::new(
                FailedPrecondition,
                "This is the last admin's last token without an end; create another admin or rotate this one first, or nobody \
                 could administer control.",
            ),
        }
    }
}
