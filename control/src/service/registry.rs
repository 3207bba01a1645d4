//! What was heard of gateways and tokens lately, in this process: a thousand times a second in a large fleet, so it
//! is kept here and written to the database in batches.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::access::Caller;
use super::gateways::{LIVE_SECONDS, REMEMBERED_MILLIS};
use crate::model::{Gateway, GatewayId, Millis, Role, Scope, Seconds, TokenId};
use crate::names::PrincipalId;
use crate::store::{Read, Stored};

/// Gateways of one principal that are listed, each gate of an Envoy for one. Beyond, the silent one that was not heard of for the longest time makes
/// room; where all are alive, the next are served, and not listed.
pub(super) const GATEWAYS_MAX: usize = 256;

/// How often it is logged that a principal has more.
const TOLD_EVERY: Duration = Duration::from_mins(10);

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

/// What was heard of lately.
#[derive(Default)]
pub(super) struct Registry(Mutex<Heard>);

/// What a gateway said, and when, by a clock that nobody sets.
#[derive(Clone)]
pub(super) struct Said {
    id: GatewayId,
    greeting: Greeting,
    scope: Scope,
    revision: u64,
    /// When it was first heard here.
    since: Instant,
    at: Instant,
}

impl Said {
    fn is_forgotten(&self) -> bool {
        self.at.elapsed().as_millis() > u128::from(REMEMBERED_MILLIS.unsigned_abs())
    }

    pub(super) fn dated(self, clock: &Clock) -> Gateway {
        Gateway {
            id: self.id,
            node: self.greeting.node,
            version: self.greeting.version,
            capabilities: self.greeting.capabilities,
            scope: self.scope,
            revision: self.revision,
            first_seen_millis: clock.time_of(self.since),
            last_seen_millis: clock.time_of(self.at),
            forgotten_millis: 0,
        }
    }
}

/// What the clock of the database showed, and when.
pub(super) struct Clock {
    pub(super) millis: Millis,
    at: Instant,
}

impl Clock {
    pub(super) async fn read(read: &mut dyn Read) -> Stored<Self> {
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

/// What is to be written now.
#[derive(Default)]
pub(super) struct Due {
    pub(super) gateways: Vec<Said>,
    pub(super) tokens: Vec<(TokenId, Seconds)>,
    /// Whether there may be more gateways now than there is room for.
    pub(super) newcomers: bool,
}

#[derive(Default)]
struct Heard {
    gateways: HashMap<GatewayId, Said>,
    unwritten: HashSet<GatewayId>,
    /// Since when a gateway has said that it holds nothing of this list.
    empty_since: HashMap<GatewayId, Instant>,
    /// Somebody's revision moved since the last write.
    moved: bool,
    /// Somebody came since the last write.
    newcomers: bool,
    /// When it was last logged that a principal has more than are listed.
    told: HashMap<PrincipalId, Instant>,
    /// Questions of those that are not listed.
    unlisted: u64,
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
        let id = GatewayId {
            principal: caller.principal.id.clone(),
            instance: greeting.instance.clone(),
            gate: greeting.gate.clone(),
        };
        let (greeting, scope) = (greeting.clone(), scope.clone());
        let at = Instant::now();
        self.heard().note(Said { id, greeting, scope, revision, since: at, at });
    }

    /// What is to be written now.
    pub(super) fn take(&self, now: Seconds, everything: bool) -> Due {
        let mut heard = self.heard();
        let mut due = Due::default();
        let presence_due = now.saturating_sub(heard.written_at) >= PRESENCE_EVERY_SECONDS;
        if heard.moved || presence_due || everything {
            let unwritten = core::mem::take(&mut heard.unwritten);
            due.gateways =
                unwritten.iter().filter_map(|id| heard.gateways.get(id).cloned()).collect();
            due.newcomers = core::mem::take(&mut heard.newcomers);
            heard.moved = false;
            heard.written_at = now;
            heard.gateways.retain(|_, said| !said.is_forgotten());
            let Heard { gateways, empty_since, .. } = &mut *heard;
            empty_since.retain(|id, _| gateways.contains_key(id));
        }
        if everything || now.saturating_sub(heard.tokens_written_at) >= TOKENS_EVERY_SECONDS {
            due.tokens = heard.tokens.drain().collect();
            heard.tokens_written_at = now;
        }
        due
    }

    /// For how long a gateway has said that it holds nothing.
    pub(super) fn empty_for(&self, id: &GatewayId) -> Option<Seconds> {
        let since = self.heard().empty_since.get(id).copied()?;
        i64::try_from(since.elapsed().as_secs()).ok()
    }

    /// Questions of gateways that there was no room to list.
    pub(super) fn unlisted(&self) -> u64 {
        self.heard().unlisted
    }

    pub(super) fn snapshot(&self) -> Vec<Said> {
        self.heard().gateways.values().cloned().collect()
    }
}

impl Heard {
    fn note(&mut self, mut said: Said) {
        if !self.gateways.contains_key(&said.id) {
            if !self.make_room(&said.id.principal, said.at) {
                self.tell(&said);
                said.id = GatewayId::unlisted(said.id.principal);
            }
            self.newcomers = true;
        }
        let known = self.gateways.get(&said.id);
        said.since = known.map_or(said.since, |known| known.since);
        self.moved |= known.is_none_or(|known| known.revision != said.revision);
        self.unwritten.insert(said.id.clone());
        if said.revision == 0 {
            self.empty_since.entry(said.id.clone()).or_insert(said.at);
        } else {
            self.empty_since.remove(&said.id);
        }
        self.gateways.insert(said.id.clone(), said);
    }

    /// Whether there is room for one more of a principal's: of those that are silent, the one that was not heard of
    /// for the longest time leaves it.
    fn make_room(&mut self, principal: &PrincipalId, now: Instant) -> bool {
        let siblings: Vec<_> = self
            .gateways
            .values()
            .filter(|it| it.id.principal == *principal && !it.id.is_unlisted())
            .collect();
        if siblings.len() < GATEWAYS_MAX {
            return true;
        }
        let longest = siblings.into_iter().min_by_key(|it| it.at);
        let silent = |it: &&Said| {
            now.saturating_duration_since(it.at).as_secs() > LIVE_SECONDS.unsigned_abs()
        };
        let Some(id) = longest.filter(silent).map(|it| it.id.clone()) else { return false };
        self.gateways.remove(&id);
        self.unwritten.remove(&id);
        self.empty_since.remove(&id);
        true
    }

    /// Counts and, now and then, logs that a gateway is not listed.
    fn tell(&mut self, said: &Said) {
        self.unlisted = self.unlisted.saturating_add(1);
        let principal = &said.id.principal;
        let told = self.told.get(principal);
        if told.is_some_and(|told| said.at.saturating_duration_since(*told) < TOLD_EVERY) {
            return;
        }
        self.told.insert(principal.clone(), said.at);
        tracing::warn!(
            %principal,
            node = said.greeting.node.as_str(),
            "over {GATEWAYS_MAX} gateways that are alive hold this principal's token: the others are served, but not \
             listed, and no receipt counts them; give some of them a principal of their own"
        );
    }
}

#[cfg(test)]
mod tests;
