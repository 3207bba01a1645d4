//! One keep-alive connection of a sender, and what exactly became of each request on it.
//!
//! A connection that the gate closes between two requests, or announces to close, costs nothing: the
//! sender opens another. A request that was written and got no whole answer is lost, whoever is at
//! fault: a sender cannot know whether it counted.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Above every timeout of the shipped configurations: what is slower hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The answer: its status, and the reason where a problem document gives one.
    Answered(u16, String),
    /// No whole answer came; in which way.
    Lost(&'static str),
}

/// A request's outcome with its times.
#[derive(Clone, Debug)]
pub struct Seen {
    pub(super) outcome: Outcome,
    pub(super) began: Instant,
    pub(super) took: Duration,
}

impl Seen {
    /// Whether the answer was GA4's own, 204.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.outcome == Outcome::Answered(204, String::new())
    }

    pub(super) fn is_unavailable(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(503, _))
    }

    pub(super) fn ended(&self) -> Instant {
        self.began + self.took
    }

    /// `503 no_list`, or how it was lost.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.outcome {
            Outcome::Answered(status, reason) => format!("{status} {reason}").trim().to_owned(),
            Outcome::Lost(how) => format!("lost: {how}"),
        }
    }
}

/// The connection.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    socket: Option<TcpStream>,
    received: Vec<u8>,
    /// How often it was closed, announced or between two requests.
    pub(super) closed: u64,
}

impl Line {
    /// To this address; connected when there is something to send.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, socket: None, received: Vec::with_capacity(1024), closed: 0 }
    }

    /// Sends a request and waits for its answer.
    pub fn exchange(&mut self, request: &[u8]) -> Seen {
        if self.socket.as_ref().is_some_and(is_over) {
            self.socket = None;
            self.closed += 1;
        }
        let began = Instant::now();
        let outcome = match self.attempt(request) {
            Ok((status, reason)) => Outcome::Answered(status, reason),
            Err(how) => {
                self.socket = None;
                Outcome::Lost(how)
            }
        };
        Seen { outcome, began, took: began.elapsed() }
    }

    fn attempt(&mut self, request: &[u8]) -> Result<(u16, String), &'static str> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => connect(self.address).ok_or("no connection")?,
        };
        // Who refuses early closes early; the answer may be there all the same.
        let written = socket.write_all(request);
        self.received.clear();
        let head = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            read_more(&mut socket, &mut self.received, written.is_ok())?;
        };
        let (status, length, is_last) = read_head(&self.received[..head])?;
        while self.received.len() < head + length {
            read_more(&mut socket, &mut self.received, true)?;
        }
        if is_last {
            self.closed += 1;
        } else {
            self.socket = Some(socket);
        }
        let problem: Value = serde_json::from_slice(&self.received[head..]).unwrap_or_default();
        Ok((status, problem["reason"].as_str().unwrap_or_default().to_owned()))
    }
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.set_nodelay(true).ok()?;
    Some(socket)
}

/// Whether the other side has closed it, or said something that nobody asked for.
fn is_over(socket: &TcpStream) -> bool {
    let looked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
    let is_quiet = looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    !(is_quiet && socket.set_nonblocking(false).is_ok())
}

fn read_more(
    socket: &mut TcpStream,
    received: &mut Vec<u8>,
    was_written: bool,
) -> Result<(), &'static str> {
    let mut chunk = [0; 4096];
    match socket.read(&mut chunk) {
        Ok(0) if !was_written => Err("closed while it was sent"),
        Ok(0) if received.is_empty() => Err("closed without an answer"),
        Ok(0) => Err("closed in the middle of the answer"),
        Ok(count) => {
            received.extend(chunk.iter().take(count));
            Ok(())
        }
        Err(error) => Err(match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in 30 s",
            ErrorKind::ConnectionReset => "reset",
            _ => "an error of the connection",
        }),
    }
}

/// The status, the length of the body, and whether the connection ends with it.
fn read_head(head: &[u8]) -> Result<(u16, usize, bool), &'static str> {
    let text = std::str::from_utf8(head).map_err(|_| "an unreadable answer")?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or("an unreadable answer")?;
    let (mut length, mut is_last) = (0, false);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(|_| "an unreadable answer")?,
            "connection" => is_last = value.eq_ignore_ascii_case("close"),
            // Neither the gate nor Envoy answers in chunks here; read wrongly it would look like more.
            "transfer-encoding" => return Err("an answer in chunks"),
            _ => {}
        }
    }
    Ok((status, length, is_last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Answer, Upstream};

    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";

    #[test]
    fn each_way_to_end_is_told_apart() {
        let said = |bytes: &'static str| move || Answer::Bytes(bytes.as_bytes().to_vec());
        let refused = || Answer::json(403, &serde_json::json!({"reason": "revoked"}));
        for (answer, told) in [
            (Answer::no_content(), "204"),
            (refused(), "403 revoked"),
            (Answer::Close, "lost: closed without an answer"),
        ] {
            let upstream = Upstream::start(move |_| answer.clone()).expect("a server");
            let mut line = Line::new(upstream.address());
            assert_eq!(line.exchange(REQUEST).told(), told);
            assert_eq!(line.exchange(REQUEST).told(), told, "and again");
            assert_eq!(line.closed, 0, "{told}");
        }
        let farewell = said("HTTP/1.1 204 No\r\nconnection: close\r\n\r\n");
        let half = said("HTTP/1.1 403 No\r\ncontent-length: 9\r\n\r\nhalf");
        let upstream = Upstream::start(move |_| farewell()).expect("a server");
        let mut line = Line::new(upstream.address());
        assert!(line.exchange(REQUEST).is_accepted() && line.exchange(REQUEST).is_accepted());
        assert_eq!(line.closed, 2, "announced, so nothing was lost");
        let upstream = Upstream::start(move |_| half()).expect("a server");
        let lost = Line::new(upstream.address()).exchange(REQUEST).told();
        assert_eq!(lost, "lost: closed in the middle of the answer");
    }
}
