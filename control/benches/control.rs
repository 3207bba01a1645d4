//! Control against bare SQLite: keys created, the list read, in one run; and 100 000 keys listed and exported.
//!
//! `cargo bench --profile service --package mpgate-control --bench control` prints both tables. Bare SQLite writes and
//! reads the same rows with the same pragmas, without triggers, by the same driver: one transaction for each key.
//! Medians of the rounds; the ways take turns, so that what else the machine does falls on all of them.

#[expect(dead_code, reason = "it brings a control and clients of its own")]
mod parties;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use mpgate_contract::{Ask, ConsumerId, SenderName, StreamId};
use mpgate_control::service::{Caller, Limits, Mutation, NewKey, Question, Service, Streams};
use mpgate_control::store::Store as _;
use mpgate_control::store::sqlite::SqliteStore;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use self::parties::seed::{caller, fill};

const ROUNDS: usize = 5;

/// Keys that each way creates in a round.
const KEYS: usize = 300;

const PAGE: u32 = 1_000;

/// Keys that are there while others are created: below the limit, so that there is room.
const BESIDE: u64 = 90_000;

/// Keys of the large list: the limit.
const MANY: u64 = 100_000;

fn main() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let directory = mpgate_testbed::directory().expect("a directory");
        let path = directory.path().join("control.sqlite");
        let token = fill(&path, BESIDE).await;
        compare(directory.path(), &path, &token).await;
        let path = directory.path().join("large.sqlite");
        let token = fill(&path, MANY).await;
        export(&path, &token).await;
    });
}

/// Seconds of each round, of each way.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    fn row(&self, name: &str, count: f64, bare: &Self) {
        let rate = |seconds: f64| count / seconds;
        let (slow, fast) = (
            self.0.iter().copied().fold(0.0, f64::max),
            self.0.iter().copied().fold(f64::MAX, f64::min),
        );
        println!(
            "| {name} | {:.0} ({:.0} to {:.0}) | {:.2} |",
            rate(self.median()),
            rate(slow),
            rate(fast),
            self.median() / bare.median()
        );
    }
}

async fn compare(directory: &Path, filled: &Path, token: &str) {
    let [own, bare, served] = ["own", "bare", "served"].map(|name| directory.join(name));
    for path in [&own, &bare, &served] {
        fs::copy(filled, path).expect("a copy");
    }
    let store = SqliteStore::open(&own).await.expect("a database");
    let service = Service::new(Arc::new(store.clone()), Limits::default());
    let mut bare = open_bare(&bare).await;
    let mut control = Control::start(&served, token);
    let caller = caller(&service, token).await;
    let [mut by_bare, mut by_service, mut by_http, mut by_eight] =
        [(); 4].map(|()| Times::default());
    let [mut read_bare, mut read_service, mut read_http] = [(); 3].map(|()| Times::default());
    for _ in 0..ROUNDS {
        let after = store.read().await.expect("a reader").standing().await.expect("it").head;
        by_service.0.push(create(&service, &caller).await);
        by_bare.0.push(insert(&mut bare, &own, after).await);
        by_http.0.push(control.create(1).await);
        // As many again, by eight clients.
        by_eight.0.push(control.create(8).await);
        read_bare.0.push(scan(&mut bare).await);
        read_service.0.push(follow(&service, &caller).await);
        read_http.0.push(control.follow().await.0);
    }
    let keys = f64::from(u32::try_from(KEYS).expect("a small number"));
    let all = f64::from(u32::try_from(BESIDE).expect("a small number"));
    println!(
        "\nbeside {BESIDE} keys | a second (range of {ROUNDS} rounds) | time, bare SQLite = 1"
    );
    println!("|---|---|---|");
    by_bare.row("keys created: bare SQLite", keys, &by_bare);
    by_service.row("keys created: the service, in process", keys, &by_bare);
    by_http.row("keys created: HTTP, one client", keys, &by_bare);
    by_eight.row("keys created: HTTP, eight clients", keys, &by_bare);
    read_bare.row("entries read: bare SQLite", all, &read_bare);
    read_service.row("entries read: the service, in process", all, &read_bare);
    read_http.row("entries read: HTTP", all, &read_bare);
    store.close().await;
}

