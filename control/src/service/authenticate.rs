//! From a presented token to a principal, and the first principal of all.

use std::net::IpAddr;

use super::access::{Caller, Credential};
use super::{Answer, Service, tokens};
use crate::keys::{Shown, presented_token_digest};
use crate::model::{Action, AuditEvent, Principal, Role, Slice, Token};
use crate::names::PrincipalId;
use crate::store::{self, Count, Standing, Write};
use crate::time;

impl Service {
    /// Whose token this is, if it is in force. Its use is noted. The caller is told where it comes from
    /// and in which request.
    ///
    /// # Errors
    /// The database failed.
    pub async fn authenticate(
        &self,
        token: &[u8],
        source: Option<IpAddr>,
        request_id: &str,
    ) -> Answer<Option<Caller>> {
        let Some(digest) = presented_token_digest(token) else { return Ok(None) };
        let now = time::now();
        let found = self.store.read().await?.token(digest).await?;
        let in_force = found.filter(|(principal, token)| principal.is_in_force_with(token, now));
        Ok(in_force.map(|(principal, token)| {
            self.gateways.note_token(&token.id, now);
            let credential = Credential(digest);
            Caller { principal, credential, source, request_id: request_id.to_owned() }
        }))
    }

    /// Makes an administrator's token where nobody was ever added; nothing otherwise. Of several processes
    /// that start at once on one database, one does it.
    ///
    /// # Errors
    /// The database failed, or `keep` did.
    pub async fn first_admin<E: From<super::Error>>(
        &self,
        keep: impl FnOnce(&Shown) -> Result<(), E>,
    ) -> Result<Option<(Shown, PrincipalId)>, E> {
        let write = self.store.write().await.map_err(super::Error::from);
        let mut write = write.map_err(E::from)?;
        let slice = Slice { after: 0, limit: 1, show_deleted: true };
        let found = write.principals(slice).await.map_err(super::Error::from);
        if !found.map_err(E::from)?.items.is_empty() {
            return Ok(None);
        }
        let done = admin_in(write, keep).await;
        done.map(Some).map_err(Reset::into)
    }

    /// Makes an administrator's token on control's own machine: for a new database, or when nobody has
    /// one any more. `keep` is called with the token before it is stored: one that was stored and never
    /// told would lock everybody out. Tokens that the first administrator had end.
    ///
    /// # Errors
    /// The database failed, or `keep` did.
    pub async fn reset_admin<E: From<super::Error>>(
        &self,
        keep: impl FnOnce(&Shown) -> Result<(), E>,
    ) -> Result<(Shown, PrincipalId), E> {
        let write = self.store.write().await.map_err(super::Error::from);
        admin_in(write.map_err(E::from)?, keep).await.map_err(Reset::into)
    }

    /// Begins a new epoch: every gateway starts over. It is in the trail.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin_epoch(&self) -> Answer<Standing> {
        let mut write = self.store.write().await?;
        let before = write.standing().await?;
        write.set_epoch(&store::new_epoch()?).await?;
        let standing = write.standing().await?;
        write.append(&new_epoch(&before, &standing, time::now())).await?;
        write.commit().await?;
        Ok(standing)
    }
}

/// An administrator's token, in a transaction that has begun.
async fn admin_in<E>(
    mut write: Box<dyn Write>,
    keep: impl FnOnce(&Shown) -> Result<(), E>,
) -> Result<(Shown, PrincipalId), Reset<E>> {
    let now = time::now();
    let result = async {
        let id = PrincipalId::first_admin();
        let mut is_new = false;
        let principal = match write.principal(&id).await? {
            Some(principal) if principal.revoke_time.is_none() => principal,
            found => {
                // Ids are not given out twice.
                let id = if found.is_none() { id } else { PrincipalId::made_up(Role::Admin)? };
                let principal = Principal {
                    id,
                    display_name: "Administrator".to_owned(),
                    role: Role::Admin,
                    consumers: vec![],
                    environment: None,
                    version: 1,
                    create_time: now,
                    revoke_time: None,
                };
                write.insert_principal(&principal).await?;
                is_new = true;
                principal
            }
        };
        for token in write.tokens(&principal.id).await? {
            if token.revoke_time.is_none() {
                let revoke_time = Some(now.max(token.create_time));
                write.update_token(&Token { revoke_time, ..token }).await?;
            }
        }
        let token = tokens::add_token(&mut *write, &principal.id, now, None).await?;
        let first = is_new && write.count(Count::Admins).await? == 1;
        write.append(&event(&principal, first, now)).await?;
        Answer::Ok((token, principal.id))
    };
    let (token, id) = result.await.map_err(Reset::Failed)?;
    keep(&token).map_err(Reset::Kept)?;
    write.commit().await.map_err(|error| Reset::Failed(error.into()))?;
    Ok((token, id))
}

/// Which of the two failed.
enum Reset<E> {
    Kept(E),
    Failed(super::Error),
}

impl<E: From<super::Error>> Reset<E> {
    fn into(self) -> E {
        match self {
            Self::Kept(error) => error,
            Self::Failed(error) => E::from(error),
        }
    }
}

fn new_epoch(before: &Standing, after: &Standing, now: crate::model::Seconds) -> AuditEvent {
    AuditEvent {
        ordinal: 0,
        time: now,
        principal: None,
        source: None,
        action: Action::Restore,
        resource: "database".to_owned(),
        consumer: None,
        request_id: None,
        revision: Some(after.head),
        before: Some(serde_json::json!({"epoch": before.epoch})),
        after: Some(serde_json::json!({"epoch": after.epoch})),
        denial: None,
    }
}

fn event(principal: &Principal, first: bool, now: crate::model::Seconds) -> AuditEvent {
    AuditEvent {
        ordinal: 0,
        time: now,
        principal: None,
        source: None,
        action: if first { Action::Create } else { Action::ResetAdmin },
        resource: format!("principals/{}", principal.id),
        consumer: None,
        request_id: None,
        revision: None,
        before: None,
        after: Some(super::resource::principal(principal, None)),
        denial: None,
    }
}
