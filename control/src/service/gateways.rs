//! Which gateways there are and how far each has come: the receipts of a change.
//!
//! What a gateway says of itself arrives with every question, a thousand times a second in a large
//! fleet. It is kept here and written to the database in batches, where other replicas read it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

use super::access::{Caller, Permission};
use super::{Answer, Outcome, Service, resource};
use crate::model::{Gateway, GatewayId, KeyRecord, Millis, Refusal, Role, Scope, Seconds, TokenId};
use crate::store::{Read, Stored};
use crate::time;

/// A gateway that was not heard of for this long leaves the count, in seconds. It asks every 25 s.
pub const LIVE_SECONDS: Seconds = 60;

/// A gateway that was not heard of for this long is forgotten, in milliseconds.
const REMEMBERED_MILLIS: Millis = 24 * 60 * 60 * 1_000;

/// Envoys that hold the same principal's token. Beyond, new ones are served but not listed.
const INSTANCES_MAX: usize = 256;

/// How often the last use of tokens is written, in seconds.
const TOKENS_EVERY_SECONDS: Seconds = 10;

/// How often gateways are written that only said that they are still there, in seconds.
const PRESENCE_EVERY_SECONDS: Seconds = 5;

/// What a gateway says of itself. What it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// The name of its gate.
    pub gate: String,
    /// Its Envoy's node id.
    pub node: String,
    /// The number it gave itself when it started.
    pub instance: String,
    /// The filter's version.
    pub version: String,
    /// What its filter can enforce.
    pub capabilities: Vec<String>,
}

/// The gateways that a caller may see.
#[derive(Debug)]
pub struct GatewayList {
    /// As the API shows them.
    pub gateways: Vec<Value>,
    /// The newest revision there is.
    pub head: u64,
}

/// What was heard of lately.
#[derive(Default)]
pub(super) struct Registry(Mutex<Heard>);

/// What a gateway said, and when, by a clock that nobody sets.
#[derive(Clone)]
struct Said {
    id: GatewayId,
    greeting: Greeting,
    scope: Scope,
    revision: u64,
    at: Instant,
}

impl Said {
    fn is_forgotten(&self) -> bool {
        self.at.elapsed().as_millis() > u128::from(REMEMBERED_MILLIS.unsigned_abs())
    }

    fn dated(self, clock: &Clock) -> Gateway {
        Gateway {
            id: self.id,
            gate: self.greeting.gate,
            node: self.greeting.node,
            version: self.greeting.version,
            capabilities: self.greeting.capabilities,
            scope: self.scope,
            revision: self.revision,
            last_seen_millis: clock.time_of(self.at),
        }
    }
}

/// What the clock of the database showed, and when.
struct Clock {
    millis: Millis,
    at: Instant,
}

impl Clock {
    async fn read(read: &mut dyn Read) -> Stored<Self> {
        let asked = Instant::now();
        let millis = read.now_millis().await?;
        // It was read on the way there and back.
        let way = asked.elapsed() / 2;
        Ok(Self { millis, at: asked.checked_add(way).unwrap_or(asked) })
    }

    /// What it showed at a moment before.
    fn time_of(&self, moment: Instant) -> Millis {
        let ago = self.at.saturating_duration_since(moment).as_millis();
        self.millis.saturating_sub(Millis::try_from(ago).unwrap_or(Millis::MAX))
    }
}

#[derive(Default)]
struct Heard {
    gateways: HashMap<GatewayId, Said>,
    unwritten: HashSet<GatewayId>,
    /// Since when a gateway has said that it holds nothing of this list.
    empty_since: HashMap<GatewayId, Instant>,
    /// Somebody's revision moved since the last write.
    moved: bool,
    written_at: Seconds,
    tokens: HashMap<TokenId, Seconds>,
    tokens_written_at: Seconds,
}

