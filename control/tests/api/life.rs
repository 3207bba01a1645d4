//! Starting, ending, and what is on the disk: nothing acknowledged is lost, no secret is stored.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::harness::{Control, Directory, is_skipped_on_postgres, serve};

#[tokio::test]
async fn a_restart_keeps_everything() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let key = control.key("billing", &["G-A"]).await;
    control.key("crm", &["G-A"]).await;
    control.delete(&format!("/v1/{}", key["name"].as_str().expect("a name"))).await.done();
    let before = control.everything().await;
    assert!(control.terminate().success());
    let control = Control::start(&directory);
    // The epoch and the head are in it.
    assert_eq!(control.everything().await, before);
    assert_eq!(control.key("crm", &["G-A"]).await["revision"], 5);
}

#[tokio::test]
async fn a_held_poll_is_answered_when_control_ends() {
    for signal in ["-TERM", "-INT"] {
        let directory = Directory::new();
        let control = Control::start(&directory);
        let page = control.get("/v1/allowlist/changes").await.done();
        let path = format!(
            "/v1/allowlist/changes?epoch={}&wait=25",
            page["epoch"].as_str().expect("text")
        );
        let started = Instant::now();
        let poll = control.get(&path);
        let end = async {
            // The poll was sent first; control answers these after it has come to it.
            for _ in 0..5 {
                control.call("GET", "/healthz", None, None).await;
            }
            control.signal(signal);
        };
        let (answer, ()) = tokio::join!(poll, end);
        assert_eq!(answer.done()["reset"], false);
        assert!(control.terminate_after_signal().success());
        assert!(started.elapsed() < Duration::from_secs(10), "it took {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn no_secret_is_on_the_disk_or_in_the_log() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let gateway = control.gateway_token().await;
    let key = control.key("billing", &["G-A"]).await;
    let secret = key["authenticationKey"].as_str().expect("a secret").to_owned();
    let admin = control.admin.clone();
    // Pasted where they do not belong.
    for path in [format!("/v1/{secret}"), format!("/v1/principals?token={gateway}")] {
        assert!(control.get(&path).await.status >= 400);
    }
    let digest = mpgate_contract::Digest::of(secret.as_bytes());
    let written = hex::encode(digest.as_bytes());
    let look = |running: bool| {
        directory.dump("dump");
        let mut digests = 0;
        for entry in fs::read_dir(directory.path()).expect("the directory").flatten() {
            if entry.file_name() == "admin-token" {
                continue;
            }
            let bytes = fs::read(entry.path()).expect("a file of ours");
            for canary in [&secret, &gateway, &admin] {
                let (clear, part) = (canary.as_bytes(), &canary.as_bytes()[20..50]);
                assert!(!contains(&bytes, clear) && !contains(&bytes, part), "{:?}", entry.path());
            }
            let is_there =
                contains(&bytes, digest.as_bytes()) || contains(&bytes, written.as_bytes());
            digests += usize::from(is_there);
        }
        // So the search finds what is there.
        assert!(digests > 0, "no file holds the digest (running: {running})");
    };
    look(true);
    let log = fs::read_to_string(directory.join("log")).expect("the log");
    assert!(
        log.contains("\"route\":\"/v1/principals\"") && log.contains("\"status\":400"),
        "{log}"
    );
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not JSON: {line}");
    }
    assert!(control.terminate().success());
    look(false);
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn files_are_the_owners_alone() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let mode = |name: &str| {
        let metadata = fs::metadata(directory.join(name)).unwrap_or_else(|_| panic!("no {name}"));
        metadata.permissions().mode() & 0o777
    };
    for name in ["mpgate.sqlite", "mpgate.sqlite-wal", "mpgate.sqlite-shm", "admin-token"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
}

#[test]
fn the_first_token_never_overwrites_a_file() {
    let directory = Directory::new();
    fs::write(directory.join("admin-token"), "somebody's").expect("a file");
    let output = serve(&directory).output().expect("control runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("error: cannot write the first admin token"), "{error}");
    assert_eq!(
        fs::read_to_string(directory.join("admin-token")).ok().as_deref(),
        Some("somebody's")
    );
    // Nobody was locked out: with the file gone, the first admin is made.
    fs::remove_file(directory.join("admin-token")).expect("the file");
    Control::start(&directory);
}

#[test]
fn without_a_terminal_the_first_token_goes_beside_the_database() {
    let directory = Directory::new();
    let mut command = Command::new(crate::harness::MPGATE);
    command.env_clear().args(["serve", "--listen", "127.0.0.1:0", "--database"]);
    command.arg(directory.join("x.sqlite")).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("control starts");
    let token = directory.join("x.sqlite.admin-token");
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::read(&token).map_or(0, |bytes| bytes.len()) != 68 {
        assert!(Instant::now() < deadline, "no token");
        std::thread::yield_now();
    }
    child.kill().expect("the child is ours");
    let output = child.wait_with_output().expect("the child is ours");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!out.contains("mpt_"), "a token went to something that is no terminal: {out}");
}

#[test]
fn files_that_are_no_database_of_ours_are_refused() {
    if is_skipped_on_postgres() {
        return;
    }
    let text: fn(&Path) = |path| fs::write(path, "no database at all".repeat(99)).expect("a file");
    let folder: fn(&Path) = |path| fs::create_dir(path).expect("a directory");
    for (prepare, word) in [(text, "not a database"), (folder, "error:")] {
        let directory = Directory::new();
        prepare(&directory.join("mpgate.sqlite"));
        let output = serve(&directory).output().expect("control runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(word), "{error}");
        assert!(!directory.join("admin-token").exists(), "a refused start leaves no token");
    }
}

#[tokio::test]
async fn databases_of_others_and_of_the_future_are_refused() {
    if is_skipped_on_postgres() {
        return;
    }
    for (pragma, word) in
        [("user_version = 999", "newer"), ("application_id = 1", "not a database of mpgate")]
    {
        let directory = Directory::new();
        assert!(Control::start(&directory).terminate().success());
        let options = SqliteConnectOptions::new().filename(directory.join("mpgate.sqlite"));
        let mut connection = options.connect().await.expect("the database");
        let set = AssertSqlSafe(format!("PRAGMA {pragma}"));
        sqlx::query(set).execute(&mut connection).await.expect("a pragma");
        connection.close().await.expect("the database");
        let output = serve(&directory).output().expect("control runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn an_address_on_the_network_must_be_wanted_in_words() {
    if is_skipped_on_postgres() {
        return;
    }
    let directory = Directory::new();
    let mut command = Command::new(crate::harness::MPGATE);
    command.env_clear().args(["serve", "--listen", "0.0.0.0:0", "--database"]);
    command.arg(directory.join("mpgate.sqlite"));
    let output = command.output().expect("control runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("--allow-plaintext-on-the-network"), "{error}");
    assert!(!directory.join("mpgate.sqlite").exists(), "a refused start leaves no file");
}

#[tokio::test]
async fn an_address_on_the_network_is_served_when_it_is() {
    if is_skipped_on_postgres() {
        return;
    }
    let flag: fn(&mut Command) = |command| {
        command.arg("--allow-plaintext-on-the-network");
    };
    let variable: fn(&mut Command) = |command| {
        command.env("MPGATE_ALLOW_PLAINTEXT_ON_THE_NETWORK", "true");
    };
    for say in [flag, variable] {
        let directory = Directory::new();
        let mut command = Command::new(crate::harness::MPGATE);
        command.env_clear().args(["serve", "--listen", "0.0.0.0:0", "--database"]);
        command.arg(directory.join("mpgate.sqlite"));
        command.arg("--admin-token-file").arg(directory.join("admin-token"));
        say(&mut command);
        let control = Control::start_as(&directory, &mut command);
        assert!(control.url.starts_with("http://0.0.0.0:"), "{}", control.url);
        assert_eq!(control.get("/v1/principals").await.status, 200);
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    let address = control.url.trim_start_matches("http://");
    let second = Directory::new();
    let mut command = Command::new(crate::harness::MPGATE);
    command.env_clear().args(["serve", "--listen", address, "--database"]);
    let output = command.arg(second.join("x.sqlite")).output().expect("control runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(address) && error.contains("--listen"), "{error}");
}
