//! Measurement consumers.

use mpgate_contract::ConsumerId;

use super::access::{Caller, Permission};
use super::change::{Mutation, Outcome, Trace, begin};
use super::{Answer, Listed, Listing, Service, resource};
use crate::model::{Action, Consumer, Refusal};
use crate::store::{Count, Read};

impl Service {
    /// Adds a consumer.
    ///
    /// # Errors
    /// [`Refusal::ConsumerExists`], also for the id of a deleted one; [`Refusal::TooMany`].
    pub async fn create_consumer(
        &self,
        mutation: &Mutation<'_>,
        id: &ConsumerId,
        display_name: String,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ManageConsumers, None);
        if change.write.consumer(id).await?.is_some() {
            return Err(Refusal::ConsumerExists.into());
        }
        let max = self.limits.consumers_max;
        if change.write.count(Count::Consumers).await? >= max as u64 {
            return Err(Refusal::TooMany("measurement consumers", max).into());
        }
        let consumer = Consumer {
            id: id.clone(),
            display_name,
            version: 1,
            create_time: change.now,
            delete_time: None,
        };
        change.write.insert_consumer(&consumer).await?;
        let after = resource::consumer(&consumer);
        let action = Action::Create;
        change
            .commit(Trace { action, consumer: Some(id), revision: None, before: None, after })
            .await
    }

    /// Renames a consumer.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`], [`Refusal::ConsumerDeleted`], [`Refusal::OtherEtag`].
    pub async fn patch_consumer(
        &self,
        mutation: &Mutation<'_>,
        id: &ConsumerId,
        display_name: Option<String>,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ManageConsumers, Some(id));
        let old = find(change.write.reader(), id).await?;
        let before = resource::consumer(&old);
        change.expect_etag(&before)?;
        if old.delete_time.is_some() {
            return Err(Refusal::ConsumerDeleted.into());
        }
        let display_name = display_name.unwrap_or_else(|| old.display_name.clone());
        if display_name == old.display_name {
            return change.found(before).await;
        }
        let new = Consumer { display_name, version: old.version.saturating_add(1), ..old };
        change.write.update_consumer(&new).await?;
        let (before, after) = (Some(before), resource::consumer(&new));
        let action = Action::Update;
        change.commit(Trace { action, consumer: Some(id), revision: None, before, after }).await
    }

    /// Deletes a consumer; one that is deleted stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`], [`Refusal::ConsumerInUse`], [`Refusal::OtherEtag`].
    pub async fn delete_consumer(
        &self,
        mutation: &Mutation<'_>,
        id: &ConsumerId,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ManageConsumers, Some(id));
        let old = find(change.write.reader(), id).await?;
        let before = resource::consumer(&old);
        change.expect_etag(&before)?;
        if old.delete_time.is_some() {
            return change.found(before).await;
        }
        let in_use = change.write.in_use(id).await?;
        if (in_use.streams, in_use.keys) != (0, 0) {
            return Err(Refusal::ConsumerInUse(in_use.streams, in_use.keys).into());
        }
        let delete_time = Some(change.now.max(old.create_time));
        let new = Consumer { delete_time, version: old.version.saturating_add(1), ..old };
        change.write.update_consumer(&new).await?;
        let (before, after) = (Some(before), resource::consumer(&new));
        let action = Action::Delete;
        change.commit(Trace { action, consumer: Some(id), revision: None, before, after }).await
    }

    /// One consumer, deleted or not.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`].
    pub async fn consumer(&self, caller: &Caller, id: &ConsumerId) -> Answer<serde_json::Value> {
        caller.may_to(Permission::Read, id)?;
        let mut read = self.store.read().await?;
        Ok(resource::consumer(&find(&mut *read, id).await?))
    }

    /// Part of the consumers that the caller may look at.
    ///
    /// # Errors
    /// The database failed.
    pub async fn consumers(&self, caller: &Caller, listing: Listing) -> Answer<Listed> {
        caller.may(Permission::Read)?;
        let mut read = self.store.read().await?;
        let mut scan = listing.scan();
        while let Some(slice) = scan.next() {
            let part = read.consumers(slice).await?;
            let seen = part.items.iter().filter(|item| caller.sees(Permission::Read, &item.id));
            scan.take(seen.map(resource::consumer).collect(), part.next);
        }
        Ok(scan.end())
    }
}

/// The consumer, deleted or not.
pub(super) async fn find(read: &mut dyn Read, id: &ConsumerId) -> Answer<Consumer> {
    Ok(read.consumer(id).await?.ok_or(Refusal::NoConsumer)?)
}

/// The consumer must be there and take streams and keys.
pub(super) async fn expect_active(read: &mut dyn Read, id: &ConsumerId) -> Answer<()> {
    match find(read, id).await?.delete_time {
        None => Ok(()),
        Some(_) => Err(Refusal::ConsumerDeleted.into()),
    }
}
