//! Keys that get a successor, and keys that are out of force for a while.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{ACME, path, text};
use crate::harness::{Control, Directory};

fn time(resource: &Value, member: &str) -> Timestamp {
    text(resource, member).parse().expect("a time")
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// Whether a time lies this far ahead, give or take what the test itself takes.
fn lies_ahead(time: Timestamp, ahead: SignedDuration) -> bool {
    let off = time.duration_since(Timestamp::now()) - ahead;
    off.abs() < SignedDuration::from_secs(90)
}

/// Rows of: the old key's own life in days, what is asked for, the old key's end and the new one's, in
/// days from now.
#[tokio::test]
async fn the_old_key_gets_an_end_and_the_new_one_a_life() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let at = |ahead: i64| (Timestamp::now() + days(ahead)).to_string();
    for (life, asked, old_end, new_end) in [
        (None, json!({}), 7, None),
        (None, json!({"overlap": "0s"}), 0, None),
        (None, json!({"overlap": "7776000s"}), 90, None),
        (Some(30), json!({}), 7, Some(30)),
        (Some(3), json!({}), 3, Some(3)),
        (Some(3), json!({"overlap": "86400s"}), 1, Some(3)),
        (Some(30), json!({"expireTime": at(365)}), 7, Some(365)),
        (None, json!({"expireTime": at(10), "overlap": "86400s"}), 1, Some(10)),
    ] {
        let body = json!({"sender": "billing", "dataStreams": ["G-A"], "events": ["purchase"],
            "sourceNetworks": ["10.0.0.0/8"], "nickname": "Bills", "expireTime": life.map(at)});
        let old = control.post(&format!("{ACME}/apiKeys"), body).await.done();
        let answer = control.post(&format!("{}:rotate", path(&old)), asked.clone()).await;
        let new = answer.done();
        let secret = text(&new, "authenticationKey");
        assert!(secret.starts_with("mpg_") && secret != text(&old, "authenticationKey"));
        let shared =
            ["sender", "dataStreams", "events", "sourceNetworks", "nickname", "environment"];
        for member in shared {
            assert_eq!(new[member], old[member], "{member} {asked}");
        }
        let left = control.get(&path(&old)).await.done();
        assert_eq!((&left["successor"], &new["predecessor"]), (&new["name"], &old["name"]));
        assert!(lies_ahead(time(&left, "expireTime"), days(old_end)), "{asked}: {left}");
        match new_end {
            None => assert_eq!(new["expireTime"], json!(null), "{asked}"),
            Some(end) => assert!(lies_ahead(time(&new, "expireTime"), days(end)), "{asked}: {new}"),
        }
        // The new one comes first: no page ends between an old key that is over and no new one.
        assert!(new["revision"].as_u64() < left["revision"].as_u64());
    }
}

/// A rotation that is done again, because the successor was lost, gives the life that the first key had,
/// and not the few days that the first rotation left it.
#[tokio::test]
async fn a_rotation_that_is_repeated_does_not_shorten_the_key() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    for life in [None, Some(400)] {
        let end = life.map(|life| (Timestamp::now() + days(life)).to_string());
        let body = json!({"sender": "billing", "dataStreams": ["G-A"], "expireTime": end});
        let old = control.post(&format!("{ACME}/apiKeys"), body).await.done();
        let rotate = format!("{}:rotate", path(&old));
        let lost = control.post(&rotate, json!({})).await.done();
        let again = control.post(&rotate, json!({})).await;
        assert_eq!((again.status, text(&again.json(), "reason")), (409, "FAILED_PRECONDITION"));
        control.post(&format!("{}:disable", path(&lost)), json!({})).await.done();
        assert_eq!(control.post(&rotate, json!({})).await.status, 409, "it may be put back");
        control.delete(&path(&lost)).await.done();
        let new = control.post(&rotate, json!({})).await.done();
        match life {
            None => assert_eq!(new["expireTime"], json!(null)),
            Some(life) => assert!(lies_ahead(time(&new, "expireTime"), days(life)), "{new}"),
        }
    }
}

