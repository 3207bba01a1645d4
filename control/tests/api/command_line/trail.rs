//! The trail by command: shown, narrowed down, followed; and what was denied.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::life::{Site, id};
use crate::harness::MPGATE;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_denied_is_shown() {
    let site = Site::new();
    let token = site.json("principals create watcher --role viewer --show-secret")["token"].clone();
    let token = token.as_str();
    let answer = site.control.call("GET", "/v1/principals", token, None).await;
    assert_eq!(answer.status, 403);
    let deadline = Instant::now() + Duration::from_secs(20);
    let shown = loop {
        let shown = site.done("audit --denied");
        if shown.lines().count() > 1 {
            break shown;
        }
        assert!(Instant::now() < deadline, "{shown}");
    };
    let line = shown.lines().nth(1).expect("an event");
    for words in [" principals/watcher ", " denied ", "  GET /v1/principals  1"] {
        assert!(line.contains(words), "{words}: {shown}");
    }
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert_eq!(site.done("audit --action denied"), shown);
    assert_eq!(site.run("audit --denied --action create").code, Some(2));
}

#[test]
fn the_trail_is_shown_and_followed() {
    let site = Site::new();
    let key = site.key("billing", "");
    let table = site.done("audit");
    assert!(table.starts_with("TIME ") && table.contains("principals/admin"), "{table}");
    let events = |flags: &str| site.json(&format!("audit {flags}"))["auditEvents"].clone();
    let count = |flags: &str| events(flags).as_array().map_or(0, Vec::len);
    let name = key["name"].as_str().expect("a name");
    assert_eq!(count(&format!("--resource {name}")), 1);
    assert_eq!(count("--limit 2"), 2);
    assert_eq!(count("--principal nobody"), 0);
    assert_eq!(count("--principal admin --since 1h --consumer acme"), 3);
    let all = events("");
    assert_eq!(events("--limit 1")[0], all[all.as_array().map_or(0, Vec::len) - 1]);

    // Followed: what is done from now on comes too, one event in a line.
    let mut command = Command::new(MPGATE);
    command.env_clear().envs(site.environment());
    command.args(["audit", "--follow", "--limit", "1", "--output", "json"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = out.lines();
    let mut next = || -> Value {
        serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON")
    };
    assert_eq!(next()["resource"], name);
    site.done(&format!("keys delete {}", id(&key)));
    let event = next();
    assert_eq!((&event["resource"], &event["before"]["state"]), (&json!(name), &json!("ACTIVE")));
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
}
