//! The last requests, as they came. Bounded; the oldest goes first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;
use serde_json::{Value, json};

/// Requests that are kept.
const REQUESTS_MAX: usize = 10_000;

/// Of each body this much is kept; its size is always told.
const BODY_SHOWN_BYTES_MAX: usize = 8 * 1024;

/// What has reached the collector; clones share one record.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    total: u64,
    events: VecDeque<Value>,
}

impl Record {
    pub(crate) fn add(&self, head: &Parts, body: &[u8]) {
        let shown = body.get(..BODY_SHOWN_BYTES_MAX).unwrap_or(body);
        let headers: Vec<Value> = head
            .headers
            .iter()
            .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
            .collect();
        let event = json!({
            "method": head.method.as_str(),
            // The target as it was sent, query included.
            "path": head.uri.to_string(),
            "headers": headers,
            "body_bytes": body.len(),
            "body": String::from_utf8_lossy(shown),
        });
        let mut seen = self.seen();
        seen.total += 1;
        if seen.events.len() == REQUESTS_MAX {
            seen.events.pop_front();
        }
        seen.events.push_back(event);
    }

    pub(crate) fn show(&self) -> Value {
        let seen = self.seen();
        json!({"total": seen.total, "events": seen.events})
    }

    pub(crate) fn forget(&self) {
        *self.seen() = Seen::default();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn head(path: &str) -> Parts {
        Request::post(path).header("x-note", "kept").body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_request_is_shown_as_it_came() {
        let record = Record::default();
        record.add(&head("/mp/collect?measurement_id=G-A"), b"{}");
        let shown = record.show();
        assert_eq!(shown["total"], 1);
        assert_eq!(shown["events"][0]["path"], "/mp/collect?measurement_id=G-A");
        assert_eq!(shown["events"][0]["headers"], json!([["x-note", "kept"]]));
        assert_eq!(shown["events"][0]["body"], "{}");
    }

    #[test]
    fn the_oldest_goes_first_and_the_total_stays_true() {
        let record = Record::default();
        for number in 0..=REQUESTS_MAX {
            record.add(&head(&format!("/{number}")), b"");
        }
        let shown = record.show();
        assert_eq!(shown["total"], REQUESTS_MAX + 1);
        assert_eq!(shown["events"].as_array().map(Vec::len), Some(REQUESTS_MAX));
        assert_eq!(shown["events"][0]["path"], "/1");
    }

    #[test]
    fn forgetting_starts_from_nothing() {
        let record = Record::default();
        record.add(&head("/"), b"");
        record.forget();
        assert_eq!(record.show(), json!({"total": 0, "events": []}));
    }
}
