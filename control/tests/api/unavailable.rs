//! The database is held by another process, or cannot be written: control says so, goes on reading, and
//! goes on writing when it can.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::harness::{Control, Directory, MPGATE, is_skipped_on_postgres, serve};

async fn hold(directory: &Directory, how: &'static str) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
    let mut connection = options.connect().await.expect("the database");
    sqlx::raw_sql(how).execute(&mut connection).await.expect("the lock");
    connection
}

#[tokio::test]
async fn while_another_process_writes_a_change_waits_and_is_then_told_to_come_again() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let path = "/v1/measurementConsumers?measurementConsumerId=late";

    let mut other = hold(&directory, "BEGIN IMMEDIATE").await;
    let write = control.post(path, json!({}));
    let reads = async {
        let started = Instant::now();
        for _ in 0..20 {
            control.get("/v1/measurementConsumers").await.done();
        }
        assert!(started.elapsed() < Duration::from_secs(4), "reads wait for the writer");
    };
    let (answer, ()) = tokio::join!(write, reads);
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text);
    assert_eq!(answer.json()["reason"], "UNAVAILABLE");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("the lock is ours");

    // Held for a moment only, it is waited for.
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.expect("the lock");
    let write = control.post(path, json!({}));
    let release = async {
        for _ in 0..5 {
            control.get("/v1/measurementConsumers").await.done();
        }
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("the lock is ours");
    };
    let (answer, ()) = tokio::join!(write, release);
    answer.done();
    other.close().await.expect("the database");
}

#[tokio::test]
async fn a_database_that_another_process_keeps_is_not_started_on() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    assert!(Control::start(&directory).terminate().success());
    let other = hold(&directory, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").await;
    let output = serve(&directory).output().expect("control runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("locked") && error.contains("mpgate.sqlite"), "{error}");
    other.close().await.expect("the database");
    Control::start(&directory);
}

/// The files of a process may grow to this size and no further: what a full disk does.
fn limit(control: &Control, bytes: Option<u64>) {
    let pid = i32::try_from(control.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(pid, Resource::Fsize, limit).expect("the child is ours");
}

#[tokio::test]
async fn a_full_disk_stops_changes_and_nothing_else() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let mut command = Command::new("sh");
    let script = format!(
        "trap '' XFSZ; exec {MPGATE} serve --listen 127.0.0.1:0 --database {} --admin-token-file {}",
        directory.join("mpgate.sqlite").display(),
        directory.join("admin-token").display()
    );
    let control = Control::start_as(&directory, command.env_clear().args(["-c", &script]));
    control.acme().await;
    control.stream("G-A").await;
    control.key("billing", &["G-A"]).await;
    let before = control.everything().await;
    limit(&control, Some(1_024));
    let body = json!({"sender": "billing", "dataStreams": ["G-A"]});
    for _ in 0..3 {
        let path = "/v1/measurementConsumers/acme/apiKeys";
        let answer = control.post(path, body.clone()).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text);
        assert_eq!(control.everything().await, before);
    }
    limit(&control, None);
    let created = control.key("billing", &["G-A"]).await;
    assert_eq!(created["revision"], 3, "a change that was not done took a revision");
    assert!(control.terminate().success());
    let control = Control::start(&directory);
    assert_eq!(control.key("billing", &["G-A"]).await["revision"], 4);
}

/// A request that held one of the readers while it waited for another would, several times at once,
/// wait for itself.
#[tokio::test]
async fn many_requests_at_once_share_few_readers() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let paths = ["/v1/gateways", "/v1/measurementConsumers", "/v1/auditEvents", "/v1/principals"];
    let mut requests = tokio::task::JoinSet::new();
    let started = Instant::now();
    for at in 0..64 {
        requests.spawn(Control::send(control.request("GET", paths[at % paths.len()])));
    }
    for answer in requests.join_all().await {
        answer.expect("control answers").done();
    }
    assert!(started.elapsed() < Duration::from_secs(4), "it took {:?}", started.elapsed());
}