#[tokio::test]
async fn what_cannot_be_rotated() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let [active, disabled, expired, revoked] = [
        control.key("a", &["G-A"]).await,
        control.key("b", &["G-A"]).await,
        control.key("c", &["G-A"]).await,
        control.key("d", &["G-A"]).await,
    ];
    control.post(&format!("{}:disable", path(&disabled)), json!({})).await.done();
    control.post(&format!("{}:rotate", path(&expired)), json!({"overlap": "0s"})).await.done();
    control.delete(&path(&revoked)).await.done();
    assert_eq!(control.get(&path(&expired)).await.done()["state"], "EXPIRED");
    let before = control.everything().await;
    for (key, body, status, field) in [
        (&disabled, json!({}), 409, ""),
        (&expired, json!({}), 409, ""),
        (&revoked, json!({}), 409, ""),
        (&active, json!({"overlap": "7776001s"}), 400, "overlap"),
        (&active, json!({"overlap": "-1s"}), 400, "overlap"),
        (&active, json!({"overlap": "1.5s"}), 400, "overlap"),
        (&active, json!({"overlap": "7d"}), 400, "overlap"),
        (&active, json!({"overlap": 7}), 400, "overlap"),
        (&active, json!({"overlap": "99999999999999999999s"}), 400, "overlap"),
        (&active, json!({"expireTime": "2020-01-01T00:00:00Z"}), 400, "expireTime"),
        (&active, json!({"sender": "crm"}), 400, "sender"),
    ] {
        let answer = control.post(&format!("{}:rotate", path(key)), body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert_eq!(answer.json()["field"].as_str().unwrap_or_default(), field, "{body}");
    }
    for verb in ["disable", "enable"] {
        let answer = control.post(&format!("{}:{verb}", path(&revoked)), json!({})).await;
        assert_eq!(answer.status, 409, "{verb}");
        let overlap = json!({"overlap": "1s"});
        let answer = control.post(&format!("{}:{verb}", path(&active)), overlap).await;
        assert_eq!(answer.status, 400, "{verb} has no overlap");
    }
    assert_eq!(control.everything().await, before, "a refusal changes nothing");
}

/// Years are finite: the successor of a key that ends with them does too.
#[tokio::test]
async fn the_end_of_time_is_a_time() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let end = "9999-12-30T22:00:00Z";
    let body = json!({"sender": "billing", "dataStreams": ["G-A"], "expireTime": end});
    let mut key = control.post(&format!("{ACME}/apiKeys"), body).await.done();
    let began = Timestamp::now();
    while Timestamp::now().as_second() == began.as_second() {
        std::thread::yield_now();
    }
    key = control.post(&format!("{}:rotate", path(&key)), json!({})).await.done();
    assert_eq!(text(&key, "expireTime"), end);
}

#[tokio::test]
async fn a_key_is_taken_out_of_force_and_put_back() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let key = control.key("billing", &["G-A"]).await;
    let at = |verb: &str| format!("{}:{verb}", path(&key));
    // Rows of: the verb, the state, what gates are told, the revision.
    for (verb, state, told, revision) in [
        ("enable", "ACTIVE", "active", 2),
        ("disable", "DISABLED", "revoked", 3),
        ("disable", "DISABLED", "revoked", 3),
        ("enable", "ACTIVE", "active", 4),
        ("disable", "DISABLED", "revoked", 5),
    ] {
        let changed = control.post(&at(verb), json!({})).await.done();
        assert_eq!((&changed["state"], &changed["revision"]), (&json!(state), &json!(revision)));
        let feed = control.get("/v1/allowlist/changes").await.done();
        assert_eq!(feed["keys"].as_array().map(Vec::len), Some(1), "{feed}");
        let entry = &feed["keys"][0];
        assert_eq!((&entry["state"], &entry["revision"]), (&json!(told), &json!(revision)));
    }
    // It holds its stream, and is still its owner's to describe.
    assert_eq!(control.delete(&format!("{ACME}/dataStreams/G-A")).await.status, 409);
    let described = control.patch(&path(&key), json!({"nickname": "resting"})).await.done();
    assert_eq!(described["state"], "DISABLED", "a change of its words does not put it back");
    let feed = control.get("/v1/allowlist/changes").await.done();
    assert_eq!(feed["keys"][0]["state"], "revoked");
    assert_eq!(control.delete(&path(&key)).await.done()["state"], "REVOKED");
}
