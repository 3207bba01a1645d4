//! What a gateway is told of the allowlist: the part that is its own.

use mpgate_contract::Ask;
use tokio::sync::watch;

use super::access::{Caller, Permission};
use super::registry::Greeting;
use super::{Answer, Service};
use crate::model::Scope;
use crate::store::{FeedRows, Standing};

/// What a gateway asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it stands.
    pub ask: Ask,
    /// Rows of each kind at most.
    pub limit: u32,
}

/// What changed since.
#[derive(Debug)]
pub struct Feed {
    /// Where the list stands, its epoch as this reader knows it. Of the same moment as the rows.
    pub standing: Standing,
    /// The revision after which the rows lie; 0 when the gateway must start over.
    pub from: u64,
    /// Whether it must.
    pub reset: bool,
    /// What changed.
    pub rows: FeedRows,
}

impl Feed {
    /// Whether the gateway has everything already.
    #[must_use]
    pub fn is_level(&self) -> bool {
        !self.reset && self.from == self.standing.head
    }
}

impl Service {
    /// What changed after what is asked for.
    ///
    /// # Errors
    /// The database failed.
    pub async fn changes(&self, caller: &Caller, question: &Question) -> Answer<Feed> {
        caller.may(Permission::ReadChanges)?;
        let scope = Scope::of(&caller.principal);
        let ask = &question.ask;
        let mut read = self.store.read().await?;
        let mut standing = read.standing().await?;
        standing.epoch = scope.epoch(&standing.epoch);
        let reset = ask.epoch != standing.epoch || ask.since > standing.head;
        let from = if reset { 0 } else { ask.since };
        let mut feed = Feed { standing, from, reset, rows: FeedRows::default() };
        if from < feed.standing.head {
            feed.rows = read.feed(from, &scope, question.limit).await?;
        }
        Ok(feed)
    }

    /// Who asks, as it is by now: who was shut out, or bound to others, while its question was held open is
    /// given nothing more of what was theirs.
    ///
    /// # Errors
    /// [`crate::model::Refusal::TokenEnded`].
    pub async fn still(&self, caller: &Caller) -> Answer<Caller> {
        caller.again(&mut *self.store.read().await?).await
    }

    /// Notes that a gateway asked. What it asks for is what it enforces, if it is of this epoch: of where the list
    /// stands by the hint, or else by the database, as another replica may have given out what this one has not
    /// heard of yet.
    ///
    /// # Errors
    /// The database failed.
    pub async fn greet(
        &self,
        caller: &Caller,
        greeting: &Greeting,
        ask: &Ask,
        hint: &Standing,
    ) -> Answer<()> {
        let scope = Scope::of(&caller.principal);
        let is_ours = |standing: &Standing| {
            ask.epoch == scope.epoch(&standing.epoch) && ask.since <= standing.head
        };
        let is_ours = ask.since > 0
            && (is_ours(hint) || is_ours(&self.store.read().await?.standing().await?));
        self.gateways.note(caller, greeting, &scope, if is_ours { ask.since } else { 0 });
        Ok(())
    }

    /// Tells of each change of the list. What it says is a hint.
    #[must_use]
    pub fn watch_head(&self) -> watch::Receiver<Standing> {
        self.store.watch_head()
    }
}
