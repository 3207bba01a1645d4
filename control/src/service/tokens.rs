//! Tokens of principals: rotated, revoked, looked at, and when they end by themselves.

use serde_json::Value;

use super::access::{Caller, Permission};
use super::change::{Mutation, Outcome, Trace, begin};
use super::principals::{admins_left, commit, expect_admin, find, find_active, shown};
use super::{Answer, Service, resource};
use crate::keys::{Shown, issue_token, issue_token_id};
use crate::model::{Action, Principal, Refusal, Role, Seconds, Token, TokenId};
use crate::names::PrincipalId;
use crate::store::Write;
use crate::time;

/// The longest time for which an old token goes on beside the new one: 30 days, in seconds.
const OVERLAP_MAX: Seconds = 30 * 24 * 60 * 60;

/// How a principal's token is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRotation {
    /// How long the other tokens go on, in seconds; never past their own end.
    pub overlap: Seconds,
    /// When the new token ends.
    pub end: TokenEnd,
}

/// When a token that is issued ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEnd {
    /// After as long a life as the token before it was given.
    AsBefore,
    /// It has no end.
    Never,
    /// Then.
    At(Seconds),
}

impl Service {
    /// Gives a principal a new token; the others end after the overlap.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`], [`Refusal::PrincipalRevoked`], [`Refusal::OtherEtag`],
    /// [`Refusal::TooMany`], [`Refusal::Invalid`] for an overlap that is too long,
    /// [`Refusal::TokenEndsInThePast`], [`Refusal::LastAdminEnds`].
    pub async fn rotate_principal(
        &self,
        mutation: &Mutation<'_>,
        id: &PrincipalId,
        rotation: TokenRotation,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ManagePrincipals, None);
        let old = find_active(&mut change, id).await?;
        let overlap = rotation.overlap;
        if !(0..=OVERLAP_MAX).contains(&overlap) {
            return Err(Refusal::Invalid("overlap", "An overlap is 0 to 30 days.").into());
        }
        let now = change.now;
        let all = change.write.tokens(id).await?;
        let expire_time = match rotation.end {
            // Only a token that has a successor was given another end than its own.
            TokenEnd::AsBefore => all.last().and_then(|last| renewed_end(last, now)),
            TokenEnd::Never => None,
            TokenEnd::At(end) => Some(end),
        };
        expect_ahead(expire_time, now)?;
        if old.role == Role::Admin && expire_time.is_some() {
            let goes = all.iter().any(Token::is_lasting);
            if admins_left(change.write.reader(), goes).await? == 0 {
                return Err(Refusal::LastAdminEnds.into());
            }
        }
        let in_force: Vec<_> = all.into_iter().filter(|it| it.is_in_force(now)).collect();
        if overlap > 0 && in_force.len() >= self.limits.tokens_max {
            return Err(Refusal::TooMany("tokens of one principal", self.limits.tokens_max).into());
        }
        let before = shown(change.write.reader(), &old).await?;
        let end = now.saturating_add(overlap);
        for token in in_force {
            let end = token.expire_time.map_or(end, |own| own.min(end)).max(token.create_time);
            change.write.update_token(&Token { expire_time: Some(end), ..token }).await?;
        }
        let new = Principal { version: old.version.saturating_add(1), ..old };
        change.write.update_principal(&new).await?;
        let token = add_token(&mut *change.write, id, now, expire_time).await?;
        let outcome = commit(change, Action::Rotate, Some(before), &new).await?;
        Ok(Outcome { secret: Some(token), ..outcome })
    }

    /// Revokes one token; one that is revoked stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`], [`Refusal::NoToken`], [`Refusal::LastAdmin`] for the last token of the
    /// last administrator.
    pub async fn revoke_token(
        &self,
        mutation: &Mutation<'_>,
        id: &PrincipalId,
        token: &TokenId,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ManagePrincipals, None);
        let now = change.now;
        let principal = find(change.write.reader(), id).await?;
        let tokens = change.write.tokens(id).await?;
        let old = tokens.iter().find(|it| it.id == *token).ok_or(Refusal::NoToken)?;
        let before = resource::token(old, now);
        if old.revoke_time.is_some() {
            return change.found(before).await;
        }
        if principal.role == Role::Admin && old.is_in_force(now) {
            let lasting: Vec<_> = tokens.iter().filter(|it| it.is_lasting()).collect();
            let goes = matches!(lasting.as_slice(), [last] if last.id == *token);
            expect_admin(change.write.reader(), goes).await?;
        }
        let new = Token { revoke_time: Some(now.max(old.create_time)), ..old.clone() };
        change.write.update_token(&new).await?;
        let (action, after) = (Action::Delete, resource::token(&new, now));
        let before = Some(before);
        change.commit(Trace { action, consumer: None, revision: None, before, after }).await
    }

    /// A principal's tokens, those that have ended too.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`].
    pub async fn tokens(&self, caller: &Caller, id: &PrincipalId) -> Answer<Vec<Value>> {
        caller.may(Permission::ManagePrincipals)?;
        let mut read = self.store.read().await?;
        find(&mut *read, id).await?;
        let now = time::now();
        Ok(read.tokens(id).await?.iter().map(|token| resource::token(token, now)).collect())
    }

    /// The token that the caller came with.
    ///
    /// # Errors
    /// [`Refusal::TokenEnded`].
    pub async fn own_token(&self, caller: &Caller) -> Answer<Value> {
        caller.may(Permission::ReadOwnToken)?;
        let found = self.store.read().await?.token(caller.credential.0).await?;
        let (_, token) = found.ok_or(Refusal::TokenEnded)?;
        Ok(resource::token(&token, time::now()))
    }
}

/// An end lies ahead.
pub(super) fn expect_ahead(end: Option<Seconds>, now: Seconds) -> Result<(), Refusal> {
    match end {
        Some(end) if end <= now => Err(Refusal::TokenEndsInThePast),
        _ => Ok(()),
    }
}

/// As long a life as this token was given; none if it was given none.
fn renewed_end(last: &Token, now: Seconds) -> Option<Seconds> {
    let life = last.expire_time?.saturating_sub(last.create_time);
    Some(now.saturating_add(life).min(time::LATEST))
}

/// Adds a token and hands it out.
pub(super) async fn add_token(
    write: &mut dyn Write,
    principal: &PrincipalId,
    now: Seconds,
    expire_time: Option<Seconds>,
) -> Answer<Shown> {
    let issued = issue_token()?;
    let token = Token {
        id: issue_token_id()?,
        principal: principal.clone(),
        create_time: now,
        expire_time,
        revoke_time: None,
        last_use_time: None,
    };
    write.insert_token(&token, issued.digest).await?;
    Ok(issued.token)
}
