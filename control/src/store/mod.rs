//! What control remembers, behind a trait that a database implements: rows in, rows out, in
//! transactions. The rules of what may be changed are in `service`; here is only what must hold of the
//! data itself.
//!
//! No HTTP here, no JSON of the API, no secret in clear: only digests come in.

mod error;
pub mod place;
pub mod postgres;
mod row;
pub mod sqlite;

use async_trait::async_trait;
use mpgate_contract::{ConsumerId, Digest, Environment, KeyId, State, StreamId};
use serde_json::Value;
use tokio::sync::watch;

use crate::model::{
    AuditEvent, Consumer, Gateway, GatewayId, KeyEnd, KeyRecord, KeyUse, Millis, Part, Principal,
    PrincipalEnd, Reconciliation, Scope, Seconds, SenderDay, Slice, StreamRecord, Token, TokenId,
    UsageCount, UsageQuery, UsageSum,
};
use crate::names::PrincipalId;

pub use error::{OpenError, StoreError};

/// What a method of the store answers.
pub type Stored<T> = Result<T, StoreError>;

/// A database.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// One snapshot to read from: all answers are of the same moment.
    async fn read(&self) -> Stored<Box<dyn Read>>;

    /// The one transaction that may change something. It begins after every earlier one was
    /// committed, so that revisions are given out in commit order. Dropped, it changes nothing.
    async fn write(&self) -> Stored<Box<dyn Write>>;

    /// Tells of each commit that moved the head, also of other processes' ones, those a little later.
    /// What it says is a hint: the truth is read.
    fn watch_head(&self) -> watch::Receiver<Standing>;

    /// Closes the database after what is under way.
    async fn close(&self);
}

/// Where the allowlist stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// One life of one database.
    pub epoch: String,
    /// The last revision given out.
    pub head: u64,
}

/// How many there are of what a consumer has, those that are deleted or revoked left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Streams.
    pub streams: u64,
    /// Keys, disabled ones too.
    pub keys: u64,
}

/// What may be counted over all consumers, those that are deleted or revoked left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Consumers.
    Consumers,
    /// Streams.
    Streams,
    /// Keys, disabled ones too.
    Keys,
    /// Different senders of those keys.
    Senders,
    /// Principals.
    Principals,
    /// Administrators that hold a token without an end.
    Admins,
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

/// Part of the feed: keys and streams that changed after a revision, each in order of revision and
/// each cut at the limit, so that the first `limit` of both together are among them.
#[derive(Debug, Default)]
pub struct FeedRows {
    /// Keys, tombstones included.
    pub keys: Vec<FeedKey>,
    /// Streams, tombstones included.
    pub streams: Vec<FeedStream>,
}

/// A request that was done once and may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneRequest {
    /// Which request it was: SHA-256 of what was asked for.
    pub fingerprint: Digest,
    /// What came of it.
    pub done: Done,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The place in the trail of what it did.
    Changed(u64),
    /// It did nothing: the resource was as it was to be, and was shown so.
    Unchanged(Value),
}

/// Reading, in one snapshot.
#[async_trait]
pub trait Read: Send {
    /// Where the allowlist stands.
    async fn standing(&mut self) -> Stored<Standing>;
    /// How many there are.
    async fn count(&mut self, what: Count) -> Stored<u64>;

    /// A consumer, deleted or not.
    async fn consumer(&mut self, id: &ConsumerId) -> Stored<Option<Consumer>>;
    /// Consumers, in the order in which they came.
    async fn consumers(&mut self, slice: Slice) -> Stored<Part<Consumer>>;
    /// What a consumer has.
    async fn in_use(&mut self, consumer: &ConsumerId) -> Stored<InUse>;

    /// The latest stream of this id that this consumer has or had.
    async fn stream(
        &mut self,
        consumer: &ConsumerId,
        id: &StreamId,
    ) -> Stored<Option<StreamRecord>>;
    /// The active stream of this id, whoever has it.
    async fn active_stream(&mut self, id: &StreamId) -> Stored<Option<StreamRecord>>;
    /// A consumer's streams, in the order in which they came.
    async fn streams(&mut self, consumer: &ConsumerId, slice: Slice) -> Stored<Part<StreamRecord>>;
    /// How many keys that are not revoked are granted a stream.
    async fn grants_of(&mut self, id: &StreamId) -> Stored<u64>;