impl Registry {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        // What is in it is right whatever its holder died of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_token(&self, token: &TokenId, now: Seconds) {
        self.heard().tokens.insert(token.clone(), now);
    }

    pub(super) fn note(&self, caller: &Caller, greeting: &Greeting, scope: &Scope, revision: u64) {
        if caller.principal.role != Role::Gateway {
            return;
        }
        let principal = caller.principal.id.clone();
        let id = GatewayId { principal, instance: greeting.instance.clone() };
        let mut heard = self.heard();
        let known = heard.gateways.get(&id);
        if known.is_none() {
            let siblings = heard.gateways.keys().filter(|it| it.principal == id.principal).count();
            if siblings >= INSTANCES_MAX {
                return;
            }
        }
        heard.moved |= known.is_none_or(|known| known.revision != revision);
        heard.unwritten.insert(id.clone());
        if revision == 0 {
            heard.empty_since.entry(id.clone()).or_insert_with(Instant::now);
        } else {
            heard.empty_since.remove(&id);
        }
        let (greeting, scope) = (greeting.clone(), scope.clone());
        let said = Said { id: id.clone(), greeting, scope, revision, at: Instant::now() };
        heard.gateways.insert(id, said);
    }

    /// What is to be written now.
    fn take(&self, now: Seconds, everything: bool) -> (Vec<Said>, Vec<(TokenId, Seconds)>) {
        let mut heard = self.heard();
        let mut gateways = Vec::new();
        let presence_due = now.saturating_sub(heard.written_at) >= PRESENCE_EVERY_SECONDS;
        if heard.moved || presence_due || everything {
            let unwritten = core::mem::take(&mut heard.unwritten);
            gateways = unwritten.iter().filter_map(|id| heard.gateways.get(id).cloned()).collect();
            heard.moved = false;
            heard.written_at = now;
            heard.gateways.retain(|_, said| !said.is_forgotten());
            let Heard { gateways, empty_since, .. } = &mut *heard;
            empty_since.retain(|id, _| gateways.contains_key(id));
        }
        let mut tokens = Vec::new();
        if everything || now.saturating_sub(heard.tokens_written_at) >= TOKENS_EVERY_SECONDS {
            tokens = heard.tokens.drain().collect();
            heard.tokens_written_at = now;
        }
        (gateways, tokens)
    }

    /// For how long a gateway has said that it holds nothing.
    pub(super) fn empty_for(&self, id: &GatewayId) -> Option<Seconds> {
        let since = self.heard().empty_since.get(id).copied()?;
        i64::try_from(since.elapsed().as_secs()).ok()
    }

    fn snapshot(&self) -> Vec<Said> {
        self.heard().gateways.values().cloned().collect()
    }
}

impl Service {
    /// Writes what was heard of gateways and tokens, as far as it is due. Called several times a second.
    ///
    /// # Errors
    /// The database failed; what was to be written is written the next time it is heard of.
    pub async fn write_heard(&self, everything: bool) -> Answer<()> {
        let now = time::now();
        let (gateways, tokens) = self.gateways.take(now, everything);
        if gateways.is_empty() && tokens.is_empty() {
            return Ok(());
        }
        let mut write = self.store.write().await?;
        let clock = Clock::read(write.reader()).await?;
        let gateways: Vec<_> = gateways.into_iter().map(|said| said.dated(&clock)).collect();
        write.put_gateways(&gateways).await?;
        write.touch_tokens(&tokens).await?;
        write.forget_gateways(clock.millis.saturating_sub(REMEMBERED_MILLIS)).await?;
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
        let (gateways, now) = self.known_gateways(&mut *read).await?;
        let shown = gateways.iter().filter(|gateway| is_shown(caller, &gateway.scope));
        let gateways = shown
            .map(|gateway| {
                let names = gateway.scope.consumers.iter();
                let served = names.filter(|id| caller.sees(Permission::ReadGateways, id)).collect();
                resource::gateway(gateway, served, head, is_live(gateway, now))
            })
            .collect();
        Ok(GatewayList { gateways, head })
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

    /// Those in the database, and what was heard since they were written there; and what time it is, by the clock
    /// of the times they were seen.
    pub(super) async fn known_gateways(
        &self,
        read: &mut dyn Read,
    ) -> Answer<(Vec<Gateway>, Millis)> {
        let clock = Clock::read(read).await?;
        let now = clock.millis;
        let stored = read.gateways(now.saturating_sub(REMEMBERED_MILLIS)).await?;
        let mut all: HashMap<_, _> =
            stored.into_iter().map(|gateway| (gateway.id.clone(), gateway)).collect();
        for said in self.gateways.snapshot() {
            let gateway = said.dated(&clock);
            // In one millisecond it may have asked here, got the news, and asked another replica.
            let when = |it: &Gateway| (it.last_seen_millis, it.revision);
            let newer =
                |stored: &Gateway| stored.last_seen_millis > now || when(stored) <= when(&gateway);
            if all.get(&gateway.id).is_none_or(newer) {
                all.insert(gateway.id.clone(), gateway);
            }
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok((all, now))
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
        let (gateways, now) = self.known_gateways(&mut *read).await?;
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

fn is_live(gateway: &Gateway, now: Millis) -> bool {
    time::to_seconds(now.saturating_sub(gateway.last_seen_millis)) <= LIVE_SECONDS
}

/// A gateway is shown to whoever may look at one of the consumers it serves.
fn is_shown(caller: &Caller, scope: &Scope) -> bool {
    caller.sees_all(Permission::ReadGateways)
        || scope.consumers.is_empty()
        || scope.consumers.iter().any(|consumer| caller.sees(Permission::ReadGateways, consumer))
}
