//! `mpgate backup` and `mpgate restore`, beside a control that goes on.

mod streams;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mpgate_contract::{Ask, Page};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::harness::{Control, Directory, MPGATE};

fn mpgate(directory: &Directory, line: &str) -> Output {
    let mut command = Command::new(MPGATE);
    command.env_clear().current_dir(directory.path()).args(line.split_whitespace());
    command.output().expect("the command runs")
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn done(directory: &Directory, line: &str) -> Value {
    let output = mpgate(directory, &format!("{line} --output json"));
    assert_eq!((output.status.code(), error_of(&output).as_str()), (Some(0), ""), "{line}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn execute(path: &Path, sql: &str) {
    let mut connection =
        SqliteConnectOptions::new().filename(path).connect().await.expect("a database");
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("a statement");
    connection.close().await.expect("the database");
}

/// Keys by their state.
async fn states(control: &Control) -> Vec<(String, String)> {
    let path = "/v1/measurementConsumers/acme/apiKeys?showDeleted=true";
    let list = control.get(path).await.done();
    let text = |key: &Value, member: &str| key[member].as_str().unwrap_or_default().to_owned();
    let keys = list["apiKeys"].as_array().expect("a list");
    keys.iter().map(|key| (text(key, "nickname"), text(key, "state"))).collect()
}

async fn key(control: &Control, nickname: &str) -> String {
    let body = json!({"sender": "billing", "dataStreams": ["G-A"], "nickname": nickname});
    let key = control.post("/v1/measurementConsumers/acme/apiKeys", body).await.done();
    format!("/v1/{}", key["name"].as_str().expect("a name"))
}

async fn trail(control: &Control) -> Vec<Value> {
    let list = control.get("/v1/auditEvents?pageSize=1000").await.done();
    let mut events = list["auditEvents"].as_array().expect("a list").clone();
    events.sort_by_key(|event| event["createTime"].as_str().map(str::to_owned));
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_while_control_runs_is_in_force_at_once() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let names = ["stays", "revoked", "disabled", "over"];
    let mut keys = Vec::new();
    for name in names {
        keys.push(key(&control, name).await);
    }
    let gateway = control.gateway_token().await;
    let principals = control.get("/v1/principals").await.done();
    let gateway_name = principals["principals"][1]["name"].as_str().expect("a name").to_owned();
    let backed_up = done(&directory, "backup --to backup.sqlite");
    assert_eq!(backed_up["revision"], 5);

    control.delete(&keys[1]).await.done();
    control.post(&format!("{}:disable", keys[2]), json!({})).await.done();
    control.post(&format!("{}:rotate", keys[3]), json!({"overlap": "0s"})).await.done();
    let late = key(&control, "late").await;
    let ended = key(&control, "late and revoked").await;
    control.delete(&ended).await.done();
    control.delete(&format!("/v1/{gateway_name}")).await.done();
    let (before, events) = (control.everything().await, trail(&control).await);
    let head = control.get("/v1/allowlist/changes").await.done()["head"].as_u64().expect("a head");

    let refused = mpgate(&directory, "restore --from backup.sqlite");
    let error = error_of(&refused);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(error.contains("would be lost: 7 (") && error.contains("--yes"), "{error}");
    assert_eq!(control.everything().await, before);

    let old = control.get("/v1/allowlist/changes").await.done();
    let epoch = old["epoch"].as_str().expect("an epoch");
    let ask = format!("/v1/allowlist/changes?epoch={epoch}&since={head}&wait=25");
    let poll = async { (control.get(&ask).await, Instant::now()) };
    let restored = async {
        // The poll was sent first; control answers these after it has come to it.
        for _ in 0..5 {
            control.call("GET", "/healthz", None, None).await;
        }
        let line = "restore --from backup.sqlite --yes";
        (tokio::task::block_in_place(|| done(&directory, line)), Instant::now())
    };
    let ((page, answered), (restored, ended)) = tokio::join!(poll, restored);
    assert!(answered < ended + Duration::from_secs(1), "it took {:?}", answered - ended);
    let page = Page::parse(page.text.as_bytes(), &Ask::default()).expect("a page");
    assert!(page.reset && page.epoch != epoch && restored["epoch"] == page.epoch);
    assert_eq!(
        (&restored["earlierState"], &restored["keysKeptOut"], &restored["keysGone"]),
        (&json!(true), &json!(4), &json!(2)),
        "{restored}"
    );
    assert_eq!(restored["hasAdmin"], true);

    let expected = [
        ("stays", "ACTIVE"),
        ("revoked", "REVOKED"),
        ("disabled", "DISABLED"),
        ("over", "EXPIRED"),
        ("late and revoked", "REVOKED"),
    ];
    let expected = expected.map(|(name, state)| (name.to_owned(), state.to_owned()));
    assert_eq!(states(&control).await, expected);
    assert_eq!(control.get(&late).await.status, 404);
    let with = |token: String| {
        let control = &control;
        async move { control.call("GET", "/v1/allowlist/changes", Some(&token), None).await.status }
    };
    assert_eq!(with(gateway).await, 401, "a revoked token came back");
    let after = trail(&control).await;
    assert_eq!(after.len(), events.len() + 1);
    assert!(events.iter().all(|event| after.contains(event)), "the trail did not stay");
    assert_eq!(after.iter().filter(|event| event["action"] == "restore").count(), 1, "{after:?}");
    let next = control.key("billing", &["G-A"]).await["revision"].as_u64();
    assert!(next > Some(head), "revision {next:?} was given out before");
}

/// The wrong backup first, then the right one: what ended in between is in neither of the two as ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_does_not_come_back_by_way_of_an_older_backup() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    done(&directory, "backup --to older.sqlite");
    let mut keys = Vec::new();
    for name in ["stays", "disabled", "over", "revoked"] {
        keys.push(key(&control, name).await);
    }
    let mut tokens = Vec::new();
    for id in ["stays", "revoked", "rotated"] {
        let body = json!({"principalId": id, "role": "admin"});
        let token = control.post("/v1/principals", body).await.done()["token"].clone();
        tokens.push((id, token.as_str().expect("a token").to_owned()));
    }
    done(&directory, "backup --to newer.sqlite");
    control.post(&format!("{}:disable", keys[1]), json!({})).await.done();
    control.post(&format!("{}:rotate", keys[2]), json!({"overlap": "0s"})).await.done();
    control.delete(&keys[3]).await.done();
    control.delete("/v1/principals/revoked").await.done();
    control.post("/v1/principals/rotated:rotate", json!({"overlap": "0s"})).await.done();

    let restore = |name: &str| done(&directory, &format!("restore --from {name} --yes"));
    assert_eq!(restore("older.sqlite")["earlierState"], true);
    for (id, token) in &tokens {
        let answer = control.call("GET", "/v1/principals", Some(token), None).await;
        assert_eq!(answer.status, 401, "{id}");
    }
    assert_eq!(restore("newer.sqlite")["earlierState"], true);
    for ((id, token), status) in tokens.iter().zip([200, 401, 401]) {
        let answer = control.call("GET", "/v1/principals", Some(token), None).await;
        assert_eq!(answer.status, status, "{id}");
    }
    let expected =
        [("stays", "ACTIVE"), ("disabled", "REVOKED"), ("over", "REVOKED"), ("revoked", "REVOKED")];
    let expected = expected.map(|(name, state)| (name.to_owned(), state.to_owned()));
    assert_eq!(states(&control).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_changes_nothing() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    for at in 0..20 {
        key(&control, &format!("{at}")).await;
    }
    done(&directory, "backup --to good.sqlite");
    let copy = |name: &str| fs::copy(directory.join("good.sqlite"), directory.join(name));
    for name in ["newer.sqlite", "foreign.sqlite", "dangling.sqlite", "cut.sqlite", "torn.sqlite"] {
        copy(name).expect("a copy");
    }
    execute(&directory.join("newer.sqlite"), "PRAGMA user_version = 999").await;
    execute(&directory.join("foreign.sqlite"), "PRAGMA application_id = 1").await;
    let dangle = "PRAGMA foreign_keys = 0; DROP TRIGGER no_key_is_erased; DELETE FROM api_keys";
    execute(&directory.join("dangling.sqlite"), dangle).await;
    let bytes = fs::read(directory.join("good.sqlite")).expect("the backup");
    fs::write(directory.join("cut.sqlite"), &bytes[..bytes.len() / 2]).expect("a file");
    let mut torn = bytes.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 8_192].fill(0xa5);
    fs::write(directory.join("torn.sqlite"), torn).expect("a file");
    fs::write(directory.join("text.sqlite"), "no database at all".repeat(99)).expect("a file");
    fs::write(directory.join("empty.sqlite"), "").expect("a file");
    std::os::unix::fs::symlink("mpgate.sqlite", directory.join("link.sqlite")).expect("a link");
    let before = control.everything().await;
    let events = trail(&control).await;
    for (name, code, words) in [
        ("missing.sqlite", 2, "there is no file"),
        ("empty.sqlite", 2, "is empty"),
        ("mpgate.sqlite", 2, "is the database itself"),
        ("link.sqlite", 2, "is the database itself"),
        ("newer.sqlite", 1, "newer mpgate"),
        ("foreign.sqlite", 1, "not a database of mpgate"),
        ("text.sqlite", 1, "is damaged"),
        ("cut.sqlite", 1, "is damaged"),
        ("torn.sqlite", 1, "is damaged"),
        ("dangling.sqlite", 1, "is damaged"),
    ] {
        let output = mpgate(&directory, &format!("restore --from {name} --yes"));
        let error = error_of(&output);
        assert_eq!(output.status.code(), Some(code), "{name}: {error}");
        assert!(error.contains(words) && error.contains(name), "{name}: {error}");
        // Into a new file neither: nothing is left of the try.
        let output = mpgate(&directory, &format!("restore --database new --from {name} --yes"));
        if name != "mpgate.sqlite" && name != "link.sqlite" {
            assert_eq!(output.status.code(), Some(code), "{name}");
            assert!(!directory.join("new").exists(), "{name}");
        }
        directory.remove("new");
    }
    assert_eq!(control.everything().await, before);
    assert_eq!(trail(&control).await, events);
    for line in ["backup --to good.sqlite", "backup --to mpgate.sqlite", "backup --to link.sqlite"]
    {
        let output = mpgate(&directory, line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(error_of(&output).contains("is there already"), "{line}: {}", error_of(&output));
    }
    for (line, words) in [
        ("backup --to no/such/folder", "cannot write"),
        ("backup --database missing --to x", "there is no file"),
        ("backup --database text.sqlite --to x", "is damaged"),
        ("backup --database foreign.sqlite --to x", "not a database of mpgate"),
        ("restore --database no/such/folder --from good.sqlite", "cannot write"),
        ("restore --database text.sqlite --from good.sqlite", "move text.sqlite"),
    ] {
        let output = mpgate(&directory, line);
        let error = error_of(&output);
        assert!(!output.status.success() && error.contains(words), "{line}: {error}");
        assert!(!directory.join("x").exists(), "{line}");
    }
    assert_eq!(leftovers(&directory), Vec::<String>::new());
}

/// What a backup or a restore wrote and did not take away.
fn leftovers(directory: &Directory) -> Vec<String> {
    const ENDINGS: [&str; 3] = [".partial", ".restoring", ".received"];
    let entries = fs::read_dir(directory.path()).expect("the directory").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| ENDINGS.iter().any(|ending| name.contains(ending))).collect()
}

/// A file may grow to this many blocks of 512 bytes: what a full disk does, for one process.
fn with_a_full_disk(directory: &Directory, blocks: u32, line: &str) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {MPGATE} {line}");
    let mut command = Command::new("sh");
    command.env_clear().current_dir(directory.path()).args(["-c", &script]);
    command.output().expect("sh")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_no_half_of_anything() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    for at in 0..200 {
        key(&control, &format!("{at}")).await;
    }
    done(&directory, "backup --to good.sqlite");
    let kib = fs::metadata(directory.join("good.sqlite")).expect("the backup").len() / 1024;
    key(&control, "late").await;
    let before = control.everything().await;
    let kib = u32::try_from(kib).expect("a small file");
    // The copy does not fit; the copy fits, and the transaction does not.
    for (line, blocks) in [
        ("backup --to x", kib / 4),
        ("restore --from good.sqlite --yes", kib / 4),
        ("restore --from good.sqlite --yes", 2 * kib + 40),
    ] {
        let output = with_a_full_disk(&directory, blocks, line);
        assert_eq!(output.status.code(), Some(1), "{line}: {}", error_of(&output));
        assert!(!error_of(&output).is_empty() && !directory.join("x").exists());
        assert_eq!(leftovers(&directory), Vec::<String>::new());
        assert_eq!(control.everything().await, before, "{line}");
    }
    control.key("billing", &["G-A"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_machine_is_replaced_by_a_backup() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    key(&control, "one").await;
    done(&directory, "backup --to backup.sqlite");
    let before = control.everything().await;
    let inode = fs::metadata(directory.join("backup.sqlite")).expect("a file");
    assert_eq!((inode.permissions().mode() & 0o777, inode.nlink()), (0o600, 1));
    control.kill();
    for ending in ["", "-wal", "-shm"] {
        directory.remove(&format!("mpgate.sqlite{ending}"));
    }
    let restored = done(&directory, "restore --from backup.sqlite");
    assert_eq!(restored["revision"], 2);
    let found = fs::metadata(directory.join("mpgate.sqlite")).expect("the database");
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let control = Control::start(&directory);
    let mut after = control.everything().await;
    assert_ne!(after[3]["epoch"], before[3]["epoch"]);
    after[3]["epoch"] = before[3]["epoch"].clone();
    after[3]["reset"] = before[3]["reset"].clone();
    assert_eq!(after, before);
    // Once more: nothing came after the backup but the restore itself, and that is said.
    let output = mpgate(&directory, "restore --from backup.sqlite");
    assert!(error_of(&output).contains("would be lost: 1 ("), "{}", error_of(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_databases_backup_is_taken_only_when_it_is_meant() {
    let (directory, other) = (Directory::new(), Directory::new());
    let control = Control::start(&other);
    let path = "/v1/measurementConsumers?measurementConsumerId=other";
    control.post(path, json!({})).await.done();
    let to = directory.join("other.sqlite");
    done(&other, &format!("backup --to {}", to.display()));
    let admin = control.admin.clone();

    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    key(&control, "one").await;
    let events = trail(&control).await;
    let output = mpgate(&directory, "restore --from other.sqlite");
    assert_eq!(output.status.code(), Some(2));
    assert!(error_of(&output).contains("no earlier state of this database"));
    let restored = done(&directory, "restore --from other.sqlite --yes");
    assert_eq!((&restored["earlierState"], &restored["keysGone"]), (&json!(false), &json!(1)));
    assert!(restored["revision"].as_u64() >= Some(2), "a revision would be given out again");
    assert_eq!(control.get("/v1/principals").await.status, 401);
    control.terminate();
    // Whoever has the other's token is the administrator now; the trail tells of both.
    fs::write(directory.join("admin-token"), admin).expect("a file");
    let control = Control::start(&directory);
    let after = trail(&control).await;
    let same = |one: &Value, other: &Value| {
        (&one["createTime"], &one["resource"], &one["action"])
            == (&other["createTime"], &other["resource"], &other["action"])
    };
    assert!(events.iter().all(|event| after.iter().any(|it| same(it, event))), "{after:?}");
    assert_eq!(after.len(), events.len() + 2 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_amid_changes_is_one_moment_of_them() {
    let directory = Directory::new();
    let control = Control::start(&directory);
    control.acme().await;
    control.stream("G-A").await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let request = control.request("POST", "/v1/measurementConsumers/acme/apiKeys");
    let request = request.json(&json!({"sender": "billing", "dataStreams": ["G-A"]}));
    let writer = tokio::spawn(async move {
        while !*stopped.borrow() {
            let request = request.try_clone().expect("a body of bytes");
            Control::send(request).await.expect("control answers").done();
        }
    });
    for at in 0..4 {
        let before = control.key("billing", &["G-A"]).await["revision"].as_u64();
        let done = tokio::task::block_in_place(|| done(&directory, &format!("backup --to {at}")));
        assert!(done["revision"].as_u64() >= before, "{done}");
        // Each is sound and restorable: the trail has one event for each revision.
        let restored = tokio::task::block_in_place(|| {
            mpgate(&directory, &format!("restore --database new-{at} --from {at}"))
        });
        assert!(restored.status.success(), "{}", error_of(&restored));
    }
    stop.send_replace(true);
    writer.await.expect("the writer ends");
}