async fn open_bare(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut connection = options.connect().await.expect("the database");
    let triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'";
    for row in sqlx::query(triggers).fetch_all(&mut connection).await.expect("the triggers") {
        let name: String = row.get(0);
        let drop = AssertSqlSafe(format!("DROP TRIGGER {name}"));
        sqlx::query(drop).execute(&mut connection).await.expect("a trigger");
    }
    connection
}

/// What the service just wrote, written by nothing but SQLite, from memory.
async fn insert(bare: &mut SqliteConnection, own: &Path, after: u64) -> f64 {
    let fresh = AssertSqlSafe(format!(
        "PRAGMA temp_store = MEMORY;
         ATTACH '{}' AS own;
         DROP TABLE IF EXISTS temp.keys; DROP TABLE IF EXISTS temp.grants; DROP TABLE IF EXISTS temp.events;
         CREATE TEMP TABLE keys AS SELECT * FROM own.api_keys WHERE revision > {after} ORDER BY revision;
         CREATE TEMP TABLE grants AS
             SELECT held.* FROM temp.keys JOIN own.live_grants AS held USING (key_id) ORDER BY revision;
         CREATE TEMP TABLE events AS
             SELECT * FROM own.audit_events WHERE revision > {after} ORDER BY revision;
         DETACH own;",
        own.display()
    ));
    sqlx::raw_sql(fresh).execute(&mut *bare).await.expect("the rows");
    let started = Instant::now();
    for row in 1..=i64::try_from(KEYS).expect("a small number") {
        let mut transaction = bare.begin_with("BEGIN IMMEDIATE").await.expect("the lock");
        let head = "UPDATE main.allowlist SET head = head + 1";
        sqlx::query(head).execute(&mut *transaction).await.expect("the head");
        for sql in [
            "INSERT INTO main.api_keys SELECT * FROM temp.keys WHERE rowid = ?",
            "INSERT INTO main.live_grants SELECT * FROM temp.grants WHERE rowid = ?",
            "INSERT INTO main.audit_events SELECT * FROM temp.events WHERE rowid = ?",
        ] {
            let done = sqlx::query(sql).bind(row).execute(&mut *transaction).await.expect("a row");
            assert_eq!(done.rows_affected(), 1);
        }
        transaction.commit().await.expect("a commit");
    }
    started.elapsed().as_secs_f64()
}

async fn create(service: &Service, caller: &Caller) -> f64 {
    let started = Instant::now();
    for _ in 0..KEYS {
        let mutation = Mutation { caller, once: None, etag: None };
        let new = NewKey {
            consumer: ConsumerId::parse("acme").expect("an id"),
            sender: SenderName::parse("s1").expect("a name"),
            streams: Streams::Named(vec![StreamId::parse("G-A").expect("an id")]),
            events: vec![],
            source_networks: vec![],
            certificate_names: vec![],
            not_before: None,
            expire_time: None,
            nickname: String::new(),
            description: String::new(),
        };
        service.create_key(&mutation, new).await.expect("a key");
    }
    started.elapsed().as_secs_f64()
}

async fn scan(bare: &mut SqliteConnection) -> f64 {
    let started = Instant::now();
    let (mut after, mut bytes) = (0_i64, 0);
    loop {
        let sql = "SELECT revision, digest, state, grant_json FROM main.api_keys WHERE revision > ?
            ORDER BY revision LIMIT ?";
        let rows = sqlx::query(sql).bind(after).bind(PAGE).fetch_all(&mut *bare).await;
        let rows = rows.expect("rows");
        let Some(last) = rows.last() else { break };
        after = last.get(0);
        for row in &rows {
            bytes += row.get::<&[u8], _>(1).len() + row.get::<&str, _>(3).len();
        }
    }
    assert!(bytes > 0);
    started.elapsed().as_secs_f64()
}

