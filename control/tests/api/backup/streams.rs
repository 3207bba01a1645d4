//! A backup that goes through a pipe: to where there is no room for a file, from a pod without a shell.

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::{error_of, key, leftovers, mpgate};
use crate::command_line::terminal::Terminal;
use crate::harness::{Control, Directory, MPGATE};

/// The command with this file as its standard input.
fn fed(directory: &Directory, line: &str, from: &str) -> Output {
    let mut command = Command::new(MPGATE);
    command.env_clear().current_dir(directory.path()).args(line.split_whitespace());
    let input = File::open(directory.join(from)).expect("a file");
    command.stdin(input).output().expect("the command runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_machine_is_replaced_by_what_went_through_a_pipe() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    key(&control, "one").await;
    let output = mpgate(&directory, "backup --to -");
    assert!(output.status.success(), "{}", error_of(&output));
    assert!(output.stdout.starts_with(b"SQLite format 3\0"), "not a database alone");
    let told = format!("at revision 2 is in standard output: {} bytes", output.stdout.len());
    assert!(error_of(&output).contains(&told), "{}", error_of(&output));
    let as_json = mpgate(&directory, "backup --to - --output json");
    let told: Value = serde_json::from_slice(&as_json.stderr).expect("JSON");
    assert_eq!((&told["file"], &told["revision"]), (&json!("-"), &json!(2)));
    assert_eq!(leftovers(&directory), Vec::<String>::new());
    let before = control.everything().await;
    control.kill();
    for ending in ["", "-wal", "-shm"] {
        directory.remove(&format!("mpgate.sqlite{ending}"));
    }

    fs::write(directory.join("received"), &output.stdout).expect("a file");
    let restored = fed(&directory, "restore --from -", "received");
    assert!(restored.status.success(), "{}", error_of(&restored));
    let told = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(told.contains("holds what standard input holds: revision 2"), "{told}");
    let control = Control::start(&directory);
    let mut after = control.everything().await;
    for member in ["epoch", "reset"] {
        after[3][member] = before[3][member].clone();
    }
    assert_eq!(after, before);
    // What was denied since is no change: nothing of it would be lost.
    let viewer = control.post("/v1/principals", json!({"role": "viewer"})).await.done();
    let viewer = viewer["token"].as_str();
    for _ in 0..5 {
        assert_eq!(control.call("GET", "/v1/principals", viewer, None).await.status, 403);
    }
    let denied = "/v1/auditEvents?filter=action%20%3D%20denied";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while control.get(denied).await.done()["auditEvents"].as_array().map(Vec::len) != Some(5) {
        assert!(std::time::Instant::now() < deadline, "it is not in the trail");
    }
    // What a file needs `--yes` for, a pipe does too.
    let again = fed(&directory, "restore --from -", "received");
    assert_eq!(again.status.code(), Some(2));
    assert!(error_of(&again).contains("would be lost: 2 ("), "{}", error_of(&again));
    assert_eq!(leftovers(&directory), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_in_part_changes_nothing() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let whole = mpgate(&directory, "backup --to -").stdout;
    control.stream("G-A").await;
    let before = control.everything().await;
    let text = "no database at all".repeat(99);
    for (name, bytes, code, words) in [
        ("nothing", &b""[..], 2, "standard input is empty"),
        ("a page", &whole[..4_096], 1, "standard input is damaged"),
        ("all but a page", &whole[..whole.len() - 4_096], 1, "standard input is damaged"),
        ("text", text.as_bytes(), 1, "standard input is damaged"),
    ] {
        fs::write(directory.join("received"), bytes).expect("a file");
        for line in ["restore --from - --yes", "restore --database new --from -"] {
            let output = fed(&directory, line, "received");
            let error = error_of(&output);
            assert_eq!(output.status.code(), Some(code), "{name}, {line}: {error}");
            assert!(error.contains(words), "{name}: {error}");
        }
        assert!(!directory.join("new").exists(), "{name}");
        assert_eq!(leftovers(&directory), Vec::<String>::new());
    }
    assert_eq!(control.everything().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_sent_is_an_error() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    let mut command = Command::new(MPGATE);
    command.env_clear().current_dir(directory.path()).args(["backup", "--to", "-"]);
    let full = File::options().write(true).open("/dev/full").expect("a full disk");
    let output = command.stdout(full).stderr(Stdio::piped()).output().expect("the command runs");
    let error = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot write the backup") && error.contains("of no use"), "{error}");
    assert_eq!(leftovers(&directory), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_no_place_for_a_backup() {
    let directory = Directory::new();
    let _control = Control::start(&directory);
    let database = directory.join("mpgate.sqlite");
    for (line, words) in [
        ("backup --to -", "standard output is a terminal"),
        ("restore --from - --yes", "standard input is a terminal"),
    ] {
        let line = format!("{line} --database {}", database.display());
        let (code, shown) = Terminal::start(&[], &line, (200, 24)).ended();
        assert_eq!(code, Some(2), "{shown}");
        assert!(shown.contains(words) && !shown.contains("SQLite format"), "{shown}");
    }
}
