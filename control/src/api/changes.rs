//! `GET /v1/allowlist/changes`: one page for a gate, at once or when there is something new.

use core::time::Duration;

use axum::extract::State;
use mpgate_contract::{Ask, limits};
use tokio::time::{Instant, timeout_at};

use super::input::Parameters;
use super::problem::Problem;
use super::{Answer, App, json_bytes};
use crate::changes;
use crate::store::Feed;

/// What the query asks for.
struct Question {
    ask: Ask,
    limit: u32,
    wait: Duration,
}

fn question(parameters: &Parameters) -> Result<Question, Problem> {
    parameters.only(&["epoch", "since", "limit", "wait"])?;
    let epoch = parameters.get("epoch").unwrap_or_default().to_owned();
    if epoch.len() > limits::EPOCH_BYTES_MAX {
        let detail = format!("At most {} bytes.", limits::EPOCH_BYTES_MAX);
        return Err(Problem::field("epoch", detail));
    }
    let limit = match parameters.number("limit")? {
        None => limits::PAGE_ENTRIES_DEFAULT as u64,
        Some(0) => return Err(Problem::field("limit", "At least 1.")),
        Some(limit) => limit.min(limits::PAGE_ENTRIES_MAX as u64),
    };
    let wait = parameters.number("wait")?.unwrap_or(0).min(limits::WAIT_SECONDS_MAX);
    Ok(Question {
        ask: Ask { epoch, since: parameters.number("since")?.unwrap_or(0) },
        limit: u32::try_from(limit).unwrap_or(1),
        wait: Duration::from_secs(wait),
    })
}

pub(super) async fn get(State(mut app): State<App>, parameters: Parameters) -> Answer {
    let question = question(&parameters)?;
    let deadline = Instant::now() + question.wait;
    // Before the first read: a commit between a read and the wait after it is not missed.
    let mut head = app.store.watch_head();
    loop {
        // One more than wanted, so that the page knows whether it holds everything.
        let feed = app.store.changes(&question.ask, question.limit.saturating_add(1)).await?;
        if !is_level(&feed) || *app.stopping.borrow() || Instant::now() >= deadline {
            let entries_max = usize::try_from(question.limit).unwrap_or(usize::MAX);
            let page = changes::page(&feed, entries_max)
                .map_err(|error| crate::store::StoreError::Broken(error.into()))?;
            return Ok(json_bytes(page));
        }
        drop(feed);
        let news = async {
            tokio::select! {
                _ = head.changed() => (),
                _ = app.stopping.changed() => (),
            }
        };
        // When time is up the feed is read once more and sent as it is.
        timeout_at(deadline, news).await.ok();
    }
}

/// Whether the gate has everything already.
fn is_level(feed: &Feed) -> bool {
    !feed.reset && feed.from == feed.standing.head
}
