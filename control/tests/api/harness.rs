//! Starts `mpgate serve` on a free port and speaks HTTP to it. Everything it starts ends with it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mpgate_testbed::postgres::Cluster;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The program under test.
pub(crate) const MPGATE: &str = env!("CARGO_BIN_EXE_mpgate");

/// A directory that goes when the test ends, and the database in it or beside it.
pub(crate) struct Directory(TempDir);

/// Whether the tests run on PostgreSQL: `MPGATE_TEST_DATABASE=postgres`.
pub(crate) fn is_on_postgres() -> bool {
    match std::env::var("MPGATE_TEST_DATABASE").as_deref() {
        Err(_) | Ok("" | "sqlite") => false,
        Ok("postgres") => true,
        Ok(other) => panic!("MPGATE_TEST_DATABASE is {other:?}, but has to be sqlite or postgres"),
    }
}

/// What is about SQLite's file has nothing to say of PostgreSQL.
pub(crate) fn is_skipped_on_postgres() -> bool {
    if is_on_postgres() {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        eprintln!("{name} is about SQLite's file: nothing to play on PostgreSQL");
    }
    is_on_postgres()
}

/// The PostgreSQL of all tests of this process.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: LazyLock<Cluster> =
        LazyLock::new(|| Cluster::start(false).expect("PostgreSQL for the tests"));
    &CLUSTER
}

impl Directory {
    pub(crate) fn new() -> Self {
        let directory = Self(mpgate_testbed::directory().expect("a directory for the test"));
        if is_on_postgres() {
            cluster().database(&directory.name()).expect("a database for the test");
        }
        directory
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// What `--database` is given.
    pub(crate) fn database(&self) -> String {
        if is_on_postgres() {
            return cluster().url(&self.name());
        }
        self.join("mpgate.sqlite").display().to_string()
    }

    fn name(&self) -> String {
        self.path().file_name().expect("a name").to_string_lossy().into_owned()
    }

    /// Puts all that PostgreSQL holds into a file; SQLite has it in its own.
    pub(crate) fn dump(&self, name: &str) {
        if is_on_postgres() {
            let all = cluster().tool("pg_dump", &["--dbname", &self.database()]).expect("a dump");
            fs::write(self.join(name), all).expect("a file");
        }
    }

    /// Takes a file away, if it is there.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.join(name)).ok();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if is_on_postgres() {
            let drop = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name());
            cluster().sql("postgres", &drop).ok();
        }
    }
}

/// A running control.
pub(crate) struct Control {
    child: Child,
    pub(crate) url: String,
    pub(crate) admin: String,
    http: reqwest::Client,
}

/// What control answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The body of a request that must have been done.
    pub(crate) fn done(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The arguments of `serve` for this directory.
pub(crate) fn serve(directory: &Directory) -> Command {
    let mut command = Command::new(MPGATE);
    command.env_clear().args(["serve", "--listen", "127.0.0.1:0", "--database"]);
    command.arg(directory.database());
    command.arg("--admin-token-file").arg(directory.join("admin-token"));
    command
}

impl Control {
    /// Starts control on what the directory holds.
    pub(crate) fn start(directory: &Directory) -> Self {
        Self::start_as(directory, &mut serve(directory))
    }

    /// Starts control by this command.
    pub(crate) fn start_as(directory: &Directory, command: &mut Command) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(directory.join("log"))
            .expect("a file for the log");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("control starts");
        let out = child.stdout.take().expect("standard output is piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("control says where it listens");
        let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
        let url = url.unwrap_or_else(|| panic!("control did not start: {line}{}", log()));
        let admin = fs::read_to_string(directory.join("admin-token")).expect("the admin's token");
        // reqwest comes without a provider of TLS and does not start without one.
        rustls::crypto::ring::default_provider().install_default().ok();
        Self { child, url, admin, http: reqwest::Client::new() }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Self::send(request).await.expect("control answers")
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.admin)
    }

    pub(crate) async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        if status.is_client_error() || status.is_server_error() {
            expect_problem(status, &headers, &text);
        }
        Ok(Answer { status: status.as_u16(), headers, text })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Some(&self.admin), None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&self.admin), Some(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, Some(&self.admin), Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, Some(&self.admin), None).await
    }

    /// Consumer `acme`.
    pub(crate) async fn acme(&self) {
        let path = "/v1/measurementConsumers?measurementConsumerId=acme";
        self.post(path, json!({})).await.done();
    }

    /// A production stream of `acme`.
    pub(crate) async fn stream(&self, id: &str) -> Value {
        let body = json!({"streamId": id, "environment": "production", "upstreamSecret": "none"});
        self.post("/v1/measurementConsumers/acme/dataStreams", body).await.done()
    }

    /// A key of `acme`.
    pub(crate) async fn key(&self, sender: &str, streams: &[&str]) -> Value {
        let body = json!({"sender": sender, "dataStreams": streams});
        self.post("/v1/measurementConsumers/acme/apiKeys", body).await.done()
    }

    /// A token with the role `gateway`.
    pub(crate) async fn gateway_token(&self) -> String {
        let principal = self.post("/v1/principals", json!({"role": "gateway"})).await.done();
        principal["token"].as_str().expect("a token").to_owned()
    }

    /// Everything the API shows, deleted things too: what must be the same when nothing changed.
    pub(crate) async fn everything(&self) -> Value {
        let mut lists = Vec::new();
        let consumers = "/v1/measurementConsumers?showDeleted=true&pageSize=1000";
        let consumers = self.get(consumers).await.done();
        for consumer in consumers["measurementConsumers"].as_array().expect("a list") {
            let name = consumer["name"].as_str().expect("a name");
            for children in ["dataStreams", "apiKeys"] {
                let path = format!("/v1/{name}/{children}?showDeleted=true&pageSize=1000");
                lists.push(self.get(&path).await.done());
            }
        }
        let principals = self.get("/v1/principals?showDeleted=true&pageSize=1000").await.done();
        let feed = self.get("/v1/allowlist/changes?limit=1000").await.done();
        json!([consumers, lists, principals, feed])
    }

    /// Ends it as an operator would, and answers how.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal("-TERM");
        wait(&mut self.child)
    }

    /// Waits for the end of one that was told to.
    pub(crate) fn terminate_after_signal(mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(done.expect("kill runs").success());
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }
}

/// Waits for the end of a child, with a deadline.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            return status;
        }
        assert!(Instant::now() < deadline, "the child does not end");
        std::thread::yield_now();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Every refusal has the same shape.
fn expect_problem(status: StatusCode, headers: &reqwest::header::HeaderMap, text: &str) {
    let kind = headers.get("content-type").map(reqwest::header::HeaderValue::as_bytes);
    assert_eq!(kind, Some(&b"application/problem+json"[..]), "{status}: {text}");
    if text.is_empty() {
        return; // HEAD
    }
    let problem: Value = serde_json::from_str(text).expect("a problem is JSON");
    assert_eq!(problem["status"], status.as_u16(), "{text}");
    for member in ["type", "title", "detail", "reason"] {
        assert!(
            problem[member].as_str().is_some_and(|words| !words.is_empty()),
            "{member}: {text}"
        );
    }
}
