//! A change feed that is made up: any number of keys, any epoch, in the contract's own format, without
//! a database. What a gate is told by it is told by nothing else, so what it does is seen alone.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::stack::{CLUB, CONSUMER, SHOP};
use crate::upstream::{Answer, Received, Upstream};

/// A key: its secret, and what is said of it.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) stream: &'static str,
    pub(super) secret: String,
    pub(super) is_revoked: bool,
}

impl Key {
    pub(super) fn new(stream: &'static str, secret: &str) -> Self {
        Self { stream, secret: secret.to_owned(), is_revoked: false }
    }

    fn entry(&self, revision: usize) -> String {
        let digest = hex::encode(Sha256::digest(&self.secret));
        let state = if self.is_revoked { "revoked" } else { "active" };
        let grant = json!({
            "key_id": format!("{:0>12}", revision % 1_000_000),
            "sender": format!("sender-{}", revision % 100),
            "streams": [self.stream],
        });
        json!({"revision": revision, "digest": digest, "state": state, "grant": grant}).to_string()
    }
}

/// One list: an epoch, and entries in the order of their revisions.
#[derive(Default)]
struct List {
    /// The most entries that a page had.
    largest: u64,
    /// Pages that will have the mark that kills a module with a trap.
    poisoned: u64,
    epoch: String,
    streams: Vec<String>,
    /// Entry `i` has the revision `streams.len() + i + 1`.
    keys: Vec<String>,
}

#[derive(Default)]
struct Shared {
    list: Mutex<List>,
    changed: Condvar,
}

/// The feed. Its server ends when it is dropped.
pub(super) struct Feed {
    upstream: Upstream,
    shared: Arc<Shared>,
}

impl Feed {
    pub(super) fn start() -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let told = Arc::clone(&shared);
        let upstream = Upstream::start(move |request| told.answer(request))?;
        Ok(Self { upstream, shared })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.upstream.address()
    }

    /// The most entries that a page of this list had.
    pub(super) fn largest_page(&self) -> u64 {
        self.shared.list().largest
    }

    /// Puts the mark of `trap-for-tests` into the next page that says anything.
    pub(super) fn poison(&self) {
        self.shared.list().poisoned += 1;
    }

    /// Whether nobody has taken that page yet.
    pub(super) fn is_poisoned(&self) -> bool {
        self.shared.list().poisoned > 0
    }

    /// Replaces the list by this one, of a new epoch; answers its last revision.
    pub(super) fn replace(&self, epoch: &str, keys: &[Key]) -> u64 {
        let streams = [(SHOP, json!("none")), (CLUB, json!({"replace": "GA4_API_SECRET"}))];
        let stream = |(number, (id, secret)): (usize, (&str, serde_json::Value))| {
            let (consumer, environment) = (CONSUMER, "production");
            let stream = json!({"id": id, "consumer": consumer, "environment": environment, "upstream_secret": secret});
            json!({"revision": number + 1, "state": "active", "stream": stream}).to_string()
        };
        let streams: Vec<String> = streams.into_iter().enumerate().map(stream).collect();
        let first = streams.len() + 1;
        let keys: Vec<String> =
            keys.iter().enumerate().map(|(number, key)| key.entry(first + number)).collect();
        let head = streams.len() + keys.len();
        let mut list = self.shared.list();
        let poisoned = list.poisoned;
        *list = List { largest: 0, poisoned, epoch: epoch.to_owned(), streams, keys };
        drop(list);
        self.shared.changed.notify_all();
        head as u64
    }
}

impl Shared {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Received) -> Answer {
        let path = request.path();
        if !path.starts_with("/v1/allowlist/changes") {
            // A report of usage, which must not be told a page that is meant for the poller.
            return Answer::json(200, &json!({}));
        }
        let asked = |name: &str| {
            let query = path.split_once('?').map_or("", |(_, query)| query);
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
        };
        let number = |name: &str| asked(name).parse::<usize>().unwrap_or(0);
        let (epoch, since) = (asked("epoch").to_owned(), number("since"));
        let until = Instant::now() + Duration::from_secs(number("wait") as u64);
        let mut list = self.list();
        while list.epoch == epoch && list.head() == since && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            let waited = self.changed.wait_timeout(list, left);
            list = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Answer::Respond(200, headers, list.page(&epoch, since, number("limit")).into_bytes())
    }
}

impl List {
    fn head(&self) -> usize {
        self.streams.len() + self.keys.len()
    }

    fn page(&mut self, epoch: &str, since: usize, limit: usize) -> String {
        let is_reset = epoch != self.epoch || since > self.head();
        let from = if is_reset { 0 } else { since };
        let to = from.saturating_add(limit.max(1)).min(self.head());
        self.largest = self.largest.max((to - from) as u64);
        let mut mark = "";
        if self.poisoned > 0 && to > from {
            self.poisoned -= 1;
            mark = "\"note\":\"trap-for-tests\",";
        }
        let between = |entries: &[String], first: usize| {
            let start = from.saturating_sub(first).min(entries.len());
            let end = to.saturating_sub(first).min(entries.len());
            entries.get(start..end).unwrap_or_default().join(",")
        };
        let mut page = String::new();
        // A String takes everything.
        let _written = write!(
            page,
            "{{{mark}\"epoch\":\"{}\",\"reset\":{is_reset},\"from\":{from},\"to\":{to},\"head\":{},\"keys\":[{}],\"streams\":[{}]}}",
            self.epoch,
            self.head(),
            between(&self.keys, self.streams.len()),
            between(&self.streams, 0)
        );
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1;
    use crate::message::Request;

    #[test]
    fn its_pages_add_up() {
        let feed = Feed::start().expect("a feed");
        let keys: Vec<Key> = (0..5).map(|number| Key::new(SHOP, &format!("k{number}"))).collect();
        assert_eq!(feed.replace("one", &keys), 7);
        let ask = |epoch: &str, since: u64| {
            let path = format!("/v1/allowlist/changes?epoch={epoch}&since={since}&limit=3&wait=0");
            http1::send(feed.address(), &Request::get(path)).expect("an answer").json().expect("it")
        };
        let mut seen = (0, 0);
        let mut page = ask("", 0);
        assert_eq!((&page["reset"], &page["from"]), (&true.into(), &0.into()));
        loop {
            seen.0 += page["keys"].as_array().map_or(0, Vec::len);
            seen.1 += page["streams"].as_array().map_or(0, Vec::len);
            let to = page["to"].as_u64().expect("a revision");
            for key in page["keys"].as_array().into_iter().flatten() {
                let revision = key["revision"].as_u64().expect("a revision");
                assert!(revision <= to && Some(revision) > page["from"].as_u64());
            }
            if to == 7 {
                break;
            }
            page = ask("one", to);
            assert_eq!((&page["reset"], &page["from"]), (&false.into(), &to.into()));
        }
        assert_eq!(seen, (5, 2));
        assert_eq!(ask("one", 8)["reset"], true, "it is ahead");
    }
}
