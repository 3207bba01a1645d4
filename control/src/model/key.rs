//! API keys, without their secrets.

use mpgate_contract::{
    CertificateName, ConsumerId, Environment, EventPattern, Grant, KeyId, Network, State, StreamId,
};

use super::Seconds;

/// The life of a key; expiry is a matter of its grant and the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// In force.
    Active,
    /// Taken out of force by its owner, who may put it back.
    Disabled,
    /// Taken back for good.
    Revoked,
}

impl KeyState {
    /// The word for it in the database.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }

    /// Reads [`KeyState::label`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Disabled, Self::Revoked].into_iter().find(|it| it.label() == text)
    }

    /// What a gate is told: it refuses whatever is not active, and need not know why.
    #[must_use]
    pub const fn on_the_wire(self) -> State {
        match self {
            Self::Active => State::Active,
            Self::Disabled | Self::Revoked => State::Revoked,
        }
    }
}

/// Where a key's secret comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made here, from 256 random bits.
    Issued,
    /// Brought by its owner: a secret that was in use before.
    Adopted,
}

impl Origin {
    /// The word for it, in the database and on the wire.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Adopted => "adopted",
        }
    }

    /// Reads [`Origin::label`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Issued, Self::Adopted].into_iter().find(|it| it.label() == text)
    }
}

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Whose it is.
    pub consumer: ConsumerId,
    /// The environment of all its streams, for good.
    pub environment: Environment,
    /// What the gate is told.
    pub grant: Grant,
    /// For people.
    pub nickname: String,
    /// For people.
    pub description: String,
    /// In force, or not.
    pub state: KeyState,
    /// Where its secret comes from.
    pub origin: Origin,
    /// The key that it takes the place of.
    pub predecessor: Option<KeyId>,
    /// The key that takes its place.
    pub successor: Option<KeyId>,
    /// Its last change.
    pub revision: u64,
    /// When it came.
    pub create_time: Seconds,
    /// When it was revoked.
    pub revoke_time: Option<Seconds>,
}

impl KeyRecord {
    /// When it ends by itself.
    #[must_use]
    pub fn end(&self) -> Option<Seconds> {
        self.grant.expire_time.and_then(|time| Seconds::try_from(time).ok())
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: Seconds) -> bool {
        self.end().is_some_and(|end| end <= now)
    }
}

/// When a key that is in force ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEnd {
    /// Whose it is.
    pub consumer: ConsumerId,
    /// Who sends with it.
    pub sender: String,
    /// Which key.
    pub id: KeyId,
    /// When.
    pub expire_time: Seconds,
}

/// What the gates saw of a key, gathered from their reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// When an event was last accepted with it.
    pub last_accept_time: Option<Seconds>,
    /// When a request with it was last refused.
    pub last_refuse_time: Option<Seconds>,
}

impl KeyUse {
    /// Both together: the later of each.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            last_accept_time: self.last_accept_time.max(other.last_accept_time),
            last_refuse_time: self.last_refuse_time.max(other.last_refuse_time),
        }
    }
}

/// What of a key may be changed. `None` leaves it. Its sender and its secret cannot: metrics and
/// trails name the one, and somebody holds the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPatch {
    /// For people.
    pub nickname: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The streams it may write.
    pub streams: Option<Vec<StreamId>>,
    /// The events it may send; empty: all.
    pub events: Option<Vec<EventPattern>>,
    /// The networks it may send from; empty: any.
    pub source_networks: Option<Vec<Network>>,
    /// The certificate names of which it must bring one; empty: none is asked for.
    pub certificate_names: Option<Vec<CertificateName>>,
    /// `Some(None)`: it is valid at once.
    pub not_before: Option<Option<u64>>,
    /// `Some(None)`: it has no end.
    pub expire_time: Option<Option<u64>>,
}

impl KeyPatch {
    /// The key with the patch on it.
    #[must_use]
    pub fn apply(self, old: &KeyRecord) -> KeyRecord {
        fn set<T>(member: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *member = value;
            }
        }
        let mut new = old.clone();
        set(&mut new.nickname, self.nickname);
        set(&mut new.description, self.description);
        set(&mut new.grant.streams, self.streams);
        set(&mut new.grant.events, self.events);
        set(&mut new.grant.source_networks, self.source_networks);
        set(&mut new.grant.certificate_names, self.certificate_names);
        set(&mut new.grant.not_before, self.not_before);
        set(&mut new.grant.expire_time, self.expire_time);
        new
    }
}
