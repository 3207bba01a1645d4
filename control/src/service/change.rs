//! The frame of every change: permission, the request that was done already, the transaction, the
//! trace, the commit.

use mpgate_contract::{ConsumerId, Digest};
use serde_json::Value;

use super::access::{Caller, Permission};
use super::{Answer, Service};
use crate::keys::Shown;
use crate::model::{Action, AuditEvent, Refusal, Seconds};
use crate::store::{Done, DoneRequest, Write};
use crate::time;

/// How long a request may be repeated and is answered as the first time, in seconds.
const REMEMBERED_SECONDS: Seconds = 24 * 60 * 60;

/// Who wants a change, and under which conditions.
#[derive(Clone, Debug)]
pub struct Mutation<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// Only once, however often it is asked for.
    pub once: Option<Once>,
    /// Only if the resource is still the one that was read.
    pub etag: Option<String>,
}

/// A request that may be repeated without being done again (AIP-155).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// A UUID of the caller's.
    pub request_id: String,
    /// SHA-256 of what is asked for: another request under the same id is refused.
    pub fingerprint: Digest,
}

/// What came of a change.
pub struct Outcome {
    /// The resource, as the API shows it.
    pub resource: Value,
    /// Its secret, which is shown this once.
    pub secret: Option<Shown>,
    /// Whether it was done before, by a request of the same id.
    pub replayed: bool,
}

/// What the trail is told.
pub(super) struct Trace<'a> {
    pub(super) action: Action,
    pub(super) consumer: Option<&'a ConsumerId>,
    pub(super) revision: Option<u64>,
    pub(super) before: Option<Value>,
    pub(super) after: Value,
}

/// A change under way. Dropped, it changes nothing.
pub(super) struct Change<'a> {
    pub(super) write: Box<dyn Write>,
    pub(super) now: Seconds,
    mutation: &'a Mutation<'a>,
}

/// Whether there is something to do.
pub(super) enum Begun<'a> {
    Now(Change<'a>),
    Before(Outcome),
}

/// Begins a change. What was done before by a request of the same id is answered at once.
macro_rules! begin {
    ($service:expr, $mutation:expr, $permission:expr, $consumer:expr) => {
        match $service.begin($mutation, $permission, $consumer).await? {
            $crate::service::change::Begun::Now(change) => change,
            $crate::service::change::Begun::Before(outcome) => return Ok(outcome),
        }
    };
}
pub(super) use begin;

impl Outcome {
    /// A resource that was changed, or found as it was to be.
    pub(super) fn of(resource: Value) -> Self {
        Self { resource, secret: None, replayed: false }
    }
}

impl Service {
    pub(super) async fn begin<'a>(
        &self,
        mutation: &'a Mutation<'a>,
        permission: Permission,
        consumer: Option<&ConsumerId>,
    ) -> Answer<Begun<'a>> {
        let allowed = |caller: &Caller| match consumer {
            Some(consumer) => caller.may_to(permission, consumer),
            None => caller.may(permission),
        };
        let caller = mutation.caller;
        allowed(caller)?;
        let mut write = self.store.write().await?;
        // Once more, with the lock: no change of somebody's comes after the one that shut them out.
        allowed(&caller.again(write.reader()).await?)?;
        let now = time::now();
        if let Some(once) = &mutation.once {
            write.forget_requests(now.saturating_sub(REMEMBERED_SECONDS)).await?;
            let done = write.request(&caller.principal.id, &once.request_id).await?;
            if let Some(done) = done {
                if done.fingerprint != once.fingerprint {
                    return Err(Refusal::RequestIdTaken.into());
                }
                let resource = match done.done {
                    Done::Unchanged(found) => found,
                    Done::Changed(ordinal) => {
                        let event = write.audit_event(ordinal).await?;
                        event.and_then(|event| event.after).unwrap_or_default()
                    }
                };
                return Ok(Begun::Before(Outcome { resource, secret: None, replayed: true }));
            }
        }
        Ok(Begun::Now(Change { write, now, mutation }))
    }
}

impl Change<'_> {
    pub(super) fn caller(&self) -> &Caller {
        self.mutation.caller
    }

    /// The caller's `etag`, if there is one, must be the resource's.
    pub(super) fn expect_etag(&self, resource: &Value) -> Result<(), Refusal> {
        match &self.mutation.etag {
            Some(etag) if resource["etag"] != etag.as_str() => Err(Refusal::OtherEtag),
            _ => Ok(()),
        }
    }

    /// Writes the trace, remembers the request, and makes it all so.
    pub(super) async fn commit(mut self, trace: Trace<'_>) -> Answer<Outcome> {
        let caller = self.mutation.caller;
        let resource = trace.after.clone();
        let name = trace.after["name"].as_str().unwrap_or_default().to_owned();
        let event = AuditEvent {
            ordinal: 0,
            time: self.now,
            principal: Some(caller.principal.id.clone()),
            source: caller.source.map(|source| source.to_string()),
            action: trace.action,
            resource: name,
            consumer: trace.consumer.cloned(),
            request_id: Some(caller.request_id.clone()),
            revision: trace.revision,
            before: trace.before,
            after: Some(trace.after),
            denial: None,
        };
        let ordinal = self.write.append(&event).await?;
        self.remember(Done::Changed(ordinal)).await?;
        self.write.commit().await?;
        Ok(Outcome::of(resource))
    }

    /// There is nothing to do: the resource is as it was to be. No trace, but the request is remembered; done later, it
    /// might undo what others did since.
    pub(super) async fn found(mut self, resource: Value) -> Answer<Outcome> {
        if self.mutation.once.is_some() {
            self.remember(Done::Unchanged(resource.clone())).await?;
            self.write.commit().await?;
        }
        Ok(Outcome::of(resource))
    }

    async fn remember(&mut self, done: Done) -> Answer<()> {
        if let Some(once) = &self.mutation.once {
            let request = DoneRequest { fingerprint: once.fingerprint, done };
            let principal = &self.mutation.caller.principal.id;
            self.write.put_request(principal, &once.request_id, &request, self.now).await?;
        }
        Ok(())
    }
}
