//! API keys: created, adopted, changed, revoked, looked at.

use mpgate_contract::{
    CertificateName, ConsumerId, Digest, Environment, EventPattern, Grant, KeyId, Network, Secret,
    SenderName, StreamId,
};
use serde_json::{Map, Value};

use super::access::{Caller, Permission};
use super::change::{Change, Mutation, Outcome, Trace, begin};
use super::grant::{all_of, environment_of, expect_life, expect_strong, whole};
use super::{Answer, Listed, Listing, Service, advice, consumers, resource};
use crate::keys::{issue_key, issue_key_id};
use crate::model::{Action, KeyPatch, KeyRecord, KeyState, KeyUse, Origin, Refusal, Seconds};
use crate::store::{Count, Read};

const RESERVED: &str = "Metrics call unknown senders 'unknown', and those without series of their own 'other': \
    choose another name for the sender.";

/// A key that is about to be created.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose it is.
    pub consumer: ConsumerId,
    /// Who sends with it.
    pub sender: SenderName,
    /// The streams it may write.
    pub streams: Streams,
    /// The events it may send; empty: all.
    pub events: Vec<EventPattern>,
    /// The networks it may send from; empty: any.
    pub source_networks: Vec<Network>,
    /// The certificate names of which it must bring one; empty: none is asked for.
    pub certificate_names: Vec<CertificateName>,
    /// The first second at which it is valid, Unix time.
    pub not_before: Option<u64>,
    /// The first second at which it is valid no more, Unix time.
    pub expire_time: Option<u64>,
    /// For people.
    pub nickname: String,
    /// For people.
    pub description: String,
}

/// Which streams a new key may write.
#[derive(Clone, Debug)]
pub enum Streams {
    /// These.
    Named(Vec<StreamId>),
    /// All that the consumer has in this environment.
    AllOf(Environment),
}

/// What is adopted: an existing secret, by itself or by what it hashes to.
pub enum Adopted {
    /// Its owner typed it in.
    Secret(Secret<'static>),
    /// Only the digest is known here.
    Digest(Digest),
}

impl Service {
    /// Issues a key. The secret is in the outcome, unless the request was done before.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`], [`Refusal::ConsumerDeleted`], [`Refusal::TooMany`], and what a grant is
    /// refused for: [`Refusal::GrantNamesNoStream`], [`Refusal::GrantMixesEnvironments`],
    /// [`Refusal::NoStreamInEnvironment`], [`Refusal::GrantTooLarge`], [`Refusal::KeyEndsInThePast`],
    /// [`Refusal::KeyEndsBeforeItBegins`]; [`Refusal::Invalid`] for a new sender of a reserved name.
    pub async fn create_key(&self, mutation: &Mutation<'_>, new: NewKey) -> Answer<Outcome> {
        let change = begin!(self, mutation, Permission::Write, Some(&new.consumer));
        let issued = issue_key()?;
        let outcome = self.add_key(change, new, issued.id, issued.digest, Action::Create).await?;
        Ok(Outcome { secret: Some(issued.secret), ..outcome })
    }

    /// Makes a key of a secret that is in use already.
    ///
    /// # Errors
    /// As [`Service::create_key`], and [`Refusal::SecretTaken`] for one that is or was on the list,
    /// [`Refusal::Invalid`] for one that is guessed too easily, [`Refusal::PermissionDenied`] for a
    /// digest from anybody but an administrator.
    pub async fn adopt_key(
        &self,
        mutation: &Mutation<'_>,
        new: NewKey,
        adopted: Adopted,
    ) -> Answer<Outcome> {
        if matches!(adopted, Adopted::Digest(_)) {
            mutation.caller.may_to(Permission::AdoptDigest, &new.consumer)?;
        }
        let mut change = begin!(self, mutation, Permission::Write, Some(&new.consumer));
        let digest = match adopted {
            Adopted::Digest(digest) => digest,
            Adopted::Secret(secret) => {
                expect_strong(&secret)?;
                secret.digest()
            }
        };
        if change.write.has_digest(digest).await? {
            return Err(Refusal::SecretTaken.into());
        }
        self.add_key(change, new, issue_key_id()?, digest, Action::Adopt).await
    }

