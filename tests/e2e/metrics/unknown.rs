//! Secrets that no key has are seen on the status page: so many digits of a digest, and no more.

use mpgate_testbed::stack::{SHOP, purchase};
use mpgate_testbed::{EnvoyConfig, Stack, poll};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::SOON;

fn prefix(secret: &str) -> String {
    let digest = Sha256::digest(secret);
    let digits: Vec<_> = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// What the status page tells: prefix and count.
fn told(stack: &Stack) -> Vec<(String, u64)> {
    let page = stack.envoy.status().expect("a page");
    let row = |row: &Value| {
        assert_eq!(row["count"], row["count_min"], "{row}");
        let is_now = row["last_time"].as_u64().is_some_and(|time| time > 1_700_000_000);
        assert!(is_now, "{row}");
        let prefix = row["digest_prefix"].as_str().unwrap_or_default().to_owned();
        (prefix, row["count"].as_u64().unwrap_or_default())
    };
    page["unknown_secrets"].as_array().expect("a list").iter().map(row).collect()
}

#[test]
fn unknown_secrets_of_all_workers_are_on_the_status_page() {
    let stack = Stack::builder().concurrency(4).start().expect("a stack");
    let revoked = stack.issue("till", &[SHOP]).expect("a key");
    stack.revoke(&revoked).expect("revoked");
    let page = stack.envoy.status().expect("a page");
    assert_eq!(page["unknown_secrets"], json!([]));
    // Each over a connection of its own, and so at whichever worker.
    let answers = [("guess-a", 12, 401), ("guess-b", 5, 401), (&*revoked.secret, 4, 403)];
    for (secret, times, status) in answers {
        for _ in 0..times {
            assert_eq!(stack.send(&purchase(SHOP, secret)).expect("an answer").status, status);
        }
    }
    // What is damaged is looked up nowhere; what is genuine is known.
    let damaged = stack.billing.secret.get(..40).expect("a secret");
    assert_eq!(stack.send(&purchase(SHOP, damaged)).expect("an answer").status, 401);
    assert_eq!(stack.send(&purchase(SHOP, &stack.billing.secret)).expect("an answer").status, 204);
    let expected = [(prefix("guess-a"), 12), (prefix("guess-b"), 5)];
    let all = || (told(&stack) == expected).then_some(());
    let waited = poll::until("both", SOON, all);
    assert!(waited.is_ok(), "{:?}", told(&stack));
    let text = stack.envoy.status().expect("a page")["unknown_secrets"].to_string();
    let longest = text.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
    assert_eq!(longest, Some("1700000000".len()), "more of a digest than eight digits: {text}");
}

#[test]
fn in_dry_run_they_are_seen_too() {
    let dry = |config: &mut EnvoyConfig| {
        config.gate()?["mode"] = "dry_run".into();
        Ok(())
    };
    let stack = Stack::builder().edit(dry).start().expect("a stack");
    assert_eq!(stack.send(&purchase(SHOP, "guess")).expect("an answer").status, 204);
    let seen = || (told(&stack) == [(prefix("guess"), 1)]).then_some(());
    poll::until("it", SOON, seen).expect("seen");
}
