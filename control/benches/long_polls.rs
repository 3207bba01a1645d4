//! What held-open questions cost: thousands of gateways wait for news, and a key is created.
//!
//! `cargo bench --profile service --package mpgate-control --bench long_polls -- 1 100 1000 5000` measures that many
//! waiters one after the other; with `--tls` each over a TLS connection of its own. Clients and control share
//! the machine, so the times are upper bounds.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mpgate_testbed::tls::Authority;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Keys created for each number of waiters.
const ROUNDS: usize = 10;

/// Ticks of a second in `/proc/{pid}/stat`.
const TICKS: f64 = 100.0;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One connection.
struct Client {
    stream: BufReader<Box<dyn Stream>>,
    token: String,
}

impl Client {
    async fn connect(address: &str, tls: Option<&TlsConnector>, token: &str) -> Self {
        let socket = TcpStream::connect(address).await.expect("control listens");
        socket.set_nodelay(true).expect("a socket");
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(socket),
            Some(tls) => {
                let name = ServerName::try_from("localhost").expect("a name");
                Box::new(tls.connect(name, socket).await.expect("a handshake"))
            }
        };
        Self { stream: BufReader::with_capacity(1_024, stream), token: token.to_owned() }
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> Value {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("written");
        let (mut first, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.expect("an answer");
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" || line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await.expect("a body");
        assert!(first.starts_with("HTTP/1.1 200 "), "{first}{}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).expect("JSON")
    }
}

/// A gateway: asks, and tells when it has an answer and when it asks again.
async fn wait_for_news(mut client: Client, told: mpsc::UnboundedSender<Instant>) {
    let (mut epoch, mut since) = (String::new(), 0);
    loop {
        let path = format!("/v1/allowlist/changes?epoch={epoch}&since={since}&wait=25");
        let page = client.ask("GET", &path, "").await;
        let to = page["to"].as_u64().expect("a revision");
        // A question that nobody answered in time is not news.
        if (to != since || epoch.is_empty()) && told.send(Instant::now()).is_err() {
            return;
        }
        since = to;
        page["epoch"].as_str().expect("an epoch").clone_into(&mut epoch);
    }
}

/// A running control.
struct Control {
    child: Child,
    address: String,
    admin: String,
    tls: Option<TlsConnector>,
}

impl Control {
    fn start(directory: &Path, tls: bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]);
        command.arg("--database").arg(directory.join("mpgate.sqlite"));
        command.arg("--admin-token-file").arg(directory.join("admin-token"));
        let tls = tls.then(|| {
            let authority = Authority::new(directory).expect("an authority");
            let issued = authority.issue("localhost", "control").expect("a certificate");
            command.arg("--tls-certificate").arg(issued.certificate);
            command.arg("--tls-private-key").arg(issued.key);
            connector(&authority.certificate_file())
        });
        let mut child = command.stdout(Stdio::piped()).spawn().expect("control starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
        let address = line.trim().rsplit('/').next().unwrap_or_default().to_owned();
        let admin = fs::read_to_string(directory.join("admin-token")).expect("a token");
        Self { child, address, admin, tls }
    }

    async fn connect(&self, token: &str) -> Client {
        Client::connect(&self.address, self.tls.as_ref(), token).await
    }

    /// Resident kilobytes.
    fn memory(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Seconds of CPU, user and system.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux");
        let fields: Vec<_> =
            stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn connector(authority: &Path) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn measure(waiters: usize, tls: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let control = Control::start(directory.path(), tls);
    let mut admin = control.connect(&control.admin).await;
    admin.ask("POST", "/v1/measurementConsumers?measurementConsumerId=acme", "{}").await;
    let stream = json!({"streamId": "G-A", "environment": "production", "upstreamSecret": "none"});
    let acme = "/v1/measurementConsumers/acme";
    admin.ask("POST", &format!("{acme}/dataStreams"), &stream.to_string()).await;
    let principal = admin.ask("POST", "/v1/principals", r#"{"role": "gateway"}"#).await;
    let token = principal["token"].as_str().expect("a token").to_owned();

    let empty = control.memory();
    let (told, mut news) = mpsc::unbounded_channel();
    let begun = Instant::now();
    // They end before control does.
    let mut gateways = JoinSet::new();
    for _ in 0..waiters {
        let client = control.connect(&token).await;
        gateways.spawn(wait_for_news(client, told.clone()));
    }
    for _ in 0..waiters {
        news.recv().await.expect("the first page");
    }
    let arrived = begun.elapsed();
    settle(&control).await;
    let full = control.memory();
    let before = control.cpu();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = control.cpu() - before;

    let (mut firsts, mut lasts, mut cpus) = (Vec::new(), Vec::new(), Vec::new());
    let key = json!({"sender": "billing", "dataStreams": ["G-A"]}).to_string();
    for _ in 0..ROUNDS {
        let before = control.cpu();
        admin.ask("POST", &format!("{acme}/apiKeys"), &key).await;
        let answered = Instant::now();
        let mut all = Vec::with_capacity(waiters);
        for _ in 0..waiters {
            all.push(news.recv().await.expect("news").saturating_duration_since(answered));
        }
        all.sort_unstable();
        firsts.push(all.first().copied().unwrap_or_default());
        lasts.push(all.last().copied().unwrap_or_default());
        settle(&control).await;
        cpus.push(control.cpu() - before);
    }
    let millis = |time: &mut Vec<Duration>| {
        time.sort_unstable();
        let at = |place: usize| time[place].as_secs_f64() * 1_000.0;
        format!("{:.1} ({:.1} to {:.1})", at(ROUNDS / 2), at(0), at(ROUNDS - 1))
    };
    cpus.sort_by(f64::total_cmp);
    let mebibytes =
        |kilobytes: u64| f64::from(u32::try_from(kilobytes).unwrap_or(u32::MAX)) / 1_024.0;
    let each = mebibytes(full.saturating_sub(empty)) * 1_024.0
        / f64::from(u32::try_from(waiters).unwrap_or(u32::MAX));
    println!(
        "| {waiters} | {} | {:.1} | {:.1} | {each:.1} | {:.1} | {} | {} | {:.0} |",
        if tls { "TLS" } else { "clear" },
        arrived.as_secs_f64(),
        mebibytes(full),
        idle * 100.0,
        millis(&mut firsts),
        millis(&mut lasts),
        cpus[ROUNDS / 2] * 1_000.0,
    );
    gateways.shutdown().await;
}

/// Until control has done what it has to do: everybody has asked again.
async fn settle(control: &Control) {
    let mut before = control.cpu();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = control.cpu();
        if now - before < 0.02 {
            return;
        }
        before = now;
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let tls = arguments.iter().any(|argument| argument == "--tls");
    let numbers: Vec<usize> =
        arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let numbers = if numbers.is_empty() { vec![1, 100, 1_000, 5_000] } else { numbers };
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a limit");
    println!(
        "| waiters |  | arrived, s | RSS, MiB | KiB a waiter | idle CPU, ms/s | first answer, ms | last answer, ms | CPU of a wake-up, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for waiters in numbers {
        runtime.block_on(measure(waiters, tls));
    }
}
