//! `mpgate admin reset`, beside a control that goes on and without one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Control, Directory, MPGATE};

fn reset(directory: &Directory, line: &str) -> Output {
    let mut command = Command::new(MPGATE);
    command.env_clear().env("MPGATE_DATABASE", directory.database());
    command.current_dir(directory.path()).args(["admin", "reset"]);
    command.args(line.split_whitespace()).output().expect("the command runs")
}

async fn status(control: &Control, token: &str) -> u16 {
    control.call("GET", "/v1/principals", Some(token), None).await.status
}

#[tokio::test]
async fn whoever_has_the_machine_gets_in_again() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let body = serde_json::json!({"role": "admin"});
    let other = control.post("/v1/principals", body).await.done();
    let other = other["token"].as_str().expect("a token");

    let output = reset(&directory, "--token-to new-token");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let token = fs::read_to_string(directory.join("new-token")).expect("the token");
    assert!(out.contains("admin is in new-token") && !out.contains("mpt_"), "{out}");
    let mode = fs::metadata(directory.join("new-token")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // At once: the old token is over, another administrator's is not.
    assert_eq!(status(&control, &token).await, 200);
    assert_eq!(status(&control, &control.admin).await, 401);
    assert_eq!(status(&control, other).await, 200);
    let trail = control.call("GET", "/v1/auditEvents", Some(&token), None).await.done();
    let events = trail["auditEvents"].as_array().expect("a list");
    assert!(events.iter().any(|event| event["action"] == "reset_admin"), "{trail}");
    assert!(control.terminate().success());

    // Without a control, and printed because that is wanted.
    let output = reset(&directory, "--show-secret --output json");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["name"], "principals/admin");
    let printed = answer["token"].as_str().expect("a token").to_owned();
    let control = Control::start(&directory);
    assert_eq!(status(&control, &token).await, 401);
    assert_eq!(status(&control, &printed).await, 200);

    // As docs/kubernetes.md takes it from a pod: it is the last line.
    let output = reset(&directory, "--show-secret");
    let out = String::from_utf8(output.stdout).expect("text");
    let last = out.lines().last().expect("a line");
    assert_eq!((status(&control, &printed).await, status(&control, last).await), (401, 200));
}

#[tokio::test]
async fn a_reset_that_cannot_be_told_is_not_done() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    fs::write(directory.join("taken"), "somebody's").expect("a file");
    for (line, words) in [
        ("", "no terminal"),
        ("--token-to taken", "cannot write the token to taken"),
        ("--token-to no/such/folder", "cannot write the token"),
        ("--database missing --token-to x", "there is no database missing"),
        ("--database taken --token-to x", "not a database"),
    ] {
        let output = reset(&directory, line);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(words), "{line}: {error}");
        assert_eq!(status(&control, &control.admin).await, 200, "{line}");
        assert!(!directory.join("x").exists() && !directory.join("missing").exists(), "{line}");
    }
    let taken = fs::read_to_string(directory.join("taken")).expect("the file");
    assert_eq!(taken, "somebody's");
}
