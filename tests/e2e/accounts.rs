//! What the gate says of a request afterwards: its series in the metrics and its line in the access
//! log. All of it is compared, so that a request counted twice or under another label is seen.

use std::collections::BTreeMap;

use mpgate_testbed::Stack;
use serde_json::Value;

/// The words of one request, in the order of the access log; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Words {
    pub(crate) verdict: String,
    pub(crate) action: String,
    pub(crate) outcome: String,
    pub(crate) reason: String,
    pub(crate) sender: String,
    pub(crate) key: String,
    pub(crate) stream: String,
}

impl Words {
    /// A genuine request.
    pub(crate) fn genuine(sender: &str, key: &str, stream: &str) -> Self {
        Self::told("genuine", "forward", "accepted", "").of(sender, key).on(stream)
    }

    /// A refused one.
    pub(crate) fn refused(verdict: &str, reason: &str) -> Self {
        Self::told(verdict, "answer", "refused", reason)
    }

    /// One that would have been refused.
    pub(crate) fn dry_run(verdict: &str, reason: &str) -> Self {
        Self::told(verdict, "forward", "dry_run", reason)
    }

    /// One that was not judged.
    pub(crate) fn unjudged(verdict: &str) -> Self {
        Self::told(verdict, "forward", "off", "")
    }

    pub(crate) fn of(mut self, sender: &str, key: &str) -> Self {
        (self.sender, self.key) = (sender.to_owned(), key.to_owned());
        self
    }

    pub(crate) fn on(mut self, stream: &str) -> Self {
        stream.clone_into(&mut self.stream);
        self
    }

    fn told(verdict: &str, action: &str, outcome: &str, reason: &str) -> Self {
        Self {
            verdict: verdict.to_owned(),
            action: action.to_owned(),
            outcome: outcome.to_owned(),
            reason: reason.to_owned(),
            ..Self::default()
        }
    }

    /// Whether a line of the access log says the same.
    pub(crate) fn are_in(&self, line: &Value) -> bool {
        *self == Self::logged(line)
    }

    fn logged(line: &Value) -> Self {
        let word = |name: &str| match line[name].as_str() {
            Some("-") | None => String::new(),
            Some(word) => word.to_owned(),
        };
        Self {
            verdict: word("verdict"),
            action: word("action"),
            outcome: word("outcome"),
            reason: word("reason"),
            sender: word("sender"),
            key: word("key"),
            stream: word("stream"),
        }
    }

    /// The labels under which it is counted.
    fn series(&self) -> [String; 4] {
        let or = |word: &str, other: &str| if word.is_empty() { other } else { word }.to_owned();
        [
            or(&self.sender, "unknown"),
            or(&self.stream, "unknown"),
            self.outcome.clone(),
            or(&self.reason, "none"),
        ]
    }
}

/// Every series of `mpgate_requests_total`: sender, stream, outcome, reason.
pub(crate) fn counted(stack: &Stack) -> BTreeMap<[String; 4], u64> {
    let metrics = stack.envoy.metrics().expect("metrics");
    let series = metrics.named("mpgate_requests_total").map(|sample| {
        let labels: Vec<&str> = sample.labels.keys().map(String::as_str).collect();
        assert_eq!(labels, ["gate", "outcome", "reason", "sender", "stream"], "{sample:?}");
        let label = |name: &str| sample.labels[name].clone();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
        let value = sample.value as u64;
        ([label("sender"), label("stream"), label("outcome"), label("reason")], value)
    });
    series.collect()
}

/// Checks that metrics and access log tell of these requests and of nothing else. Answers the lines.
pub(crate) fn assert_told(stack: &Stack, requests: &[Words]) -> Vec<Value> {
    let mut expected = BTreeMap::new();
    for words in requests.iter().filter(|words| !words.outcome.is_empty()) {
        *expected.entry(words.series()).or_default() += 1;
    }
    assert_eq!(counted(stack), expected, "mpgate_requests_total");

    // Lines of different workers may change places.
    let lines = stack.envoy.wait_for_access_log(requests.len()).expect("the access log");
    let mut logged: Vec<Words> = lines.iter().map(Words::logged).collect();
    let mut told = requests.to_vec();
    logged.sort();
    told.sort();
    assert_eq!(logged, told, "the access log");
    lines
}
