//! Which gateways there are and how far each has come: the receipts of a change. What each said last is in the
//! database, where other replicas read it, or still in this process ([`super::registry`]).

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::access::{Caller, Permission};
use super::change::{Mutation, Trace, begin};
use super::lives::{is_forgotten, leave_out_ended};
use super::registry::{Clock, Due, GATEWAYS_MAX};
use super::{Answer, Outcome, Service, resource};
use crate::model::{Action, Gateway, KeyRecord, Millis, Refusal, Scope, Seconds};
use crate::store::Read;
use crate::time;

/// A gateway that was not heard of for this long leaves the count, in seconds. It asks every 25 s.
pub const LIVE_SECONDS: Seconds = 60;

/// A gateway that was not heard of for this long is forgotten, in milliseconds.
pub(super) const REMEMBERED_MILLIS: Millis = 24 * 60 * 60 * 1_000;

/// The gateways that a caller may see.
#[derive(Debug)]
pub struct GatewayList {
    /// As the API shows them.
    pub gateways: Vec<Value>,
    /// The newest revision there is.
    pub head: u64,
    /// Principals whose token more gateways hold than there is room for: these are not all in the list.
    pub incomplete: Vec<String>,
}

/// What is known of gateways.
pub(super) struct Known {
    pub(super) gateways: Vec<Gateway>,
    /// One for each principal that has more than there is room for: the last of those that are not listed.
    unlisted: Vec<Gateway>,
    /// Now, by the clock of the times they were seen.
    pub(super) now: Millis,
}

impl Service {
    /// Writes what was heard of gateways and tokens, as far as it is due. Called several times a second.
    ///
    /// # Errors
    /// The database failed; what was to be written is written the next time it is heard of.
    pub async fn write_heard(&self, everything: bool) -> Answer<()> {
        let now = time::now();
        let Due { gateways, tokens, newcomers } = self.gateways.take(now, everything);
        if gateways.is_empty() && tokens.is_empty() {
            return Ok(());
        }
        let mut write = self.store.write().await?;
        let clock = Clock::read(write.reader()).await?;
        let gateways: Vec<_> = gateways.into_iter().map(|said| said.dated(&clock)).collect();
        write.put_gateways(&gateways).await?;
        write.touch_tokens(&tokens).await?;
        write.forget_gateways(clock.millis.saturating_sub(REMEMBERED_MILLIS)).await?;
        if newcomers {
            let live = LIVE_SECONDS.saturating_add(1).saturating_mul(1_000);
            write.crowd_out_gateways(clock.millis.saturating_sub(live), GATEWAYS_MAX).await?;
        }
        Ok(write.commit().await?)
    }

    /// The gateways that serve a consumer the caller may look at.
    ///
    /// # Errors
    /// The database failed.
    pub async fn gateways(&self, caller: &Caller) -> Answer<GatewayList> {
        caller.may(Permission::ReadGateways)?;
        let mut read = self.store.read().await?;
        let head = read.standing().await?.head;
        let known = self.known_gateways(&mut *read).await?;
        let shown = |gateway: &&Gateway| is_shown(caller, &gateway.scope);
        let gateways = known.gateways.iter().filter(shown);
        let gateways = gateways.map(|gateway| shown_to(caller, gateway, head, known.now)).collect();
        let unlisted = known.unlisted.iter().filter(shown).filter(|it| is_live(it, known.now));
        let incomplete: BTreeSet<_> =
            unlisted.map(|it| format!("principals/{}", it.id.principal)).collect();
        Ok(GatewayList { gateways, head, incomplete: incomplete.into_iter().collect() })
    }

    /// One gateway, by the id in its name.
    ///
    /// # Errors
    /// [`Refusal::NoGateway`].
    pub async fn gateway(&self, caller: &Caller, id: &str) -> Answer<Value> {
        let name = format!("gateways/{id}");
        let list = self.gateways(caller).await?;
        let found = list.gateways.into_iter().find(|gateway| gateway["name"] == name.as_str());
        Ok(found.ok_or(Refusal::NoGateway)?)
    }

    /// Takes a gateway that has ended out of the list, before its day is over. It is listed again when it speaks.
    ///
    /// # Errors
    /// [`Refusal::NoGateway`], [`Refusal::GatewayIsLive`].
    pub async fn forget_gateway(&self, mutation: &Mutation<'_>, id: &str) -> Answer<Outcome> {
        let mut change = begin!(self, mutation, Permission::ForgetGateways, None);
        let head = change.write.standing().await?.head;
        let known = self.known_gateways(change.write.reader()).await?;
        let found = known.gateways.into_iter().find(|gateway| gateway.id.to_string() == id);
        let mut gateway = found.ok_or(Refusal::NoGateway)?;
        if is_live(&gateway, known.now) {
            return Err(Refusal::GatewayIsLive(LIVE_SECONDS).into());
        }
        let before = shown_to(mutation.caller, &gateway, head, known.now);
        gateway.forgotten_millis = known.now;
        let after = shown_to(mutation.caller, &gateway, head, known.now);
        change.write.put_gateways(&[gateway]).await?;
        let trace = Trace {
            action: Action::Delete,
            consumer: None,
            revision: None,
            before: Some(before),
            after,
        };
        change.commit(trace).await
    }