    /// A consumer's key, revoked or not.
    async fn key(&mut self, consumer: &ConsumerId, id: &KeyId) -> Stored<Option<KeyRecord>>;
    /// A consumer's keys, in the order in which they came.
    async fn keys(&mut self, consumer: &ConsumerId, slice: Slice) -> Stored<Part<KeyRecord>>;
    /// Whether a key of this digest is there, revoked or not.
    async fn has_digest(&mut self, digest: Digest) -> Stored<bool>;
    /// Whether a key that is not revoked has this sender.
    async fn has_sender(&mut self, sender: &str) -> Stored<bool>;
    /// The active keys that end after a time, soonest first.
    async fn key_ends(&mut self, after: Seconds, limit: u32) -> Stored<Vec<KeyEnd>>;
    /// What the gates saw of these keys, in their order.
    async fn uses(&mut self, keys: &[KeyId]) -> Stored<Vec<KeyUse>>;

    /// Whose these keys are and for which environment, in their order.
    async fn places(&mut self, keys: &[KeyId]) -> Stored<Vec<Option<(ConsumerId, Environment)>>>;
    /// What the gates counted, by span, key, stream and name, in that order.
    async fn usage(&mut self, query: &UsageQuery) -> Stored<Vec<UsageSum>>;

    /// The senders of a consumer's keys, those of revoked keys too.
    async fn senders(&mut self, consumer: &ConsumerId) -> Stored<Vec<String>>;
    /// What backends posted of a consumer, in the order in which it came.
    async fn reconciliations(
        &mut self,
        consumer: &ConsumerId,
        slice: Slice,
    ) -> Stored<Part<Reconciliation>>;
    /// The newest day of each consumer, sender and stream, in this order; up to `limit` events.
    async fn newest_reconciliations(&mut self, limit: u32) -> Stored<Vec<Reconciliation>>;

    /// A principal, revoked or not.
    async fn principal(&mut self, id: &PrincipalId) -> Stored<Option<Principal>>;
    /// Principals, in the order in which they came.
    async fn principals(&mut self, slice: Slice) -> Stored<Part<Principal>>;
    /// The token of this digest and whose it is, whatever has become of both.
    async fn token(&mut self, digest: Digest) -> Stored<Option<(Principal, Token)>>;
    /// A principal's tokens, in the order in which they came.
    async fn tokens(&mut self, principal: &PrincipalId) -> Stored<Vec<Token>>;
    /// When the last token of each of these principals ends by itself, in their order; none where one has
    /// no end, or all were revoked.
    async fn token_ends(&mut self, principals: &[PrincipalId]) -> Stored<Vec<Option<Seconds>>>;
    /// The principals whose last token ends after a time, soonest first.
    async fn principal_ends(&mut self, after: Seconds, limit: u32) -> Stored<Vec<PrincipalEnd>>;

    /// The trail, oldest first; or newest first, then before the event of that ordinal.
    async fn audit(&mut self, slice: Slice, newest_first: bool) -> Stored<Part<AuditEvent>>;
    /// The event at this place.
    async fn audit_event(&mut self, ordinal: u64) -> Stored<Option<AuditEvent>>;
    /// When the first change after a revision was made.
    async fn change_time_after(&mut self, revision: u64) -> Stored<Option<Seconds>>;
    /// What this principal's request did, if it was done.
    async fn request(
        &mut self,
        principal: &PrincipalId,
        request_id: &str,
    ) -> Stored<Option<DoneRequest>>;

    /// Now, by a clock that all who use this database share.
    async fn now_millis(&mut self) -> Stored<Millis>;
    /// Gateways seen since a time.
    async fn gateways(&mut self, since: Millis) -> Stored<Vec<Gateway>>;

    /// What changed after a revision, of one scope.
    async fn feed(&mut self, after: u64, scope: &Scope, limit: u32) -> Stored<FeedRows>;
}

/// Changing, in one transaction, which reads what it wrote.
#[async_trait]
pub trait Write: Read {
    /// For calls of the methods that read.
    fn reader(&mut self) -> &mut dyn Read;

    /// Takes the next revision.
    async fn next_revision(&mut self) -> Stored<u64>;
    /// Begins a new life of the database: the head stays, the epoch is another.
    async fn set_epoch(&mut self, epoch: &str) -> Stored<()>;

