//! Principals and their tokens.

use mpgate_contract::{ConsumerId, Environment};
use serde_json::Value;

use super::access::{Caller, Permission};
use super::change::{Change, Mutation, Outcome, Trace, begin};
use super::{Answer, Listed, Listing, Service, resource};
use crate::keys::{Shown, issue_token, issue_token_id};
use crate::model::{Action, Principal, Refusal, Role, Seconds, Token, TokenId};
use crate::names::PrincipalId;
use crate::store::{Count, Read, Write};

/// Consumers that one principal may be bound to.
pub(crate) const CONSUMERS_MAX: usize = 100;

/// The longest time for which an old token goes on beside the new one: 30 days, in seconds.
const OVERLAP_MAX: Seconds = 30 * 24 * 60 * 60;

/// A principal that is about to be created.
#[derive(Clone, Debug)]
pub struct NewPrincipal {
    /// Its id.
    pub id: PrincipalId,
    /// For people.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// The consumers it is bound to.
    pub consumers: Vec<ConsumerId>,
    /// The environment that a gateway is bound to.
    pub environment: Option<Environment>,
}

impl Service {
    /// Adds a principal. Its token is in the outcome, unless the request was done before.
    ///
    /// # Errors
    /// [`Refusal::PrincipalExists`], also for the id of a revoked one; [`Refusal::BindingNamesNoConsumer`],
    /// [`Refusal::TooMany`], [`Refusal::Invalid`] where role and binding do not fit.
    pub async fn create_principal(
        &self,
        mutation: &Mutation<'_>,
        new: NewPrincipal,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ManagePrincipals, None);
        let principal = Principal {
            id: new.id,
            display_name: new.display_name,
            role: new.role,
            consumers: new.consumers,
            environment: new.environment,
            version: 1,
            create_time: change.now,
            revoke_time: None,
        };
        expect_fit(change.write.reader(), &principal).await?;
        if change.write.principal(&principal.id).await?.is_some() {
            return Err(Refusal::PrincipalExists.into());
        }
        let max = self.limits.principals_max;
        if change.write.count(Count::Principals).await? >= max as u64 {
            return Err(Refusal::TooMany("principals", max).into());
        }
        change.write.insert_principal(&principal).await?;
        let token = add_token(&mut *change.write, &principal.id, change.now).await?;
        let after = resource::principal(&principal);
        let outcome = commit(change, Action::Create, None, after).await?;
        Ok(Outcome { secret: Some(token), ..outcome })
    }

    /// Changes a principal's name for people and what it is bound to. `None` leaves it.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`], [`Refusal::PrincipalRevoked`], [`Refusal::OtherEtag`],
    /// [`Refusal::BindingNamesNoConsumer`], [`Refusal::Invalid`] where role and binding do not fit.
    pub async fn patch_principal(
        &self,
        mutation: &Mutation<'_>,
        id: &PrincipalId,
        display_name: Option<String>,
        consumers: Option<Vec<ConsumerId>>,
        environment: Option<Option<Environment>>,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ManagePrincipals, None);
        let old = find_active(&mut change, id).await?;
        let before = resource::principal(&old);
        let mut new = old.clone();
        new.display_name = display_name.unwrap_or(new.display_name);
        new.consumers = consumers.unwrap_or(new.consumers);
        new.environment = environment.unwrap_or(new.environment);
        if new == old {
            return Ok(Outcome::of(before));
        }
        expect_fit(change.write.reader(), &new).await?;
        new.version = old.version.saturating_add(1);
        change.write.update_principal(&new).await?;
        let after = resource::principal(&new);
        commit(change, Action::Update, Some(before), after).await
    }

    /// Gives a principal a new token; the others end after `overlap` seconds.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`], [`Refusal::PrincipalRevoked`], [`Refusal::OtherEtag`],
    /// [`Refusal::TooMany`], [`Refusal::Invalid`] for an overlap that is too long.
    pub async fn rotate_principal(
        &self,
        mutation: &Mutation<'_>,
        id: &PrincipalId,
        overlap: Seconds,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ManagePrincipals, None);
        let old = find_active(&mut change, id).await?;
        if !(0..=OVERLAP_MAX).contains(&overlap) {
            return Err(Refusal::Invalid("overlap", "An overlap is 0 to 30 days.").into());
        }
        let now = change.now;
        let in_force: Vec<_> =
            change.write.tokens(id).await?.into_iter().filter(|it| it.is_in_force(now)).collect();
        if overlap > 0 && in_force.len() >= self.limits.tokens_max {
            return Err(Refusal::TooMany("tokens of one principal", self.limits.tokens_max).into());
        }
        let end = now.saturating_add(overlap);
        for token in in_force {
            let end = token.expire_time.map_or(end, |own| own.min(end)).max(token.create_time);
            change.write.update_token(&Token { expire_time: Some(end), ..token }).await?;
        }
        let new = Principal { version: old.version.saturating_add(1), ..old.clone() };
        change.write.update_principal(&new).await?;
        let token = add_token(&mut *change.write, id, now).await?;
        let (before, after) = (resource::principal(&old), resource::principal(&new));
        let outcome = commit(change, Action::Rotate, Some(before), after).await?;
        Ok(Outcome { secret: Some(token), ..outcome })
    }

    /// Revokes a principal and all its tokens; one that is revoked stays as it is.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`], [`Refusal::LastAdmin`], [`Refusal::OtherEtag`].
    pub async fn revoke_principal(
        &self,
        mutation: &Mutation<'_>,
        id: &PrincipalId,
    ) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ManagePrincipals, None);
        let old = find(change.write.reader(), id).await?;
        let before = resource::principal(&old);
        change.expect_etag(&before)?;
        if old.revoke_time.is_some() {
            return Ok(Outcome::of(before));
        }
        let tokens = change.write.tokens(id).await?;
        if old.role == Role::Admin {
            let goes = tokens.iter().any(Token::is_lasting);
            expect_admin(change.write.reader(), goes).await?;
        }
        for token in tokens {
            if token.revoke_time.is_none() {
                let revoke_time = Some(change.now.max(token.create_time));
                change.write.update_token(&Token { revoke_time, ..token }).await?;
            }
        }
        let revoke_time = Some(change.now.max(old.create_time));
        let new = Principal { revoke_time, version: old.version.saturating_add(1), ..old };
        change.write.update_principal(&new).await?;
        let after = resource::principal(&new);
        commit(change, Action::Delete, Some(before), after).await
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
            return Ok(Outcome::of(before));
        }
        if principal.role == Role::Admin && old.is_in_force(now) {
            let lasting: Vec<_> = tokens.iter().filter(|it| it.is_lasting()).collect();
            let goes = matches!(lasting.as_slice(), [last] if last.id == *token);
            expect_admin(change.write.reader(), goes).await?;
        }
        let new = Token { revoke_time: Some(now.max(old.create_time)), ..old.clone() };
        change.write.update_token(&new).await?;
        let after = resource::token(&new, now);
        commit(change, Action::Delete, Some(before), after).await
    }

    /// One principal, revoked or not.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`].
    pub async fn principal(&self, caller: &Caller, id: &PrincipalId) -> Answer<Value> {
        caller.may(Permission::ManagePrincipals)?;
        let mut read = self.store.read().await?;
        Ok(resource::principal(&find(&mut *read, id).await?))
    }

    /// Part of the principals.
    ///
    /// # Errors
    /// The database failed.
    pub async fn principals(&self, caller: &Caller, listing: Listing) -> Answer<Listed> {
        caller.may(Permission::ManagePrincipals)?;
        let mut read = self.store.read().await?;
        let mut scan = listing.scan();
        while let Some(slice) = scan.next() {
            let part = read.principals(slice).await?;
            scan.take(part.items.iter().map(resource::principal).collect(), part.next);
        }
        Ok(scan.end())
    }

    /// A principal's tokens, those that have ended too.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`].
    pub async fn tokens(&self, caller: &Caller, id: &PrincipalId) -> Answer<Vec<Value>> {
        caller.may(Permission::ManagePrincipals)?;
        let mut read = self.store.read().await?;
        find(&mut *read, id).await?;
        let now = crate::time::now();
        Ok(read.tokens(id).await?.iter().map(|token| resource::token(token, now)).collect())
    }
}