    /// Those in the database, and what was heard since they were written there.
    pub(super) async fn known_gateways(&self, read: &mut dyn Read) -> Answer<Known> {
        let clock = Clock::read(read).await?;
        let now = clock.millis;
        let stored = read.gateways(now.saturating_sub(REMEMBERED_MILLIS)).await?;
        let mut all: HashMap<_, _> =
            stored.into_iter().map(|gateway| (gateway.id.clone(), gateway)).collect();
        for said in self.gateways.snapshot() {
            let mut gateway = said.dated(&clock);
            // In one millisecond it may have asked here, got the news, and asked another replica.
            let when = |it: &Gateway| (it.last_seen_millis, it.revision);
            if let Some(stored) = all.get(&gateway.id) {
                if stored.last_seen_millis <= now && when(stored) > when(&gateway) {
                    continue;
                }
                gateway.first_seen_millis = gateway.first_seen_millis.min(stored.first_seen_millis);
                gateway.forgotten_millis = stored.forgotten_millis;
            }
            all.insert(gateway.id.clone(), gateway);
        }
        let (unlisted, mut gateways): (Vec<_>, Vec<_>) =
            all.into_values().partition(|gateway| gateway.id.is_unlisted());
        leave_out_ended(&mut gateways, now);
        gateways.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(Known { gateways, unlisted, now })
    }

    /// Says which gateways cannot enforce what a key asks for: those refuse the key. What was done is
    /// done: without the database's answer it goes out without warnings, for it may hold a secret.
    pub(super) async fn with_warnings(&self, mut outcome: Outcome, key: &KeyRecord) -> Outcome {
        if key.grant.requires.is_empty() {
            return outcome;
        }
        let warnings = match self.warnings(key).await {
            Ok(warnings) => warnings,
            Err(error) => {
                tracing::warn!(%error, "whether all gateways can enforce a key could not be read");
                return outcome;
            }
        };
        if let (Value::Object(members), false) = (&mut outcome.resource, warnings.is_empty()) {
            members.insert("warnings".to_owned(), warnings.into());
        }
        outcome
    }

    async fn warnings(&self, key: &KeyRecord) -> Answer<Vec<String>> {
        let mut warnings = Vec::new();
        let mut read = self.store.read().await?;
        let Known { gateways, now, .. } = self.known_gateways(&mut *read).await?;
        for gateway in gateways {
            let concerned =
                is_live(&gateway, now) && gateway.scope.holds(&key.consumer, key.environment);
            let lacks: Vec<_> = key
                .grant
                .requires
                .iter()
                .filter(|needed| !gateway.capabilities.contains(needed))
                .map(String::as_str)
                .collect();
            // One that says nothing of itself is an old one, or no gate.
            if concerned && !lacks.is_empty() && !gateway.version.is_empty() {
                warnings.push(format!(
                    "gateway {} (version {}) cannot enforce {}: it refuses this key (unsupported_grant) \
                     until it is updated",
                    gateway.id,
                    gateway.version,
                    lacks.join(", ")
                ));
            }
        }
        Ok(warnings)
    }
}

/// A gateway as a caller may see it.
fn shown_to(caller: &Caller, gateway: &Gateway, head: u64, now: Millis) -> Value {
    let names = gateway.scope.consumers.iter();
    let served = names.filter(|id| caller.sees(Permission::ReadGateways, id)).collect();
    let state = if is_live(gateway, now) {
        "LIVE"
    } else if is_forgotten(gateway) {
        "FORGOTTEN"
    } else {
        "SILENT"
    };
    resource::gateway(gateway, served, head, state)
}

pub(super) fn is_live(gateway: &Gateway, now: Millis) -> bool {
    time::to_seconds(now.saturating_sub(gateway.last_seen_millis)) <= LIVE_SECONDS
}

/// A gateway is shown to whoever may look at one of the consumers it serves.
fn is_shown(caller: &Caller, scope: &Scope) -> bool {
    caller.sees_all(Permission::ReadGateways)
        || scope.consumers.is_empty()
        || scope.consumers.iter().any(|consumer| caller.sees(Permission::ReadGateways, consumer))
}