    /// Adds a consumer.
    async fn insert_consumer(&mut self, consumer: &Consumer) -> Stored<()>;
    /// Writes a consumer anew.
    async fn update_consumer(&mut self, consumer: &Consumer) -> Stored<()>;

    /// Adds a stream, or takes up the deleted one of the same id, consumer and environment again.
    async fn insert_stream(&mut self, stream: &StreamRecord) -> Stored<()>;
    /// Writes a stream anew.
    async fn update_stream(&mut self, stream: &StreamRecord) -> Stored<()>;

    /// Adds a key.
    async fn insert_key(&mut self, key: &KeyRecord, digest: Digest) -> Stored<()>;
    /// Writes a key anew: all but its id, secret, consumer and environment.
    async fn update_key(&mut self, key: &KeyRecord) -> Stored<()>;
    /// Adds what the gates saw of keys. Keys that are not known are left out.
    async fn add_uses(&mut self, uses: &[(KeyId, KeyUse)]) -> Stored<()>;

    /// Notes that a VM's report was counted; `false` if it was before.
    async fn take_report(
        &mut self,
        principal: &PrincipalId,
        vm: &str,
        sequence: u64,
        now: Seconds,
    ) -> Stored<bool>;
    /// Adds to the hours of keys that are known.
    async fn add_usage(&mut self, counts: &[UsageCount]) -> Stored<()>;
    /// Puts these in the place of what was kept of a consumer's sender, stream and day.
    async fn put_reconciliations(
        &mut self,
        consumer: &ConsumerId,
        of: &SenderDay,
        all: &[Reconciliation],
    ) -> Stored<()>;
    /// Forgets up to `limit` numbers of hours, and of days, and VMs, from before these times; how many.
    async fn forget_usage(&mut self, hours: Seconds, vms: Seconds, limit: u32) -> Stored<u64>;

    /// Adds a principal.
    async fn insert_principal(&mut self, principal: &Principal) -> Stored<()>;
    /// Writes a principal anew.
    async fn update_principal(&mut self, principal: &Principal) -> Stored<()>;
    /// Adds a token.
    async fn insert_token(&mut self, token: &Token, digest: Digest) -> Stored<()>;
    /// Writes a token's end anew.
    async fn update_token(&mut self, token: &Token) -> Stored<()>;
    /// Records when tokens were used; an earlier time than the recorded one changes nothing.
    async fn touch_tokens(&mut self, uses: &[(TokenId, Seconds)]) -> Stored<()>;

    /// Adds to the trail and answers the place.
    async fn append(&mut self, event: &AuditEvent) -> Stored<u64>;
    /// Remembers a request.
    async fn put_request(
        &mut self,
        principal: &PrincipalId,
        request_id: &str,
        request: &DoneRequest,
        now: Seconds,
    ) -> Stored<()>;
    /// Forgets requests from before a time.
    async fn forget_requests(&mut self, before: Seconds) -> Stored<()>;

    /// Writes what gateways said of themselves, unless they said something later since. What
    /// seems to be said in the future was not: a clock was put right.
    async fn put_gateways(&mut self, gateways: &[Gateway]) -> Stored<()>;
    /// Forgets gateways that were last seen before a time.
    async fn forget_gateways(&mut self, before: Millis) -> Stored<Vec<GatewayId>>;
    /// Of each principal that has more gateways than `places`, forgets those that were seen the longest ago, if that was
    /// before a time.
    async fn crowd_out_gateways(&mut self, before: Millis, places: usize) -> Stored<()>;

    /// Makes all of it so, and wakes who waits for the head.
    async fn commit(self: Box<Self>) -> Stored<()>;
}

/// The environment's word in the database.
pub(crate) fn environment(word: &str) -> Option<Environment> {
    [Environment::Production, Environment::Staging, Environment::Development]
        .into_iter()
        .find(|environment| environment.label() == word)
}

/// Tells who waits. Two commits may be told of in the wrong order; the head does not go back for that.
fn announce(head: &watch::Sender<Standing>, found: Standing) {
    head.send_if_modified(|known| {
        let news = known.epoch != found.epoch || found.head > known.head;
        if news {
            *known = found;
        }
        news
    });
}

/// A name for one life of a database: 128 random bits.
pub(crate) fn new_epoch() -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(hex::encode(random))
}