    async fn add_key(
        &self,
        mut change: Change<'_>,
        new: NewKey,
        key_id: KeyId,
        digest: Digest,
        action: Action,
    ) -> Answer<Outcome> {
        let consumer = new.consumer;
        consumers::expect_active(change.write.reader(), &consumer).await?;
        let (streams, environment) = match new.streams {
            Streams::Named(streams) => {
                let environment =
                    environment_of(change.write.reader(), &consumer, &streams).await?;
                (streams, environment)
            }
            Streams::AllOf(environment) => {
                let streams = all_of(change.write.reader(), &consumer, environment).await?;
                (streams, environment)
            }
        };
        self.expect_room(change.write.reader(), &new.sender).await?;
        let grant = Grant {
            key_id,
            sender: new.sender,
            streams,
            not_before: new.not_before,
            expire_time: new.expire_time,
            events: new.events,
            source_networks: new.source_networks,
            certificate_names: new.certificate_names,
            requires: vec![],
        };
        expect_life(None, &grant, change.now)?;
        let grant = whole(grant)?;
        let revision = change.write.next_revision().await?;
        let record = KeyRecord {
            consumer,
            environment,
            grant,
            nickname: new.nickname,
            description: new.description,
            state: KeyState::Active,
            origin: if action == Action::Adopt { Origin::Adopted } else { Origin::Issued },
            predecessor: None,
            successor: None,
            revision,
            create_time: change.now,
            revoke_time: None,
        };
        change.write.insert_key(&record, digest).await?;
        let outcome = commit(change, action, &record, None).await?;
        Ok(self.with_warnings(outcome, &record).await)
    }

    /// Changes a key. A patch that changes nothing takes no revision and leaves no trace.
    ///
    /// # Errors
    /// [`Refusal::NoKey`], [`Refusal::KeyIs`] for a revoked one, [`Refusal::OtherEtag`],
    /// [`Refusal::KeyKeepsItsEnvironment`], and what a new key of that grant is refused for.
    pub async fn patch_key(
        &self,
        mutation: &Mutation<'_>,
        consumer: &ConsumerId,
        id: &KeyId,
        patch: KeyPatch,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::Write, Some(consumer));
        let old = find(change.write.reader(), consumer, id).await?;
        let before = resource::key(&old, change.now);
        change.expect_etag(&before)?;
        if old.state == KeyState::Revoked {
            return Err(Refusal::KeyIs(old.state).into());
        }
        let mut new = patch.apply(&old);
        if new == old {
            let found = seen_one(change.write.reader(), &old, change.now).await?;
            return change.found(found).await;
        }
        if new.grant.streams != old.grant.streams {
            let reader = change.write.reader();
            if environment_of(reader, consumer, &new.grant.streams).await? != old.environment {
                return Err(Refusal::KeyKeepsItsEnvironment.into());
            }
        }
        expect_life(Some(&old.grant), &new.grant, change.now)?;
        new.grant = whole(new.grant)?;
        new.revision = change.write.next_revision().await?;
        change.write.update_key(&new).await?;
        let outcome = commit(change, Action::Update, &new, Some(before)).await?;
        Ok(self.with_warnings(outcome, &new).await)
    }

    /// Revokes a key for good; one that is revoked stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoKey`], [`Refusal::OtherEtag`].
    pub async fn revoke_key(
        &self,
        mutation: &Mutation<'_>,
        consumer: &ConsumerId,
        id: &KeyId,
    ) -> Answer<Outcome> {
        self.end_key(mutation, consumer, id, |old, now| {
            if old.state == KeyState::Revoked {
                return Ok(None);
            }
            let revoke_time = Some(now.max(old.create_time));
            let new = KeyRecord { state: KeyState::Revoked, revoke_time, ..old.clone() };
            Ok(Some((Action::Delete, new)))
        })
        .await
    }

