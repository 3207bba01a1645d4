//! The keys of the benchmark: secrets as control issues them, in length and alphabet, made from their number.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The stream that all events are for.
pub(crate) const STREAM: &str = "G-SHOP000001";

/// The number of the key that sends.
pub(crate) const SENDING: usize = 0;

/// A secret.
pub(crate) fn secret(number: usize) -> String {
    let seed = Sha256::digest(number.to_le_bytes());
    let seed: [u8; 48] = std::array::from_fn(|index| seed[index % seed.len()]);
    let (_, secret) = mpgate_contract::issue(&seed);
    String::from_utf8_lossy(secret.expose()).into_owned()
}

pub(crate) fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// What the gate is told of its keys, page for page, in the change feed's own format.
pub(crate) struct Feed {
    keys: usize,
    grant: &'static str,
}

impl Feed {
    pub(crate) const fn new(keys: usize, grant: &'static str) -> Self {
        Self { keys, grant }
    }

    /// The last revision: the stream has the first.
    pub(crate) const fn head(&self) -> usize {
        self.keys + 1
    }

    /// The page behind `since`, of at most `limit` entries.
    pub(crate) fn page(&self, epoch: &str, since: usize, limit: usize) -> String {
        let is_reset = epoch != "bench" || since > self.head();
        let from = if is_reset { 0 } else { since };
        let to = from.saturating_add(limit.max(1)).min(self.head());
        let mut keys = String::new();
        for revision in (from + 1).max(2)..=to {
            let comma = if keys.is_empty() { "" } else { "," };
            // The sending key comes last: whoever is served has all of the list.
            let number = self.head() - revision;
            // A String takes everything.
            let _written = write!(
                keys,
                r#"{comma}{{"revision":{revision},"digest":"{}","state":"active","grant":{{"key_id":"{revision:012}","sender":"sender-{}","streams":["{STREAM}"]{}}}}}"#,
                digest(&secret(number)),
                number % 100,
                self.grant,
            );
        }
        let stream = format!(
            r#"{{"revision":1,"state":"active","stream":{{"id":"{STREAM}","consumer":"acme","environment":"production","upstream_secret":"none"}}}}"#
        );
        let streams = if from == 0 && to > 0 { stream } else { String::new() };
        format!(
            r#"{{"epoch":"bench","reset":{is_reset},"from":{from},"to":{to},"head":{},"keys":[{keys}],"streams":[{streams}]}}"#,
            self.head()
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn pages_add_up() {
        let feed = Feed::new(5, "");
        let (mut since, mut seen) = (0, 0);
        while since < feed.head() {
            let epoch = if since == 0 { "" } else { "bench" };
            let page: Value = serde_json::from_str(&feed.page(epoch, since, 2)).expect("JSON");
            assert_eq!(page["reset"], since == 0);
            seen += page["keys"].as_array().map_or(0, Vec::len);
            since = usize::try_from(page["to"].as_u64().expect("to")).expect("small");
        }
        assert_eq!(seen, 5);
    }
}
