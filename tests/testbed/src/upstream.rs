//! An upstream that answers as a test tells it, well or badly, and keeps the raw bytes it was sent.

use std::fmt::{self, Write as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::poll;

/// How long an address may be somebody else's before it is an upstream's.
const BOUND: Duration = Duration::from_secs(5);

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub struct Received {
    /// From the request line to the blank line, both included.
    pub head: Vec<u8>,
    /// The body, with any chunk framing.
    pub body: Vec<u8>,
}

impl Received {
    /// The target of the request line, query included.
    #[must_use]
    pub fn path(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        head.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// Whether these bytes occur anywhere in it.
    #[must_use]
    pub fn contains(&self, needle: &str) -> bool {
        let holds = |hay: &[u8]| hay.windows(needle.len()).any(|part| part == needle.as_bytes());
        holds(&self.head) || holds(&self.body)
    }
}

/// What the upstream does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status, headers and a body.
    Respond(u16, Vec<(String, String)>, Vec<u8>),
    /// These very bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// Closes the connection without a word.
    Close,
    /// Says nothing until the other side gives up.
    Silence,
    /// Another answer, later.
    After(Duration, Box<Answer>),
}

impl Answer {
    /// 204, as GA4 says.
    #[must_use]
    pub fn no_content() -> Self {
        Self::Respond(204, Vec::new(), Vec::new())
    }

    /// A status with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self::Respond(status, headers, body.to_string().into_bytes())
    }

    /// A redirect to the very address that was asked for, as some upstreams send it.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        let headers = vec![("location".to_owned(), location.to_owned())];
        Self::Respond(301, headers, Vec::new())
    }
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

/// A server on a free port. Its threads end when it is dropped.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    received: Mutex<Vec<Received>>,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
    stopping: Condvar,
}

impl Upstream {
    /// Starts a server that answers as `script` says.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Result<Self> {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script)
    }

    /// The same on a given address, for an upstream that comes back.
    ///
    /// # Errors
    /// The address stays taken.
    pub fn at(
        address: SocketAddr,
        script: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        // A connection that goes out may have been given the port for a moment.
        let listener =
            poll::until("the address to be free", BOUND, || TcpListener::bind(address).ok());
        let listener = listener.with_context(|| address.to_string())?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: Box::new(script),
            received: Mutex::default(),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
            stopping: Condvar::new(),
        });
        let server = Arc::clone(&shared);
        thread::spawn(move || server.serve(&listener));
        Ok(Self { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it was sent so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Upstream({})", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.shared.stopping.notify_all();
        for socket in lock(&self.shared.open).drain(..) {
            // It may be closed already.
            let _closed = socket.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _woken = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, listener: &TcpListener) {
        for socket in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(socket) = socket else { continue };
            if let Ok(copy) = socket.try_clone() {
                lock(&self.open).push(copy);
            }
            let server = Arc::clone(self);
            thread::spawn(move || {
                // A connection that breaks is what some tests are about.
                let _broken = server.converse(&socket);
                let _closed = socket.shutdown(Shutdown::Both);
            });
        }
    }

    fn converse(&self, socket: &TcpStream) -> Result<()> {
        let mut reader = BufReader::new(socket);
        while let Some(request) = receive(&mut reader)? {
            lock(&self.received).push(request.clone());
            if !self.answer(socket, (self.script)(&request))? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the connection goes on.
    fn answer(&self, mut socket: &TcpStream, answer: Answer) -> Result<bool> {
        match answer {
            Answer::Respond(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} Told\r\n");
                for (name, value) in headers {
                    write!(head, "{name}: {value}\r\n")?;
                }
                if status != 204 {
                    write!(head, "content-length: {}\r\n", body.len())?;
                }
                head.push_str("\r\n");
                socket.write_all(&[head.as_bytes(), &body].concat())?;
                Ok(true)
            }
            Answer::Bytes(bytes) => {
                socket.write_all(&bytes)?;
                Ok(false)
            }
            Answer::Close => Ok(false),
            Answer::Silence => {
                // Ends with the other side's connection, or with this server's.
                let _rest = socket.read_to_end(&mut Vec::new());
                Ok(false)
            }
            Answer::After(delay, answer) => {
                let guard = lock(&self.received);
                let going = |_: &mut Vec<Received>| !self.stopped.load(Ordering::SeqCst);
                drop(self.stopping.wait_timeout_while(guard, delay, going));
                self.answer(socket, *answer)
            }
        }
    }
}

fn receive(reader: &mut BufReader<&TcpStream>) -> Result<Option<Received>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
    }
    let mut request = Received { head, body: Vec::new() };
    if let Some(length) = request.header("content-length") {
        reader.by_ref().take(length.parse()?).read_to_end(&mut request.body)?;
    } else if request.header("transfer-encoding").is_some() {
        // Behind the last chunk there may be trailers; a blank line ends them.
        let (mut is_last, mut line) = (false, Vec::new());
        while !(is_last && line == b"\r\n") {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            is_last |= line == b"0\r\n";
            request.body.extend(&line);
        }
    }
    Ok(Some(request))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{self, Http1};
    use crate::message::Request;

    #[test]
    fn it_answers_as_told_and_keeps_what_came() {
        let upstream = Upstream::start(|request| match request.path().as_str() {
            "/moved" => Answer::redirect("/elsewhere"),
            "/later" => Answer::After(Duration::from_millis(1), Box::new(Answer::no_content())),
            _ => Answer::Close,
        })
        .expect("a server");
        let mut client = Http1::connect(upstream.address()).expect("a connection");
        let moved = client.send(&Request::post("/moved").body("secret")).expect("an answer");
        assert_eq!((moved.status, moved.header("location").as_deref()), (301, Some("/elsewhere")));
        assert_eq!(client.send(&Request::get("/later")).expect("an answer").status, 204);
        assert!(http1::send(upstream.address(), &Request::get("/gone")).is_err());
        let received = upstream.received();
        assert_eq!(received.len(), 3);
        assert!(received.first().is_some_and(|first| first.contains("secret")));
    }
}
