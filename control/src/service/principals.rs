//! Principals: created, changed, revoked, looked at.

use mpgate_contract::{ConsumerId, Environment};
use serde_json::Value;

use super::access::{Caller, Permission};
use super::change::{Change, Mutation, Outcome, Trace, begin};
use super::tokens::{add_token, expect_ahead};
use super::{Answer, Listed, Listing, Service, resource};
use crate::model::{Action, Principal, Refusal, Role, Seconds, Token};
use crate::names::PrincipalId;
use crate::store::{Count, Read};

/// Consumers that one principal may be bound to.
pub(crate) const CONSUMERS_MAX: usize = 100;

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
    /// When its token ends by itself.
    pub expire_time: Option<Seconds>,
}

impl Service {
    /// Adds a principal. Its token is in the outcome, unless the request was done before.
    ///
    /// # Errors
    /// [`Refusal::PrincipalExists`], also for the id of a revoked one; [`Refusal::BindingNamesNoConsumer`],
    /// [`Refusal::TooMany`], [`Refusal::Invalid`] where role and binding do not fit,
    /// [`Refusal::TokenEndsInThePast`].
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
        expect_ahead(new.expire_time, change.now)?;
        change.write.insert_principal(&principal).await?;
        let token =
            add_token(&mut *change.write, &principal.id, change.now, new.expire_time).await?;
        let outcome = commit(change, Action::Create, None, &principal).await?;
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
        let before = shown(change.write.reader(), &old).await?;
        let mut new = old.clone();
        new.display_name = display_name.unwrap_or(new.display_name);
        new.consumers = consumers.unwrap_or(new.consumers);
        new.environment = environment.unwrap_or(new.environment);
        if new == old {
            return change.found(before).await;
        }
        expect_fit(change.write.reader(), &new).await?;
        new.version = old.version.saturating_add(1);
        change.write.update_principal(&new).await?;
        commit(change, Action::Update, Some(before), &new).await
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
        let before = shown(change.write.reader(), &old).await?;
        change.expect_etag(&before)?;
        if old.revoke_time.is_some() {
            return change.found(before).await;
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
        commit(change, Action::Delete, Some(before), &new).await
    }

    /// One principal, revoked or not.
    ///
    /// # Errors
    /// [`Refusal::NoPrincipal`].
    pub async fn principal(&self, caller: &Caller, id: &PrincipalId) -> Answer<Value> {
        caller.may(Permission::ManagePrincipals)?;
        let mut read = self.store.read().await?;
        let principal = find(&mut *read, id).await?;
        shown(&mut *read, &principal).await
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
            scan.take(all_shown(&mut *read, &part.items).await?, part.next);
        }
        Ok(scan.end())
    }
}

pub(super) async fn find(read: &mut dyn Read, id: &PrincipalId) -> Answer<Principal> {
    Ok(read.principal(id).await?.ok_or(Refusal::NoPrincipal)?)
}

/// The principal, if it still is the caller's and may be changed.
pub(super) async fn find_active(change: &mut Change<'_>, id: &PrincipalId) -> Answer<Principal> {
    let principal = find(change.write.reader(), id).await?;
    change.expect_etag(&resource::principal(&principal, None))?;
    match principal.revoke_time {
        None => Ok(principal),
        Some(_) => Err(Refusal::PrincipalRevoked.into()),
    }
}

/// Somebody must be able to administer control when this is done, and not only until the last token has
/// ended. `goes`: an administrator loses the last token that has no end.
pub(super) async fn expect_admin(read: &mut dyn Read, goes: bool) -> Answer<()> {
    if admins_left(read, goes).await? == 0 { Err(Refusal::LastAdmin.into()) } else { Ok(()) }
}

/// Administrators with a token that has no end, when one of them has lost theirs.
pub(super) async fn admins_left(read: &mut dyn Read, goes: bool) -> Answer<u64> {
    Ok(read.count(Count::Admins).await?.saturating_sub(u64::from(goes)))
}

/// A principal with the end of its last token.
pub(super) async fn shown(read: &mut dyn Read, principal: &Principal) -> Answer<Value> {
    let mut shown = all_shown(read, core::slice::from_ref(principal)).await?;
    Ok(shown.pop().unwrap_or_default())
}

async fn all_shown(read: &mut dyn Read, principals: &[Principal]) -> Answer<Vec<Value>> {
    let ids: Vec<_> = principals.iter().map(|principal| principal.id.clone()).collect();
    let ends = read.token_ends(&ids).await?;
    let shown = principals.iter().zip(ends);
    Ok(shown.map(|(principal, end)| resource::principal(principal, end)).collect())
}

pub(super) async fn commit(
    mut change: Change<'_>,
    action: Action,
    before: Option<Value>,
    new: &Principal,
) -> Answer<Outcome> {
    let after = shown(change.write.reader(), new).await?;
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
