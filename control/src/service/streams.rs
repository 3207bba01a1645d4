//! Data streams.

use mpgate_contract::{ConsumerId, State, Stream, StreamId, UpstreamSecret};
use serde_json::Value;

use super::access::{Caller, Permission};
use super::change::{Mutation, Outcome, Trace, begin};
use super::{Answer, Listed, Listing, Service, consumers, resource};
use crate::model::{Action, Refusal, StreamPatch, StreamRecord};
use crate::store::{Count, Read};

/// A stream that is about to be created.
#[derive(Clone, Debug)]
pub struct NewStream {
    /// What the gate is told.
    pub stream: Stream,
    /// For people.
    pub display_name: String,
}

impl Service {
    /// Adds a stream. A deleted one's id may be used again.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`], [`Refusal::ConsumerDeleted`], [`Refusal::StreamExists`],
    /// [`Refusal::TooMany`], [`Refusal::SecretNeedsAdmin`].
    pub async fn create_stream(&self, mutation: &Mutation<'_>, new: NewStream) -> Answer<Outcome> {
        let consumer = new.stream.consumer.clone();
        let mut change = begin!(self, mutation, Permission::Write, Some(&consumer));
        expect_own_choice(change.caller(), &new.stream.upstream_secret)?;
        consumers::expect_active(change.write.reader(), &consumer).await?;
        if change.write.active_stream(&new.stream.id).await?.is_some() {
            return Err(Refusal::StreamExists.into());
        }
        let max = self.limits.streams_max;
        if change.write.count(Count::Streams).await? >= max as u64 {
            return Err(Refusal::TooMany("data streams", max).into());
        }
        let revision = change.write.next_revision().await?;
        let record = StreamRecord {
            stream: new.stream,
            display_name: new.display_name,
            state: State::Active,
            revision,
            create_time: change.now,
            update_time: change.now,
        };
        change.write.insert_stream(&record).await?;
        let trace = Trace {
            action: Action::Create,
            consumer: Some(&consumer),
            revision: Some(revision),
            before: None,
            after: resource::stream(&record),
        };
        change.commit(trace).await
    }

    /// Changes a stream. A patch that changes nothing takes no revision and leaves no trace.
    ///
    /// # Errors
    /// [`Refusal::NoStream`], [`Refusal::StreamDeleted`], [`Refusal::OtherEtag`],
    /// [`Refusal::SecretNeedsAdmin`].
    pub async fn patch_stream(
        &self,
        mutation: &Mutation<'_>,
        consumer: &ConsumerId,
        id: &StreamId,
        patch: StreamPatch,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::Write, Some(consumer));
        let old = find(change.write.reader(), consumer, id).await?;
        let before = resource::stream(&old);
        change.expect_etag(&before)?;
        if old.state != State::Active {
            return Err(Refusal::StreamDeleted.into());
        }
        let mut new = patch.apply(&old);
        if new == old {
            return change.found(before).await;
        }
        if new.stream.upstream_secret != old.stream.upstream_secret {
            expect_own_choice(change.caller(), &new.stream.upstream_secret)?;
        }
        new.revision = change.write.next_revision().await?;
        new.update_time = change.now.max(old.create_time);
        change.write.update_stream(&new).await?;
        let trace = Trace {
            action: Action::Update,
            consumer: Some(consumer),
            revision: Some(new.revision),
            before: Some(before),
            after: resource::stream(&new),
        };
        change.commit(trace).await
    }

    /// Deletes a stream; one that is deleted stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoStream`], [`Refusal::StreamInUse`], [`Refusal::OtherEtag`].
    pub async fn delete_stream(
        &self,
        mutation: &Mutation<'_>,
        consumer: &ConsumerId,
        id: &StreamId,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::Write, Some(consumer));
        let old = find(change.write.reader(), consumer, id).await?;
        let before = resource::stream(&old);
        change.expect_etag(&before)?;
        if old.state != State::Active {
            return change.found(before).await;
        }
        let grants = change.write.grants_of(id).await?;
        if grants > 0 {
            return Err(Refusal::StreamInUse(grants).into());
        }
        let revision = change.write.next_revision().await?;
        let update_time = change.now.max(old.create_time);
        let new = StreamRecord { state: State::Revoked, revision, update_time, ..old };
        change.write.update_stream(&new).await?;
        let trace = Trace {
            action: Action::Delete,
            consumer: Some(consumer),
            revision: Some(revision),
            before: Some(before),
            after: resource::stream(&new),
        };
        change.commit(trace).await
    }

    /// One stream of this consumer, deleted or not.
    ///
    /// # Errors
    /// [`Refusal::NoStream`].
    pub async fn stream(
        &self,
        caller: &Caller,
        consumer: &ConsumerId,
        id: &StreamId,
    ) -> Answer<Value> {
        caller.may_to(Permission::Read, consumer)?;
        let mut read = self.store.read().await?;
        Ok(resource::stream(&find(&mut *read, consumer, id).await?))
    }

    /// Part of a consumer's streams.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`].
    pub async fn streams(
        &self,
        caller: &Caller,
        consumer: &ConsumerId,
        listing: Listing,
    ) -> Answer<Listed> {
        caller.may_to(Permission::Read, consumer)?;
        let mut read = self.store.read().await?;
        consumers::find(&mut *read, consumer).await?;
        let mut scan = listing.scan();
        while let Some(slice) = scan.next() {
            let part = read.streams(consumer, slice).await?;
            scan.take(part.items.iter().map(resource::stream).collect(), part.next);
        }
        Ok(scan.end())
    }
}

async fn find(read: &mut dyn Read, consumer: &ConsumerId, id: &StreamId) -> Answer<StreamRecord> {
    Ok(read.stream(consumer, id).await?.ok_or(Refusal::NoStream)?)
}

/// The gates' environment holds the secrets of all tenants; which one a stream is sent with is not for
/// one tenant to say.
fn expect_own_choice(caller: &Caller, policy: &UpstreamSecret) -> Result<(), Refusal> {
    match policy {
        UpstreamSecret::Keep | UpstreamSecret::None => Ok(()),
        UpstreamSecret::Replace(_) => {
            caller.may(Permission::ChooseSecret).map_err(|_| Refusal::SecretNeedsAdmin)
        }
    }
}
