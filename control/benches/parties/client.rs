//! One connection to control, and what it costs in bytes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Speaks HTTP/1.1 over one connection that stays open.
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
    /// Lines that each request has, the token among them.
    headers: String,
    /// What went to control, in bytes.
    pub(crate) sent: usize,
    /// What came from it, heads included.
    pub(crate) received: usize,
}

impl Client {
    pub(crate) async fn connect(address: &str, tls: Option<&TlsConnector>, token: &str) -> Self {
        let socket = TcpStream::connect(address).await.expect("control listens");
        socket.set_nodelay(true).expect("a socket");
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(socket),
            Some(tls) => {
                let name = ServerName::try_from("localhost").expect("a name");
                Box::new(tls.connect(name, socket).await.expect("a handshake"))
            }
        };
        let headers = format!("host: localhost\r\nauthorization: Bearer {token}\r\n");
        let stream = BufReader::with_capacity(1_024, stream);
        Self { stream, headers, sent: 0, received: 0 }
    }

    /// One more header in each request.
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// Asks, and waits for an answer that has to be 200.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> T {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.headers,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("written");
        self.sent += request.len();
        let (mut first, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            self.received += self.stream.read_line(&mut line).await.expect("an answer");
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
        self.received += self.stream.read_exact(&mut answer).await.expect("a body");
        assert!(first.starts_with("HTTP/1.1 200 "), "{first}{}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).expect("JSON")
    }
}

/// As many open files as the machine allows: each connection is one.
pub(crate) fn open_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a limit");
}
