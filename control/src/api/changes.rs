//! `GET /v1/allowlist/changes`: one page for a gate, at once or when there is something new.

use core::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use mpgate_contract::{Ask, limits};
use tokio::time::{Instant, timeout_at};

use super::input::Parameters;
use super::problem::Problem;
use super::{Answer, App, json_bytes};
use crate::model::Scope;
use crate::service::{Caller, Greeting, Question};
use crate::store::Standing;

/// What the query asks for, and for how long it may be held open.
fn question(parameters: &Parameters) -> Result<(Question, Duration), Problem> {
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
    let question = Question {
        ask: Ask { epoch, since: parameters.number("since")?.unwrap_or(0) },
        // One more than wanted, so that the page knows whether it holds everything.
        limit: u32::try_from(limit).unwrap_or(1).saturating_add(1),
    };
    Ok((question, Duration::from_secs(wait)))
}

/// What a gateway says of itself, in headers. What is not there, or no text, is empty.
fn greeting(headers: &HeaderMap) -> Greeting {
    let text = |name: &str, bytes_max: usize| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.get(..bytes_max).unwrap_or(value).to_owned()
    };
    let instance = text("x-mpgate-instance", INSTANCE_BYTES_MAX);
    let is_instance =
        instance.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let capabilities = text("x-mpgate-capabilities", TEXT_BYTES_MAX);
    let named = capabilities.split(',').map(str::trim).filter(|name| !name.is_empty());
    let gate = text("x-mpgate-gate", GATE_BYTES_MAX);
    let is_gate = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    Greeting {
        gate: if gate.bytes().all(is_gate) { gate } else { String::new() },
        node: text("x-mpgate-node", TEXT_BYTES_MAX),
        instance: if is_instance { instance } else { String::new() },
        version: text("x-mpgate-version", VERSION_BYTES_MAX),
        capabilities: named.take(limits::REQUIRES_MAX).map(str::to_owned).collect(),
    }
}

/// A random number in hexadecimal.
const INSTANCE_BYTES_MAX: usize = 16;

/// A gate's configuration takes no longer name.
const GATE_BYTES_MAX: usize = 63;

/// `0.1.0`, perhaps with a commit.
const VERSION_BYTES_MAX: usize = 64;

/// A node id, a list of capabilities.
const TEXT_BYTES_MAX: usize = 255;

pub(super) async fn get(
    State(mut app): State<App>,
    mut caller: Caller,
    headers: HeaderMap,
    parameters: Parameters,
) -> Answer {
    let (question, wait) = question(&parameters)?;
    let deadline = Instant::now() + wait;
    // Before the first read: a commit between a read and the wait after it is not missed.
    let mut head = app.service.watch_head();
    let hint = head.borrow().clone();
    app.service.greet(&caller, &greeting(&headers), &question.ask, &hint).await?;
    let mut was_held = false;
    loop {
        let standing = head.borrow_and_update().clone();
        let ends = *app.stopping.borrow() || Instant::now() >= deadline;
        // What the watch says is a hint, but a good reason to wait: it tells when it changes.
        if ends || !is_level(&caller, &question, &standing) {
            if was_held {
                caller = app.service.still(&caller).await?;
            }
            let page = app.pages.get(&app.service, &caller, &question, &standing).await?;
            if ends || !page.is_level {
                return Ok(json_bytes(page.body));
            }
        }
        let news = async {
            tokio::select! {
                _ = head.changed() => (),
                _ = app.stopping.changed() => (),
            }
        };
        let _open = app.metrics.open_poll();
        // When time is up the feed is read once more and sent as it is.
        timeout_at(deadline, news).await.ok();
        was_held = true;
    }
}

fn is_level(caller: &Caller, question: &Question, standing: &Standing) -> bool {
    let epoch = Scope::of(&caller.principal).epoch(&standing.epoch);
    question.ask.epoch == epoch && question.ask.since == standing.head
}
