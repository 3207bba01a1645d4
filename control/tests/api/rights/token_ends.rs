//! Tokens that end by themselves: when they were told to, and whom that may not shut out.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::text;
use crate::harness::{Control, Directory};

fn in_seconds(seconds: i64) -> String {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    jiff::Timestamp::from_second(end.as_second()).expect("a time").to_string()
}

async fn status(control: &Control, token: &str) -> u16 {
    control.call("GET", "/v1/tokens:self", Some(token), None).await.status
}

async fn tokens(control: &Control, principal: &str) -> Vec<Value> {
    let list = control.get(&format!("/v1/principals/{principal}/tokens")).await.done();
    list["tokens"].as_array().cloned().unwrap_or_default()
}

fn seconds(time: &Value) -> i64 {
    let time = time.as_str().unwrap_or_else(|| panic!("no time: {time}"));
    time.parse::<jiff::Timestamp>().expect("a time").as_second()
}

/// How long a token was given.
fn life(token: &Value) -> i64 {
    seconds(&token["expireTime"]) - seconds(&token["createTime"])
}

#[tokio::test]
async fn a_token_ends_when_it_was_told_to() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let end = in_seconds(3);
    let body = json!({"principalId": "guest", "role": "viewer", "expireTime": end});
    let created = control.post("/v1/principals", body).await.done();
    assert_eq!(created["expireTime"], end);
    let token = text(&created, "token").to_owned();
    let own = control.call("GET", "/v1/tokens:self", Some(&token), None).await.done();
    let name = text(&own, "name");
    assert!(name.starts_with("principals/guest/tokens/"), "{own}");
    assert_eq!((&own["expireTime"], &own["state"]), (&json!(end), &json!("ACTIVE")));
    let shown = control.get("/v1/principals/guest").await.done();
    assert_eq!((&shown["expireTime"], &shown["state"]), (&json!(end), &json!("ACTIVE")));
    let filter = format!("/v1/principals?filter=expireTime%20%3C=%20%22{end}%22");
    let found = control.get(&filter).await.done();
    assert_eq!(found["principals"], json!([shown]), "those without an end are not among them");
    let event = control.trail(&control.admin).await.remove(0);
    assert_eq!((&event["action"], &event["after"]["expireTime"]), (&json!("create"), &json!(end)));

    let deadline = Instant::now() + Duration::from_secs(20);
    while status(&control, &token).await == 200 {
        assert!(Instant::now() < deadline, "it does not end");
    }
    assert_eq!(status(&control, &token).await, 401);
    assert_eq!(tokens(&control, "guest").await[0]["state"], "EXPIRED");
    // The principal is there, and another token lets it in again.
    let again = json!({"expireTime": null});
    let again = control.post("/v1/principals/guest:rotate", again).await.done();
    assert_eq!(again["expireTime"], json!(null));
    assert_eq!(status(&control, text(&again, "token")).await, 200);
}

/// Without a word a rotation repeats what the token before was given, and not what an overlap left of it.
#[tokio::test]
async fn a_rotation_gives_as_long_a_life_as_before() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let rotate = async |body: Value| control.post("/v1/principals/guest:rotate", body).await.done();
    let end = in_seconds(30 * 86_400);
    let body = json!({"principalId": "guest", "role": "viewer", "expireTime": end});
    control.post("/v1/principals", body).await.done();
    let given = life(&tokens(&control, "guest").await[0]);
    assert!((30 * 86_400 - 5..=30 * 86_400).contains(&given), "{given}");

    let rotated = rotate(json!({"overlap": "60s"})).await;
    let all = tokens(&control, "guest").await;
    assert_eq!(life(&all[1]), given);
    assert!(life(&all[0]) < 100, "{all:?}");
    assert_eq!(rotated["expireTime"], all[1]["expireTime"], "of the two the last");
    // The newest is revoked before it was put anywhere: what counts is still what it was given.
    control.delete(&format!("/v1/{}", text(&all[1], "name"))).await.done();
    let shown = control.get("/v1/principals/guest").await.done();
    assert_eq!(shown["expireTime"], all[0]["expireTime"], "the revoked one does not count");
    rotate(json!({})).await;
    assert_eq!(life(&tokens(&control, "guest").await[2]), given);

    let lasting = rotate(json!({"expireTime": null})).await;
    assert_eq!(lasting["expireTime"], json!(null));
    let lasting = rotate(json!({"overlap": "0s"})).await;
    assert_eq!(lasting["expireTime"], json!(null), "and so for one without an end");
    let end = in_seconds(3_600);
    let ends = rotate(json!({"expireTime": end, "overlap": "0s"})).await;
    assert_eq!(ends["expireTime"], end);
    let event = control.trail(&control.admin).await.remove(0);
    assert_eq!(event["before"]["expireTime"], json!(null));
    assert_eq!((&event["action"], &event["after"]["expireTime"]), (&json!("rotate"), &json!(end)));
}

/// A token that ends counts for nobody: when the last administrator's is over, control is locked.
#[tokio::test]
async fn a_token_with_an_end_does_not_keep_control_from_being_locked() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let end = in_seconds(86_400);
    let refused = async |method: &str, path: &str, body: Value| {
        let answer = control.as_(&control.admin, method, path, body).await;
        assert_eq!((answer.status, text(&answer.json(), "reason")), (409, "FAILED_PRECONDITION"));
        assert!(text(&answer.json(), "detail").contains("last admin"), "{}", answer.text);
    };
    let rotate = "/v1/principals/admin:rotate";
    refused("POST", rotate, json!({"expireTime": end})).await;
    refused("POST", rotate, json!({"expireTime": end, "overlap": "0s"})).await;
    // A second administrator, until tomorrow.
    let body = json!({"principalId": "second", "role": "admin", "expireTime": end});
    let second = control.post("/v1/principals", body).await.done();
    refused("POST", rotate, json!({"expireTime": end})).await;
    refused("DELETE", "/v1/principals/admin", json!({})).await;
    let own = text(&tokens(&control, "admin").await[0], "name").to_owned();
    refused("DELETE", &format!("/v1/{own}"), json!({})).await;
    // Its own end can be renewed, by itself too: the first one stays.
    let second = text(&second, "token");
    let path = "/v1/principals/second:rotate";
    control.as_(second, "POST", path, json!({})).await.done();
    // With an administrator who stays the first one may end.
    control.as_(second, "POST", path, json!({"expireTime": null})).await.done();
    let ends = control.post(rotate, json!({"expireTime": end})).await.done();
    assert_eq!(ends["expireTime"], end);
    // Now the second is the last one, and what the first was given is not asked for in words.
    refused("POST", path, json!({"expireTime": end})).await;
    control.post(rotate, json!({})).await.done();
    control.delete("/v1/principals/admin").await.done();
}