async fn find(read: &mut dyn Read, id: &PrincipalId) -> Answer<Principal> {
    Ok(read.principal(id).await?.ok_or(Refusal::NoPrincipal)?)
}

/// The principal, if it still is the caller's and may be changed.
async fn find_active(change: &mut Change<'_>, id: &PrincipalId) -> Answer<Principal> {
    let principal = find(change.write.reader(), id).await?;
    change.expect_etag(&resource::principal(&principal))?;
    match principal.revoke_time {
        None => Ok(principal),
        Some(_) => Err(Refusal::PrincipalRevoked.into()),
    }
}

/// Somebody must be able to administer control when this is done, and not only until the last token has
/// ended. `goes`: an administrator loses the last token that has no end.
async fn expect_admin(read: &mut dyn Read, goes: bool) -> Answer<()> {
    let left = read.count(Count::Admins).await?.saturating_sub(u64::from(goes));
    if left == 0 { Err(Refusal::LastAdmin.into()) } else { Ok(()) }
}

/// Adds a token and hands it out.
pub(super) async fn add_token(
    write: &mut dyn Write,
    principal: &PrincipalId,
    now: Seconds,
) -> Answer<Shown> {
    let issued = issue_token()?;
    let token = Token {
        id: issue_token_id()?,
        principal: principal.clone(),
        create_time: now,
        expire_time: None,
        revoke_time: None,
        last_use_time: None,
    };
    write.insert_token(&token, issued.digest).await?;
    Ok(issued.token)
}

async fn commit(
    change: Change<'_>,
    action: Action,
    before: Option<Value>,
    after: Value,
) -> Answer<Outcome> {
    change.commit(Trace { action, consumer: None, revision: None, before, after }).await
}

/// Role and binding must fit, and the consumers be there.
async fn expect_fit(read: &mut dyn Read, principal: &Principal) -> Answer<()> {
    let bound = principal.consumers.len();
    let fault = match principal.role {
        Role::Owner if bound == 0 => {
            Some(("measurementConsumers", "An owner is bound to the consumers it owns; name them."))
        }
        Role::Reporter if bound == 0 => Some((
            "measurementConsumers",
            "A reporter is bound to the consumers whose totals it posts; name them.",
        )),
        Role::Admin if bound > 0 => Some((
            "measurementConsumers",
            "An admin may do everything; an owner is bound to consumers.",
        )),
        role if role != Role::Gateway && principal.environment.is_some() => {
            Some(("environment", "Only a gateway is bound to an environment."))
        }
        _ => None,
    };
    if let Some((member, rule)) = fault {
        return Err(Refusal::Invalid(member, rule).into());
    }
    for (place, consumer) in principal.consumers.iter().enumerate() {
        if read.consumer(consumer).await?.is_none() {
            return Err(Refusal::BindingNamesNoConsumer(place).into());
        }
    }
    Ok(())
}