    /// A change of a key's state: `turn` says which, or that there is nothing to do.
    pub(super) async fn end_key(
        &self,
        mutation: &Mutation<'_>,
        consumer: &ConsumerId,
        id: &KeyId,
        turn: impl FnOnce(&KeyRecord, Seconds) -> Result<Option<(Action, KeyRecord)>, Refusal>,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::Write, Some(consumer));
        let old = find(change.write.reader(), consumer, id).await?;
        let before = resource::key(&old, change.now);
        change.expect_etag(&before)?;
        let Some((action, mut new)) = turn(&old, change.now)? else {
            let found = seen_one(change.write.reader(), &old, change.now).await?;
            return change.found(found).await;
        };
        new.revision = change.write.next_revision().await?;
        change.write.update_key(&new).await?;
        commit(change, action, &new, Some(before)).await
    }

    /// One key of this consumer, revoked or not, with what the gates saw of it.
    ///
    /// # Errors
    /// [`Refusal::NoKey`].
    pub async fn key(&self, caller: &Caller, consumer: &ConsumerId, id: &KeyId) -> Answer<Value> {
        caller.may_to(Permission::Read, consumer)?;
        let mut read = self.store.read().await?;
        let record = find(&mut *read, consumer, id).await?;
        seen_one(&mut *read, &record, crate::time::now()).await
    }

    /// Part of a consumer's keys, with what the gates saw of them.
    ///
    /// # Errors
    /// [`Refusal::NoConsumer`].
    pub async fn keys(
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
            let part = read.keys(consumer, slice).await?;
            scan.take(seen(&mut *read, &part.items, crate::time::now()).await?, part.next);
        }
        Ok(scan.end())
    }

    /// There must be room for one more key, and for its sender, whose name must be free.
    pub(super) async fn expect_room(&self, read: &mut dyn Read, sender: &SenderName) -> Answer<()> {
        let keys_max = self.limits.keys_max;
        if read.count(Count::Keys).await? >= keys_max as u64 {
            return Err(Refusal::TooMany("API keys", keys_max).into());
        }
        if read.has_sender(sender.as_str()).await? {
            return Ok(());
        }
        if sender.is_reserved() {
            return Err(Refusal::Invalid("sender", RESERVED).into());
        }
        let senders_max = self.limits.senders_max;
        if read.count(Count::Senders).await? >= senders_max as u64 {
            return Err(Refusal::TooMany("senders", senders_max).into());
        }
        Ok(())
    }
}

/// Commits a change of a key. The trail has the key by itself; the answer also what the gates saw of it.
pub(super) async fn commit(
    change: Change<'_>,
    action: Action,
    record: &KeyRecord,
    before: Option<Value>,
) -> Answer<Outcome> {
    commit_beside(change, action, record, before, Map::new()).await
}

/// As [`commit`], with members beside those of the key, in the trail and in the answer.
pub(super) async fn commit_beside(
    mut change: Change<'_>,
    action: Action,
    record: &KeyRecord,
    before: Option<Value>,
    beside: Map<String, Value>,
) -> Answer<Outcome> {
    let with = |mut key: Value| {
        if let Value::Object(members) = &mut key {
            members.extend(beside.clone());
        }
        key
    };
    let shown = with(seen_one(change.write.reader(), record, change.now).await?);
    let trace = Trace {
        action,
        consumer: Some(&record.consumer),
        revision: Some(record.revision),
        before,
        after: with(resource::key(record, change.now)),
    };
    Ok(Outcome { resource: shown, ..change.commit(trace).await? })
}

pub(super) async fn find(
    read: &mut dyn Read,
    consumer: &ConsumerId,
    id: &KeyId,
) -> Answer<KeyRecord> {
    Ok(read.key(consumer, id).await?.ok_or(Refusal::NoKey)?)
}

/// Keys with what the gates saw of them and of their successors.
async fn seen(read: &mut dyn Read, records: &[KeyRecord], now: Seconds) -> Answer<Vec<Value>> {
    let ids: Vec<_> = records.iter().map(|record| record.grant.key_id.clone()).collect();
    let successors: Vec<_> = records.iter().filter_map(|it| it.successor.clone()).collect();
    let uses = read.uses(&ids).await?;
    let mut successor_uses = read.uses(&successors).await?.into_iter();
    let shown = records.iter().zip(uses).map(|(record, key_use)| {
        let successor: Option<KeyUse> =
            record.successor.as_ref().and_then(|_| successor_uses.next());
        let advice = advice::advice(record, key_use, successor, now);
        resource::seen_key(record, key_use, &advice, now)
    });
    Ok(shown.collect())
}

async fn seen_one(read: &mut dyn Read, record: &KeyRecord, now: Seconds) -> Answer<Value> {
    let mut shown = seen(read, core::slice::from_ref(record), now).await?;
    Ok(shown.pop().unwrap_or_default())
}