async fn follow(service: &Service, caller: &Caller) -> f64 {
    let started = Instant::now();
    let mut ask = Ask::default();
    loop {
        let question = Question { ask: ask.clone(), limit: PAGE };
        let feed = service.changes(caller, &question).await.expect("it");
        let last = feed.rows.keys.last().map(|key| key.revision);
        ask.epoch.clone_from(&feed.standing.epoch);
        match last {
            Some(last) if last < feed.standing.head => ask.since = last,
            _ => return started.elapsed().as_secs_f64(),
        }
    }
}

struct Control {
    child: Child,
    url: String,
    admin: String,
    http: reqwest::Client,
}

impl Control {
    fn start(database: &Path, token: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
        command.env_clear().args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error"]);
        command.arg("--database").arg(database);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("control starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("standard output is piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Self { child, url, admin: token.to_owned(), http: reqwest::Client::new() }
    }

    async fn create(&mut self, clients: usize) -> f64 {
        let url = format!("{}/v1/measurementConsumers/acme/apiKeys", self.url);
        let body = json!({"sender": "s1", "dataStreams": ["G-A"]});
        let request = self.http.post(url).bearer_auth(&self.admin).json(&body);
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for client in 0..clients {
            let request = request.try_clone().expect("a body of bytes");
            tasks.spawn(async move {
                for _ in (client..KEYS).step_by(clients) {
                    let request = request.try_clone().expect("a body of bytes");
                    let answer = request.send().await.expect("an answer");
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.expect("a body");
                }
            });
        }
        tasks.join_all().await;
        started.elapsed().as_secs_f64()
    }

    async fn get(&self, path: &str) -> (Value, usize) {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.admin);
        let bytes = request.send().await.expect("an answer").bytes().await.expect("a body");
        (serde_json::from_slice(&bytes).expect("JSON"), bytes.len())
    }

    /// Reads the list as a gateway does: its seconds and bytes.
    async fn follow(&self) -> (f64, usize) {
        let started = Instant::now();
        let (mut epoch, mut since, mut bytes) = (String::new(), 0, 0);
        loop {
            let path = format!("/v1/allowlist/changes?epoch={epoch}&since={since}&limit={PAGE}");
            let (page, size) = self.get(&path).await;
            bytes += size;
            page["epoch"].as_str().expect("an epoch").clone_into(&mut epoch);
            since = page["to"].as_u64().expect("a revision");
            if page["to"] == page["head"] {
                return (started.elapsed().as_secs_f64(), bytes);
            }
        }
    }

    /// Pages through a consumer's keys: seconds and keys.
    async fn list(&self) -> (f64, usize) {
        let started = Instant::now();
        let (mut token, mut keys) = (String::new(), 0);
        loop {
            let root = "/v1/measurementConsumers/acme/apiKeys";
            let path = format!("{root}?pageSize={PAGE}&pageToken={token}");
            let (page, _) = self.get(&path).await;
            keys += page["apiKeys"].as_array().expect("a list").len();
            page["nextPageToken"].as_str().unwrap_or_default().clone_into(&mut token);
            if token.is_empty() {
                return (started.elapsed().as_secs_f64(), keys);
            }
        }
    }

    /// In MiB.
    fn memory(&self, line: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the child is ours");
        let found = status.lines().find_map(|it| it.strip_prefix(line)).unwrap_or_default();
        let kib: u64 = found
            .split_whitespace()
            .find(|word| *word != ":")
            .and_then(|kib| kib.parse().ok())
            .unwrap_or_default();
        kib / 1_024
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn export(filled: &Path, token: &str) {
    let control = Control::start(filled, token);
    println!("\n{MANY} keys: memory after the start {} MiB", control.memory("VmRSS"));
    let (seconds, keys) = control.list().await;
    println!(
        "listed in pages of {PAGE}: {keys} in {seconds:.2} s; peak {} MiB",
        control.memory("VmHWM")
    );
    let (seconds, bytes) = control.follow().await;
    println!("the feed: {bytes} bytes in {seconds:.2} s; peak {} MiB", control.memory("VmHWM"));
}
