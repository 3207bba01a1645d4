//! Who calls control, and with which tokens.

use core::fmt;

use mpgate_contract::{ConsumerId, Environment};

use super::Seconds;
use crate::names::PrincipalId;

/// What a principal may do; `service::access` has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// The streams and keys of the consumers it is bound to.
    Owner,
    /// Look at everything, or at the consumers it is bound to.
    Viewer,
    /// Post the totals of the consumers it is bound to, and nothing else: a backend's nightly job.
    Reporter,
    /// Read the allowlist's changes and report what it saw.
    Gateway,
}

impl Role {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 5] =
        [Self::Admin, Self::Owner, Self::Viewer, Self::Reporter, Self::Gateway];

    /// The word for it: on the wire, in the database, in logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::Viewer => "viewer",
            Self::Reporter => "reporter",
            Self::Gateway => "gateway",
        }
    }

    /// Reads [`Role::label`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.label() == text)
    }
}

/// Who calls the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The `{principal}` of `principals/{principal}`; never given out twice.
    pub id: PrincipalId,
    /// For people.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// The consumers it is bound to. An owner or reporter has at least one; a viewer or gateway without any sees all.
    pub consumers: Vec<ConsumerId>,
    /// The environment a gateway is bound to; without one it serves all.
    pub environment: Option<Environment>,
    /// Counts its changes, from 1.
    pub version: u64,
    /// When it came.
    pub create_time: Seconds,
    /// When it was revoked, with all its tokens.
    pub revoke_time: Option<Seconds>,
}

impl Principal {
    /// Whether somebody who presents this token of the principal's is let in.
    #[must_use]
    pub fn is_in_force_with(&self, token: &Token, now: Seconds) -> bool {
        self.revoke_time.is_none() && token.is_in_force(now)
    }
}

/// A token's public id: 12 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenId(String);

impl TokenId {
    /// From random bytes.
    #[must_use]
    pub fn new(random: [u8; 6]) -> Self {
        Self(hex::encode(random))
    }

    /// Reads an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = text.len() == 12
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        good.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One of a principal's tokens, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// For people and trails.
    pub id: TokenId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// When it came.
    pub create_time: Seconds,
    /// When it ends by itself.
    pub expire_time: Option<Seconds>,
    /// When it was revoked.
    pub revoke_time: Option<Seconds>,
    /// When it was last used, recorded in batches.
    pub last_use_time: Option<Seconds>,
}

/// When the last of a principal's tokens ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalEnd {
    /// Whose they are.
    pub principal: PrincipalId,
    /// What it may do.
    pub role: Role,
    /// When.
    pub expire_time: Seconds,
}

impl Token {
    /// Whether it may be used, and will be until it is revoked.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.revoke_time.is_none() && self.expire_time.is_none()
    }

    /// Whether it may still be used.
    #[must_use]
    pub fn is_in_force(&self, now: Seconds) -> bool {
        self.revoke_time.is_none() && self.expire_time.is_none_or(|end| now < end)
    }
}
