//! What control remembers: the records, what may be asked of them, and why a change is refused.
//! Every change is one transaction that takes its revision from the same locked counter, so commit
//! order is revision order.
//!
//! No HTTP here, no JSON of the API, no secret in clear: only digests come in.

mod sqlite;

use core::fmt;

use mpgate_contract::{
    CertificateName, ConsumerId, Digest, EventPattern, Grant, Mode, Network, State, Stream,
    StreamId, UpstreamSecret,
};

use crate::names::PrincipalId;

pub use sqlite::{OpenError, Store};

/// Unix seconds.
pub type Seconds = i64;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The `{mc}` of `measurementConsumers/{mc}`; never given out twice.
    pub id: ConsumerId,
    /// For people.
    pub display_name: String,
    /// When it came.
    pub create_time: Seconds,
    /// When it was deleted.
    pub delete_time: Option<Seconds>,
}

/// A stream: what the gate is told of it, and what only people need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// What the gate is told.
    pub stream: Stream,
    /// For people.
    pub display_name: String,
    /// `revoked` once it is deleted.
    pub state: State,
    /// Its last change.
    pub revision: u64,
    /// When it came.
    pub create_time: Seconds,
    /// When it last changed.
    pub update_time: Seconds,
}

/// What of a stream may be changed. `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPatch {
    /// For people.
    pub display_name: Option<String>,
    /// `Some(None)` gives the stream back to the gate's default.
    pub mode: Option<Option<Mode>>,
    /// `Some(None)` gives the stream back to the gate's default.
    pub protocol_rules: Option<Option<Mode>>,
    /// `Some(None)` gives the stream back to the gate's default.
    pub silent: Option<Option<bool>>,
    /// Which secret the upstream is sent.
    pub upstream_secret: Option<UpstreamSecret>,
}

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Whose it is.
    pub consumer: ConsumerId,
    /// What the gate is told.
    pub grant: Grant,
    /// For people.
    pub nickname: String,
    /// For people.
    pub description: String,
    /// `active` or `revoked`; expiry is a matter of the grant and the clock.
    pub state: State,
    /// Its last change.
    pub revision: u64,
    /// When it came.
    pub create_time: Seconds,
    /// When it was revoked.
    pub revoke_time: Option<Seconds>,
}

/// A key that is about to be created.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// Whose it is.
    pub consumer: &'a ConsumerId,
    /// SHA-256 of its secret.
    pub digest: Digest,
    /// What it may do. The store writes what it `requires`.
    pub grant: Grant,
    /// For people.
    pub nickname: String,
    /// For people.
    pub description: String,
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

/// What a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read the allowlist's changes.
    Gateway,
}

impl Role {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Admin, Self::Gateway];

    /// The word for it: on the wire, in the database, in logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Admin => "admin",
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
    /// When it came.
    pub create_time: Seconds,
    /// When its token was revoked.
    pub revoke_time: Option<Seconds>,
}

/// Which part of a list is wanted: oldest first, after the item with this ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The ordinal of the last item already seen; 0 for the first page.
    pub after: u64,
    /// How many at most.
    pub limit: u32,
    /// Deleted and revoked ones too.
    pub show_deleted: bool,
}

/// One part of a list.
#[derive(Debug)]
pub struct Part<T> {
    /// The items, newest last.
    pub items: Vec<T>,
    /// Where the next part goes on, if there is one.
    pub next: Option<u64>,
}

/// Where the allowlist stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// One life of one database.
    pub epoch: String,
    /// The last revision given out.
    pub head: u64,
}

/// What changed after a revision: keys and streams, each in order of revision and each cut at the
/// limit, so that the first `limit` of both together are among them.
#[derive(Debug)]
pub struct Feed {
    /// Read in the same transaction as the rows.
    pub standing: Standing,
    /// The revision after which the rows lie; 0 when the gate must start over.
    pub from: u64,
    /// Whether it must.
    pub reset: bool,
    /// Keys, tombstones included.
    pub keys: Vec<FeedKey>,
    /// Streams, tombstones included.
    pub streams: Vec<FeedStream>,
}

/// A key as the feed shows it.
#[derive(Debug)]
pub struct FeedKey {
    /// Its last change.
    pub revision: u64,
    /// SHA-256 of its secret.
    pub digest: Digest,
    /// In force, or not.
    pub state: State,
    /// The grant's own bytes.
    pub grant_json: String,
}

/// A stream as the feed shows it.
#[derive(Debug)]
pub struct FeedStream {
    /// Its last change.
    pub revision: u64,
    /// `active`, or `revoked` once it is deleted.
    pub state: State,
    /// The stream's own bytes.
    pub stream_json: String,
}

/// Why a change or a question is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such consumer.
    NoConsumer,
    /// The id is taken, or was.
    ConsumerExists,
    /// It is deleted and takes no more streams or keys.
    ConsumerDeleted,
    /// It still has this many active streams and keys.
    ConsumerInUse(u64, u64),
    /// The consumer has no such stream.
    NoStream,
    /// The id is taken, by this consumer or another.
    StreamExists,
    /// It is deleted and cannot be changed.
    StreamDeleted,
    /// This many active keys are granted it.
    StreamInUse(u64),
    /// There are as many as a gate takes.
    TooManyStreams,
    /// A grant names, in this place, a stream that the consumer does not have.
    GrantNamesNoStream(usize, StreamId),
    /// A grant names streams of two environments.
    GrantMixesEnvironments,
    /// A grant has this many bytes, more than a gate reads.
    GrantTooLarge(usize),
    /// A key would not begin before it ends.
    KeyEndsBeforeItBegins,
    /// A key would have ended already.
    KeyEndsInThePast,
    /// The consumer has no such key.
    NoKey,
    /// It is revoked and cannot be changed.
    KeyRevoked,
    /// No such principal.
    NoPrincipal,
    /// The id is taken, or was.
    PrincipalExists,
    /// Nobody could administer control without it.
    LastAdmin,
}

/// Why the store did not do as asked.
#[derive(Debug)]
pub enum StoreError {
    /// The caller's doing.
    Refused(Refusal),
    /// The database is busy or gone; asking again may help.
    Unavailable(sqlx::Error),
    /// The database failed, or holds what this program would not have written.
    Broken(Box<dyn core::error::Error + Send + Sync>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(out, "refused: {refusal:?}"),
            Self::Unavailable(error) => write!(out, "the database does not answer: {error}"),
            Self::Broken(error) => write!(out, "the database failed: {error}"),
        }
    }
}

impl core::error::Error for StoreError {}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::Unavailable(error)
            }
            error => Self::Broken(error.into()),
        }
    }
}
