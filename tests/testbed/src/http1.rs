//! HTTP/1.1 over a socket, byte for byte: the client for odd paths, odd headers and broken requests.
//!
//! It corrects nothing and follows nothing. Well-behaved senders are tested with their own libraries.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::message::{Request, Response};

/// Above every timeout of the shipped configurations: what is slower hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection; requests follow one another.
#[derive(Debug)]
pub struct Http1<S: Read + Write = TcpStream> {
    reader: BufReader<S>,
    authority: String,
}

impl Http1 {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        Self::speak(TcpStream::connect(address).with_context(|| address.to_string())?, address)
    }

    /// Connects from another address of this machine, 127.0.0.2 for example.
    ///
    /// # Errors
    /// Nobody listens, or this machine has no such IPv4 address.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddr::new(source, 0)).with_context(|| source.to_string())?;
        connect(&socket, &address).with_context(|| address.to_string())?;
        Self::speak(TcpStream::from(socket), address)
    }

    fn speak(socket: TcpStream, address: SocketAddr) -> Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Self::over(socket, &address.to_string()))
    }
}

impl<S: Read + Write> Http1<S> {
    /// Speaks over a stream that is already there, a TLS one for example.
    pub fn over(stream: S, authority: &str) -> Self {
        Self { reader: BufReader::new(stream), authority: authority.to_owned() }
    }

    /// Sends a request and reads the response. `host` and `content-length` are added where missing.
    ///
    /// # Errors
    /// The connection breaks, or what comes back is not HTTP/1.1.
    pub fn send(&mut self, request: &Request) -> Result<Response> {
        let bytes = self.encode(request);
        self.raw(&bytes, request.method == "HEAD")
    }

    /// Sends these very bytes and reads one response.
    ///
    /// # Errors
    /// The connection breaks, or what comes back is not HTTP/1.1.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<Response> {
        self.raw(bytes, false)
    }

    fn raw(&mut self, bytes: &[u8], to_head: bool) -> Result<Response> {
        // Who refuses early closes early. The rest of the request is then lost, the answer is not.
        let sent = self.reader.get_mut().write_all(bytes);
        let sent = sent.and_then(|()| self.reader.get_mut().flush());
        loop {
            let answer = self.response(to_head);
            match answer {
                Ok(interim) if (100..200).contains(&interim.status) => {}
                Ok(response) => return Ok(response),
                Err(error) => return Err(sent.err().map_or(error, anyhow::Error::from)),
            }
        }
    }

    fn encode(&self, request: &Request) -> Vec<u8> {
        let mut bytes = request.method.clone().into_bytes();
        bytes.push(b' ');
        bytes.extend(&request.path);
        bytes.extend(b" HTTP/1.1\r\n");
        if !request.has_header("host") {
            bytes.extend(format!("host: {}\r\n", self.authority).into_bytes());
        }
        for (name, value) in &request.headers {
            bytes.extend(name);
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        let sized = request.has_header("content-length") || request.has_header("transfer-encoding");
        if !sized && request.method != "GET" {
            bytes.extend(format!("content-length: {}\r\n", request.body.len()).into_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&request.body);
        bytes
    }

    fn response(&mut self, to_head: bool) -> Result<Response> {
        let status_line = self.line()?;
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .with_context(|| format!("not a status line: '{status_line}'"))?;
        let headers = self.fields()?;
        let (body, trailers) = (Vec::new(), Vec::new());
        let mut response = Response { status, headers, body, trailers };
        if !to_head && !matches!(status, 100..200 | 204 | 304) {
            self.body(&mut response)?;
        }
        Ok(response)
    }

    /// Headers or trailers, up to the blank line behind them.
    fn fields(&mut self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').context("a header without a colon")?;
            fields.push((name.to_ascii_lowercase(), value.trim().as_bytes().to_owned()));
        }
    }

    fn body(&mut self, response: &mut Response) -> Result<()> {
        if response.header("transfer-encoding").as_deref() == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).context("a chunk's size")?;
                if size == 0 {
                    response.trailers = self.fields()?;
                    return Ok(());
                }
                self.reader.by_ref().take(size as u64).read_to_end(&mut response.body)?;
                self.line()?;
            }
        }
        match response.header("content-length") {
            Some(length) => {
                self.reader.by_ref().take(length.parse()?).read_to_end(&mut response.body)?;
            }
            None => {
                self.reader.read_to_end(&mut response.body)?;
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            bail!("the connection was closed in the middle of a response");
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// One request over a connection of its own.
///
/// # Errors
/// Nobody listens, the connection breaks, or what comes back is not HTTP/1.1.
pub fn send(address: SocketAddr, request: &Request) -> Result<Response> {
    Http1::connect(address)?.send(&request.clone().header("connection", "close"))
}

/// These very bytes over a connection of their own.
///
/// # Errors
/// Nobody listens, the connection breaks, or what comes back is not HTTP/1.1.
pub fn send_bytes(address: SocketAddr, bytes: &[u8]) -> Result<Response> {
    Http1::connect(address)?.send_bytes(bytes)
}
