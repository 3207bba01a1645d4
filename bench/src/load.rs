//! The load: a fixed number of senders, each of which sends its next event when the last one is answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::server::{content_length, end_of_head};

/// How senders speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// One connection a sender, kept alive.
    Http1,
    /// Four senders share a connection.
    Http2,
}

const SENDERS_PER_CONNECTION: usize = 4;

/// What is sent, and what is to come back.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) target: String,
    pub(crate) body: Bytes,
    pub(crate) status: u16,
}

impl Event {
    /// The headers that a backend's HTTP library sends.
    const HEADERS: [(&'static str, &'static str); 5] = [
        ("user-agent", "billing/2.4 (node 22.3.0; linux)"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, deflate, br"),
        ("content-type", "application/json"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];

    fn http1(&self) -> Vec<u8> {
        let headers = Self::HEADERS.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        let length = self.body.len();
        let target = &self.target;
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: collect.example.com\r\n{headers}content-length: {length}\r\n\r\n"
        );
        [head.as_bytes(), &self.body].concat()
    }

    fn http2(&self) -> Result<http::Request<()>> {
        let uri = format!("http://collect.example.com{}", self.target);
        let mut request = http::Request::post(uri).header("content-length", self.body.len());
        for (name, value) in Self::HEADERS {
            request = request.header(name, value);
        }
        Ok(request.body(())?)
    }
}

/// Sends for so long with so many senders; answers how many events were answered.
pub(crate) async fn flow(
    to: SocketAddr,
    protocol: Protocol,
    senders: usize,
    event: &Event,
    time: Duration,
) -> Result<u64> {
    let until = Instant::now() + time;
    let mut all = JoinSet::new();
    match protocol {
        Protocol::Http1 => {
            for _ in 0..senders {
                let mut line = Line::connect(to, event).await?;
                all.spawn(async move {
                    let mut answered = 0;
                    while Instant::now() < until {
                        line.send().await?;
                        answered += 1;
                    }
                    anyhow::Ok(answered)
                });
            }
        }
        Protocol::Http2 => {
            for _ in 0..senders.div_ceil(SENDERS_PER_CONNECTION) {
                let requests = connect_http2(to).await?;
                for _ in 0..SENDERS_PER_CONNECTION {
                    let (requests, event) = (requests.clone(), event.clone());
                    all.spawn(async move {
                        let mut answered = 0;
                        while Instant::now() < until {
                            send_http2(&requests, &event).await?;
                            answered += 1;
                        }
                        anyhow::Ok(answered)
                    });
                }
            }
        }
    }
    let mut answered: u64 = 0;
    while let Some(sender) = all.join_next().await {
        answered += sender??;
    }
    Ok(answered)
}

/// The time of each of so many events over one connection, with nothing else going on.
pub(crate) async fn latencies(
    to: SocketAddr,
    protocol: Protocol,
    event: &Event,
    count: usize,
) -> Result<Vec<Duration>> {
    let mut all = Vec::with_capacity(count);
    match protocol {
        Protocol::Http1 => {
            let mut line = Line::connect(to, event).await?;
            for _ in 0..count {
                let began = Instant::now();
                line.send().await?;
                all.push(began.elapsed());
            }
        }
        Protocol::Http2 => {
            let requests = connect_http2(to).await?;
            for _ in 0..count {
                let began = Instant::now();
                send_http2(&requests, event).await?;
                all.push(began.elapsed());
            }
        }
    }
    Ok(all)
}

/// One kept connection.
struct Line {
    stream: TcpStream,
    request: Vec<u8>,
    expected: String,
    buffer: Vec<u8>,
}

impl Line {
    async fn connect(to: SocketAddr, event: &Event) -> Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let expected = format!("HTTP/1.1 {} ", event.status);
        Ok(Self { stream, request: event.http1(), expected, buffer: Vec::with_capacity(4_096) })
    }

    async fn send(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        let mut length = None;
        while length.is_none_or(|length| self.buffer.len() < length) {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "Envoy closed the connection");
            if length.is_none()
                && let Some(end) = end_of_head(&self.buffer)
            {
                let head = String::from_utf8_lossy(&self.buffer[..end]);
                length = Some(end + content_length(&head));
            }
        }
        let is_expected = self.buffer.starts_with(self.expected.as_bytes());
        ensure!(
            is_expected,
            "{}expected: {}",
            self.expected,
            String::from_utf8_lossy(&self.buffer)
        );
        Ok(())
    }
}

async fn connect_http2(to: SocketAddr) -> Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (requests, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(requests)
}

async fn send_http2(requests: &SendRequest<Bytes>, event: &Event) -> Result<()> {
    let mut ready = requests.clone().ready().await?;
    let (answer, mut body) = ready.send_request(event.http2()?, false)?;
    body.send_data(event.body.clone(), true)?;
    let answer = answer.await.context("no answer over HTTP/2")?;
    let status = answer.status().as_u16();
    ensure!(status == event.status, "{status} over HTTP/2, {} expected", event.status);
    let mut body = answer.into_body();
    while let Some(chunk) = body.data().await {
        let length = chunk?.len();
        body.flow_control().release_capacity(length)?;
    }
    Ok(())
}
