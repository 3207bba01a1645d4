//! Who may do what: the one table of roles and permissions.

use std::net::IpAddr;

use mpgate_contract::{ConsumerId, Digest};

use crate::model::{Principal, Refusal, Role};
use crate::store::Read;
use crate::time;

use super::Answer;

/// Who calls, from where, in which request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose token it was.
    pub principal: Principal,
    /// What it was known by.
    pub(super) credential: Credential,
    /// The address it came from.
    pub source: Option<IpAddr>,
    /// The id that answer, log and trail carry.
    pub request_id: String,
}

/// The token that a caller presented, as the database knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credential(pub(super) Digest);

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Look at a consumer, its streams and its keys.
    Read,
    /// Create, change and delete streams and keys of a consumer.
    Write,
    /// Create, change and delete consumers.
    ManageConsumers,
    /// Say which secret of the gates' environment a stream is sent with.
    ChooseSecret,
    /// Make a key of a digest, whose secret was never seen.
    AdoptDigest,
    /// Principals and their tokens.
    ManagePrincipals,
    /// The token that the caller came with: until when it will do.
    ReadOwnToken,
    /// The trail; of a consumer, or all of it.
    ReadAudit,
    /// Which gateways there are and how far each has come.
    ReadGateways,
    /// Take one that has ended out of the list.
    ForgetGateways,
    /// The allowlist's changes.
    ReadChanges,
    /// Tell what was counted of keys.
    ReportUsage,
    /// Post a consumer's own totals.
    Reconcile,
}

impl Permission {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::Read,
        Self::Write,
        Self::ManageConsumers,
        Self::ChooseSecret,
        Self::AdoptDigest,
        Self::ManagePrincipals,
        Self::ReadOwnToken,
        Self::ReadAudit,
        Self::ReadGateways,
        Self::ForgetGateways,
        Self::ReadChanges,
        Self::ReportUsage,
        Self::Reconcile,
    ];
}

/// How far a permission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Not at all.
    Nobody,
    /// The consumers that the principal is bound to.
    Own,
    /// Everybody.
    All,
}

/// The table.
const fn reach(role: Role, permission: Permission) -> Reach {
    use Permission::{
        Read, ReadAudit, ReadChanges, ReadGateways, ReadOwnToken, Reconcile, ReportUsage, Write,
    };
    match (role, permission) {
        // Numbers are the gates' own: not even an administrator makes them up.
        (Role::Admin, ReportUsage) => Reach::Nobody,
        (Role::Admin, _) | (Role::Gateway, ReadChanges | ReportUsage) | (_, ReadOwnToken) => {
            Reach::All
        }
        (Role::Owner, Read | Write | ReadAudit | ReadGateways | Reconcile)
        | (Role::Viewer, Read | ReadAudit | ReadGateways)
        | (Role::Reporter, Reconcile) => Reach::Own,
        (Role::Owner | Role::Viewer | Role::Reporter | Role::Gateway, _) => Reach::Nobody,
    }
}

impl Caller {
    /// The caller as it is by now: a change waits for its turn and a question for news, and meanwhile
    /// a token ends, or a binding is another.
    ///
    /// # Errors
    /// [`Refusal::TokenEnded`].
    pub(super) async fn again(&self, read: &mut dyn Read) -> Answer<Self> {
        let found = read.token(self.credential.0).await?;
        let in_force = found
            .filter(|(principal, token)| principal.is_in_force_with(token, time::now()))
            .map(|(principal, _)| principal);
        let principal = in_force.ok_or(Refusal::TokenEnded)?;
        Ok(Self { principal, ..self.clone() })
    }

    /// Whether the caller may do this at all, be it to some consumers only.
    ///
    /// # Errors
    /// [`Refusal::PermissionDenied`].
    pub fn may(&self, permission: Permission) -> Result<(), Refusal> {
        match reach(self.principal.role, permission) {
            Reach::Nobody => Err(Refusal::PermissionDenied(self.principal.role)),
            Reach::Own | Reach::All => Ok(()),
        }
    }

    /// Whether the caller may do this to a consumer, be there one of that name or not.
    ///
    /// # Errors
    /// [`Refusal::PermissionDenied`].
    pub fn may_to(&self, permission: Permission, consumer: &ConsumerId) -> Result<(), Refusal> {
        self.may(permission)?;
        if self.sees(permission, consumer) {
            Ok(())
        } else {
            Err(Refusal::PermissionDenied(self.principal.role))
        }
    }

    /// Whether a consumer is among those that the permission reaches. A viewer that is bound to none
    /// sees all.
    pub(super) fn sees(&self, permission: Permission, consumer: &ConsumerId) -> bool {
        match reach(self.principal.role, permission) {
            Reach::Nobody => false,
            Reach::All => true,
            Reach::Own => self.sees_all(permission) || self.principal.consumers.contains(consumer),
        }
    }

    /// Whether nothing is out of reach, what belongs to no consumer included.
    pub(super) fn sees_all(&self, permission: Permission) -> bool {
        match reach(self.principal.role, permission) {
            Reach::Nobody => false,
            Reach::All => true,
            Reach::Own => {
                self.principal.role == Role::Viewer && self.principal.consumers.is_empty()
            }
        }
    }
}
