//! Tokens: rotated, listed, revoked, and those that are no good.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::text;
use crate::harness::{Control, Directory};

async fn tokens(control: &Control, principal: &str) -> Vec<Value> {
    let list = control.get(&format!("/v1/principals/{principal}/tokens")).await.done();
    list["tokens"].as_array().cloned().unwrap_or_default()
}

async fn status(control: &Control, token: &str) -> u16 {
    control.call("GET", "/v1/measurementConsumers", Some(token), None).await.status
}

#[tokio::test]
async fn a_rotated_token_goes_on_for_its_overlap() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let rotate = "/v1/principals/viewer:rotate";
    let first = control.token("viewer", "viewer", &[]).await;
    let second = control.post(rotate, json!({"overlap": "3600s"})).await.done();
    let second = text(&second, "token").to_owned();
    assert_eq!((status(&control, &first).await, status(&control, &second).await), (200, 200));
    // Shorter than what is left of the first one; a longer one would not lengthen it.
    let third = control.post(rotate, json!({"overlap": "2s"})).await.done();
    let third = text(&third, "token").to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    for token in [&first, &second] {
        while status(&control, token).await == 200 {
            assert!(Instant::now() < deadline, "it does not end");
        }
    }
    assert_eq!(status(&control, &third).await, 200);
    let states: Vec<_> =
        tokens(&control, "viewer").await.iter().map(|it| it["state"].clone()).collect();
    assert_eq!(states, [json!("EXPIRED"), json!("EXPIRED"), json!("ACTIVE")]);
    let fourth = control.post(rotate, json!({"overlap": "0s"})).await.done();
    assert_eq!(status(&control, &third).await, 401, "at once");
    assert_eq!(status(&control, text(&fourth, "token")).await, 200);
    for (overlap, field) in [("2592001s", "overlap"), ("-1s", "overlap"), ("1h", "overlap")] {
        let answer = control.post(rotate, json!({"overlap": overlap})).await;
        assert_eq!((answer.status, text(&answer.json(), "field")), (400, field), "{overlap}");
    }
    // Five in force at the same time, and no more.
    for _ in 0..4 {
        control.post(rotate, json!({})).await.done();
    }
    assert_eq!(control.post(rotate, json!({})).await.status, 429);
    control.post(rotate, json!({"overlap": "0s"})).await.done();
    let state = |token: &Value| text(token, "state").to_owned();
    let active = tokens(&control, "viewer").await.iter().filter(|it| state(it) == "ACTIVE").count();
    assert_eq!(active, 1);
}

#[tokio::test]
async fn the_last_use_is_told_in_batches() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let token = control.token("viewer", "viewer", &[]).await;
    control.token("idle", "viewer", &[]).await;
    assert_eq!(status(&control, &token).await, 200);
    let deadline = Instant::now() + Duration::from_secs(40);
    while tokens(&control, "viewer").await[0]["lastUseTime"].is_null() {
        assert!(Instant::now() < deadline, "no last use");
    }
    let used = tokens(&control, "viewer").await.remove(0);
    assert!(text(&used, "lastUseTime") >= text(&used, "createTime"), "{used}");
    assert_eq!(tokens(&control, "idle").await[0]["lastUseTime"], json!(null));
    assert!(control.terminate().success(), "what was heard is written at the end");
}

#[tokio::test]
async fn one_token_is_revoked_and_the_others_stay() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let first = control.token("viewer", "viewer", &[]).await;
    let second = control.post("/v1/principals/viewer:rotate", json!({})).await.done();
    let second = text(&second, "token").to_owned();
    let name = text(&tokens(&control, "viewer").await[0], "name").to_owned();
    let revoked = control.delete(&format!("/v1/{name}")).await.done();
    assert_eq!((text(&revoked, "name"), text(&revoked, "state")), (&*name, "REVOKED"));
    assert_eq!((status(&control, &first).await, status(&control, &second).await), (401, 200));
    let again = control.delete(&format!("/v1/{name}")).await.done();
    assert_eq!(again, revoked, "revoking twice changes nothing");
    for (path, status) in [
        ("/v1/principals/viewer/tokens/000000000000", 404),
        ("/v1/principals/viewer/tokens/x", 404),
        ("/v1/principals/nobody/tokens/000000000000", 404),
        (&*format!("/v1/{}", name.replace("viewer", "admin")), 404),
        (&*format!("/v1/{name}?etag=x"), 400),
    ] {
        assert_eq!(control.delete(path).await.status, status, "{path}");
    }
}

/// Somebody must be able to administer control: an admin whose tokens are gone is none, and a token that
/// ends tomorrow is none tomorrow.
#[tokio::test]
async fn the_last_admins_last_token_stays() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let name = async |principal: &str, at: usize| {
        format!("/v1/{}", text(&tokens(&control, principal).await[at], "name"))
    };
    let refused = async |path: &str| {
        let answer = control.delete(path).await;
        assert_eq!((answer.status, text(&answer.json(), "reason")), (409, "FAILED_PRECONDITION"));
        assert!(text(&answer.json(), "detail").contains("last admin"), "{}", answer.text);
    };
    let own = name("admin", 0).await;
    refused(&own).await;
    refused("/v1/principals/admin").await;
    // Another admin, but one without a token.
    control.token("second", "admin", &[]).await;
    control.delete(&name("second", 0).await).await.done();
    refused(&own).await;
    refused("/v1/principals/admin").await;
    control.delete("/v1/principals/second").await.done();
    // A token that lasts, beside one that ends: the first cannot go, the second can.
    let lasting = control.post("/v1/principals/admin:rotate", json!({})).await.done();
    refused(&name("admin", 1).await).await;
    let lasting = text(&lasting, "token");
    let answer = control.call("DELETE", &own, Some(lasting), None).await;
    assert_eq!(answer.done()["state"], "REVOKED");
    assert_eq!(status(&control, &control.admin).await, 401);
    assert_eq!(status(&control, lasting).await, 200);
}

#[tokio::test]
async fn two_admins_who_revoke_each_other_leave_one() {
    for _ in 0..4 {
        let directory = Directory::new();
        let control = Control::start(&directory);
        let second = control.token("second", "admin", &[]).await;
        let one = control.call("DELETE", "/v1/principals/second", Some(&control.admin), None);
        let other = control.call("DELETE", "/v1/principals/admin", Some(&second), None);
        let (one, other) = tokio::join!(one, other);
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200);
        assert!([401, 409].contains(&statuses[1]), "{statuses:?}");
        let left = [status(&control, &control.admin).await, status(&control, &second).await];
        assert!(left.contains(&200) && left.contains(&401), "{left:?}");
    }
}

#[tokio::test]
async fn who_guesses_is_slowed_down_and_who_knows_is_not() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let wrong = format!("mpt_{}", "0".repeat(64));
    let mut plain = 0;
    let mut answer = control.call("GET", "/v1/principals", Some(&wrong), None).await;
    while answer.status == 401 {
        plain += 1;
        assert!(plain < 200, "it is never too much");
        answer = control.call("GET", "/v1/principals", Some(&wrong), None).await;
    }
    // 20 at once and one more a second, however slow this machine is.
    assert!(plain >= 20, "{plain}");
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    assert_eq!(text(&answer.json(), "reason"), "RESOURCE_EXHAUSTED");
    for _ in 0..30 {
        assert_eq!(status(&control, &control.admin).await, 200, "the address is not shut out");
    }
}
