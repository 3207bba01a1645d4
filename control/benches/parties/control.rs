//! Control as a process of its own, whose memory and time are its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mpgate_testbed::port::Lease;
use mpgate_testbed::tls::Authority;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client::Client;

/// Ticks of a second in `/proc/{pid}/stat`.
const TICKS: f64 = 100.0;

/// A running control. Dropped, it is killed.
pub(crate) struct Control {
    child: Child,
    address: String,
    metrics: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Control {
    /// Starts it. The first token of a new database goes to the file `admin-token` of the directory.
    pub(crate) fn start(directory: &Path, database: &Path, tls: bool) -> Self {
        let metrics = Lease::any().expect("a free port").address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"]);
        command.arg("--metrics-listen").arg(metrics.to_string());
        command.arg("--database").arg(database);
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
        BufReader::new(out).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit('/').next().unwrap_or_default().to_owned();
        Self { child, address, metrics, tls }
    }

    pub(crate) async fn connect(&self, token: &str) -> Client {
        Client::connect(&self.address, self.tls.as_ref(), token).await
    }

    /// The sum of a counter's samples on control's own page.
    pub(crate) async fn counted(&self, series: &str) -> f64 {
        let mut socket = TcpStream::connect(self.metrics).await.expect("a page");
        let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.expect("written");
        let mut page = String::new();
        socket.read_to_string(&mut page).await.expect("text");
        let samples = page.lines().filter_map(|line| line.strip_prefix(series));
        let values = samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// Resident memory, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        let kib = line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok());
        kib.unwrap_or_default() / 1_024.0
    }

    /// Seconds of CPU, user and system.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux");
        let fields: Vec<_> =
            stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS
    }

    /// Until it has done what it has to do.
    pub(crate) async fn settle(&self) {
        let mut before = self.cpu();
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = self.cpu();
            if now - before < 0.02 {
                return;
            }
            before = now;
        }
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
