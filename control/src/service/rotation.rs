//! Keys that get a successor, and keys that are out of force for a while.

use mpgate_contract::{ConsumerId, Grant, KeyId};
use serde_json::{Map, Value};

use super::access::Permission;
use super::change::{Mutation, Outcome, begin};
use super::grant::{expect_life, whole};
use super::keys::{commit_beside, find};
use super::{Answer, Service, resource};
use crate::keys::issue_key;
use crate::model::{Action, KeyRecord, KeyState, Origin, Refusal, Seconds};
use crate::time;
use crate::time::to_text;

/// How long the old key goes on, where the request does not say: 7 days, in seconds.
pub const OVERLAP_DEFAULT: Seconds = 7 * 24 * 60 * 60;

/// The longest overlap: what is not rotated in 90 days is not being rotated.
const OVERLAP_MAX: Seconds = 90 * 24 * 60 * 60;

/// How a key is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long the old key goes on, in seconds; never past its own end.
    pub overlap: Seconds,
    /// When the new key ends, Unix time. `None`: after as long a life as the old one was given.
    pub expire_time: Option<u64>,
}

impl Service {
    /// Issues a key of the same sender and grant, and gives the old one an end.
    ///
    /// # Errors
    /// [`Refusal::NoKey`], [`Refusal::KeyIs`], [`Refusal::KeyExpired`], [`Refusal::KeyRotated`],
    /// [`Refusal::OtherEtag`], [`Refusal::TooMany`], [`Refusal::Invalid`] for an overlap that is too
    /// long, [`Refusal::KeyEndsInThePast`].
    pub async fn rotate_key(
        &self,
        mutation: &Mutation<'_>,
        consumer: &ConsumerId,
        id: &KeyId,
        rotation: Rotation,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::Write, Some(consumer));
        let now = change.now;
        let mut old = find(change.write.reader(), consumer, id).await?;
        let before = resource::key(&old, now);
        change.expect_etag(&before)?;
        if !(0..=OVERLAP_MAX).contains(&rotation.overlap) {
            return Err(Refusal::Invalid("overlap", "An overlap is 0 to 90 days.").into());
        }
        if old.state != KeyState::Active {
            return Err(Refusal::KeyIs(old.state).into());
        }
        if old.is_expired(now) {
            return Err(Refusal::KeyExpired.into());
        }
        // Its own end was brought nearer by the first rotation: the life it was given is its successor's.
        let mut whole_life = renewed_end(&old, now);
        if let Some(successor) = &old.successor {
            let successor = find(change.write.reader(), consumer, successor).await?;
            if successor.state != KeyState::Revoked {
                return Err(Refusal::KeyRotated.into());
            }
            whole_life = renewed_end(&successor, now);
        }
        self.expect_room(change.write.reader(), &old.grant.sender).await?;

        let issued = issue_key()?;
        let expire_time = rotation.expire_time.or(whole_life);
        let grant =
            Grant { key_id: issued.id.clone(), not_before: None, expire_time, ..old.grant.clone() };
        expect_life(None, &grant, now)?;
        // First: no page of the list ends between an old key that is over and a new one that is not there.
        let new = KeyRecord {
            grant: whole(grant)?,
            state: KeyState::Active,
            origin: Origin::Issued,
            predecessor: Some(id.clone()),
            successor: None,
            revision: change.write.next_revision().await?,
            create_time: now,
            revoke_time: None,
            ..old.clone()
        };
        change.write.insert_key(&new, issued.digest).await?;

        let end = now.saturating_add(rotation.overlap).unsigned_abs();
        old.grant.expire_time = Some(old.grant.expire_time.map_or(end, |own| own.min(end)));
        old.grant = whole(old.grant)?;
        old.successor = Some(issued.id);
        old.revision = change.write.next_revision().await?;
        change.write.update_key(&old).await?;

        // Of the old key the trail has what it was; what became of it is its end.
        let end = old.end().map_or(Value::Null, |end| to_text(end).into());
        let beside = Map::from_iter([("predecessorExpireTime".to_owned(), end)]);
        let outcome = commit_beside(change, Action::Rotate, &new, Some(before), beside).await?;
        let outcome = self.with_warnings(outcome, &new).await;
        Ok(Outcome { secret: Some(issued.secret), ..outcome })
    }

    /// Takes a key out of force; one that is disabled stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoKey`], [`Refusal::KeyIs`] for a revoked one, [`Refusal::OtherEtag`].
    pub async fn disable_key(
        &self,
        mutation: &Mutation<'_>,
        consumer: &ConsumerId,
        id: &KeyId,
    ) -> Answer<Outcome> {
        self.turn_key(mutation, consumer, id, Action::Disable, KeyState::Disabled).await
    }

    /// Puts a disabled key back into force; one that is in force stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoKey`], [`Refusal::KeyIs`] for a revoked one, [`Refusal::OtherEtag`].
    pub async fn enable_key(
        &self,
        mutation: &Mutation<'_>,
        consumer: &ConsumerId,
        id: &KeyId,
    ) -> Answer<Outcome> {
        self.turn_key(mutation, consumer, id, Action::Enable, KeyState::Active).await
    }

    async fn turn_key(
        &self,
        mutation: &Mutation<'_>,
        consumer: &ConsumerId,
        id: &KeyId,
        action: Action,
        to: KeyState,
    ) -> Answer<Outcome> {
        self.end_key(mutation, consumer, id, |old, _| match old.state {
            KeyState::Revoked => Err(Refusal::KeyIs(old.state)),
            state if state == to => Ok(None),
            KeyState::Active | KeyState::Disabled => {
                Ok(Some((action, KeyRecord { state: to, ..old.clone() })))
            }
        })
        .await
    }
}

/// As long a life as the old key was given; none if it was given none.
fn renewed_end(old: &KeyRecord, now: Seconds) -> Option<u64> {
    let life = old.end()?.saturating_sub(old.create_time);
    Some(now.saturating_add(life).min(time::LATEST).unsigned_abs())
}
