//! Why a change or a question is refused. Nothing was changed.

use mpgate_contract::StreamId;

use super::{KeyState, Role, Seconds};

/// Why not, and what of it can be told. `api::problem` has the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The caller's role may not do this, or not to this consumer.
    PermissionDenied(Role),
    /// A member is wrong in a way that only the whole request shows: the member, and the rule.
    Invalid(&'static str, &'static str),
    /// The resource has changed since its `etag` was read.
    OtherEtag,
    /// The request id was used for another request.
    RequestIdTaken,
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
    /// Only an administrator chooses which secret of the gate's environment a stream is sent with.
    SecretNeedsAdmin,
    /// There are as many of these as there may be: what, and how many.
    TooMany(&'static str, usize),
    /// A grant names, in this place, a stream that the consumer does not have.
    GrantNamesNoStream(usize, StreamId),
    /// A grant names streams of two environments.
    GrantMixesEnvironments,
    /// A key would move to streams of another environment.
    KeyKeepsItsEnvironment,
    /// The consumer has no active stream in the environment that a key is asked for.
    NoStreamInEnvironment,
    /// A grant has this many bytes, more than a gate reads.
    GrantTooLarge(usize),
    /// A key would not begin before it ends.
    KeyEndsBeforeItBegins,
    /// A key would have ended already.
    KeyEndsInThePast,
    /// The consumer has no such key.
    NoKey,
    /// It cannot be changed in this state.
    KeyIs(KeyState),
    /// The key's time is over.
    KeyExpired,
    /// It has a successor already.
    KeyRotated,
    /// The secret is in use, or was: taken back for good.
    SecretTaken,
    /// A principal cannot be bound to this one, which is not there.
    BindingNamesNoConsumer(usize),
    /// No such principal.
    NoPrincipal,
    /// The id is taken, or was.
    PrincipalExists,
    /// It is revoked and cannot be changed.
    PrincipalRevoked,
    /// The token ended, or was revoked, while the request waited.
    TokenEnded,
    /// The principal has no such token.
    NoToken,
    /// A token would have ended already.
    TokenEndsInThePast,
    /// Nobody could administer control without it.
    LastAdmin,
    /// Nobody could administer control once the new token has ended.
    LastAdminEnds,
    /// No such gateway was seen lately.
    NoGateway,
    /// The gateway was heard of in the last so many seconds.
    GatewayIsLive(Seconds),
    /// These totals are wrong, in the order in which they came.
    Totals(Vec<TotalFault>),
}

/// What is wrong with one of the totals that were posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotalFault {
    /// Which one, from 0.
    pub place: usize,
    /// Which member of it.
    pub member: &'static str,
    /// The rule.
    pub rule: String,
}
