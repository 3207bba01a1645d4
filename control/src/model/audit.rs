//! The trail: who changed what, when, from where; and who tried to and may not.

use mpgate_contract::ConsumerId;
use serde_json::Value;

use super::Seconds;
use crate::names::PrincipalId;

/// What was done, one word for each way to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A resource came to be.
    Create,
    /// Members of a resource changed.
    Update,
    /// A resource was deleted or revoked.
    Delete,
    /// A key or a token got a successor.
    Rotate,
    /// A key was taken out of force.
    Disable,
    /// A key was put back into force.
    Enable,
    /// An existing secret became a key.
    Adopt,
    /// The first administrator was made, or administration was recovered on control's own machine.
    ResetAdmin,
    /// The database was replaced by a backup.
    Restore,
    /// Nothing: the principal may not do what it asked for.
    Denied,
}

impl Action {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Rotate,
        Self::Disable,
        Self::Enable,
        Self::Adopt,
        Self::ResetAdmin,
        Self::Restore,
        Self::Denied,
    ];

    /// The word for it: on the wire and in the database.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Rotate => "rotate",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Adopt => "adopt",
            Self::ResetAdmin => "reset_admin",
            Self::Restore => "restore",
            Self::Denied => "denied",
        }
    }

    /// Reads [`Action::label`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.label() == text)
    }
}

/// What was asked for by somebody who may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The method, as the log names it: `POST /v1/principals`.
    pub method: String,
    /// How many attempts the event stands for; where it is more than one, the last is described.
    pub count: u64,
}

/// One change, or an attempt that was denied. Neither `before` nor `after` ever holds a secret or a digest.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Its place in the trail; 0 before it is stored.
    pub ordinal: u64,
    /// When, by control's clock.
    pub time: Seconds,
    /// Who; nobody when it was done on control's own machine.
    pub principal: Option<PrincipalId>,
    /// From which address.
    pub source: Option<String>,
    /// What was done.
    pub action: Action,
    /// To which resource, by its full name.
    pub resource: String,
    /// Whose that resource is.
    pub consumer: Option<ConsumerId>,
    /// The request's id, the one in the answer's `x-request-id` and in the log.
    pub request_id: Option<String>,
    /// The allowlist's revision that carries it; none where the allowlist did not change.
    pub revision: Option<u64>,
    /// The resource before; none when it came to be.
    pub before: Option<Value>,
    /// The resource after.
    pub after: Option<Value>,
    /// What was denied; none for a change.
    pub denial: Option<Denial>,
}
