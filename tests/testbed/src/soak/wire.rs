//! The network between Envoy and control: a relay of bytes that can be cut, held up, slowed down, or
//! taken over by somebody who talks nonsense. It knows nothing of what it carries.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::pace::pause;
use crate::port::Lease;

/// How soon a thread that waits for bytes sees that the weather changed.
const LOOK: Duration = Duration::from_millis(20);

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// They arrive.
    Fair,
    /// Nobody listens: connections are refused, and those that were open are closed.
    Refused,
    /// They are kept back, and arrive when the weather is fair again, as after a lost route. New
    /// connections are taken, and nothing is said on them.
    Silent,
    /// Connections are reset, those that were open and every new one.
    Reset,
    /// Each piece comes later, and what control says comes in drops.
    Slow,
    /// Somebody else answers, and talks nonsense.
    Garbage,
}

/// The delay of a piece under [`Weather::Slow`], and what drips at once after that.
const DELAY: Duration = Duration::from_millis(100);
const DROP_BYTES: usize = 128;
const DROP_EVERY: Duration = Duration::from_millis(10);

struct Shared {
    sky: Mutex<Sky>,
    changed: Condvar,
    lease: Lease,
}

struct Sky {
    weather: Weather,
    /// Connections of an earlier one are cut.
    era: u64,
    /// Connections up to this one are mute, and stay.
    forgotten: u64,
    to: Option<SocketAddr>,
    garbage: usize,
    is_over: bool,
}

/// The relay. It ends when it is dropped.
pub(super) struct Wire {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Wire {
    pub(super) fn new() -> Result<Self> {
        let lease = Lease::any()?;
        let sky = Sky {
            weather: Weather::Fair,
            era: 1,
            forgotten: 0,
            to: None,
            garbage: 0,
            is_over: false,
        };
        let shared = Arc::new(Shared { sky: Mutex::new(sky), changed: Condvar::new(), lease });
        let mut wire = Self { shared, accepting: None };
        wire.open()?;
        Ok(wire)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.shared.lease.address()
    }

    /// Leads to this address from now on; connections that lead elsewhere are closed.
    pub(super) fn lead_to(&self, address: SocketAddr) {
        let mut sky = self.shared.sky();
        sky.to = Some(address);
        sky.era += 1;
        self.shared.changed.notify_all();
    }

    /// Lets nothing pass any more on the connections that are open, and closes none of them.
    pub(super) fn forget_connections(&self) {
        let mut sky = self.shared.sky();
        sky.forgotten = sky.era;
        sky.era += 1;
        self.shared.changed.notify_all();
    }

    /// Changes the weather.
    pub(super) fn set(&mut self, weather: Weather) -> Result<()> {
        let before = {
            let mut sky = self.shared.sky();
            let before = sky.weather;
            sky.weather = weather;
            // What was slow or kept back goes on; everything else begins with new connections.
            let goes_on =
                |weather| matches!(weather, Weather::Fair | Weather::Slow | Weather::Silent);
            if !(goes_on(before) && goes_on(weather)) {
                sky.era += 1;
            }
            self.shared.changed.notify_all();
            before
        };
        match (before, weather) {
            (Weather::Refused, Weather::Refused) => {}
            (_, Weather::Refused) => self.close(),
            (Weather::Refused, _) => self.open()?,
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self) -> Result<()> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        // Beside the lease, which keeps the port while nobody listens.
        set_socket_reuseport(&socket, true)?;
        bind(&socket, &self.address())?;
        listen(&socket, 64)?;
        let (listener, shared) = (TcpListener::from(socket), Arc::clone(&self.shared));
        self.accepting = Some(thread::spawn(move || accept(&listener, &shared)));
        Ok(())
    }

    fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            // Wakes the thread, which sees that it is no longer wanted.
            let _woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.address().port()));
            let _ended = accepting.join();
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        {
            let mut sky = self.shared.sky();
            sky.is_over = true;
            sky.era += 1;
            self.shared.changed.notify_all();
        }
        self.close();
    }
}

impl Shared {
    fn sky(&self) -> MutexGuard<'_, Sky> {
        self.sky.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection of this era is still carried. One that is forgotten stays as it is until
    /// all is over.
    fn carries(&self, era: u64) -> bool {
        let mute = |sky: &mut Sky| sky.forgotten >= era && !sky.is_over;
        let sky = self.changed.wait_while(self.sky(), mute);
        sky.unwrap_or_else(PoisonError::into_inner).era == era
    }

    /// Whether a connection of this era goes on; waits while bytes are kept back.
    fn lets_pass(&self, era: u64) -> bool {
        let kept = |sky: &mut Sky| sky.weather == Weather::Silent && sky.era == era;
        let sky = self.changed.wait_while(self.sky(), kept);
        sky.unwrap_or_else(PoisonError::into_inner).era == era
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        let (weather, era) = {
            let sky = shared.sky();
            if sky.is_over || sky.weather == Weather::Refused {
                return;
            }
            (sky.weather, sky.era)
        };
        let Ok(socket) = socket else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || match weather {
            Weather::Reset => reset(&socket),
            Weather::Garbage => {
                // The connection breaks when the gate has heard enough.
                let _broken = babble(&socket, &shared, era);
            }
            _ => carry(socket, &shared, era),
        });
    }
}

/// Carries bytes both ways until one side ends or the era does.
fn carry(near: TcpStream, shared: &Arc<Shared>, era: u64) {
    if !shared.lets_pass(era) {
        return reset(&near);
    }
    let to = shared.sky().to;
    let Some(far) = to.and_then(|to| TcpStream::connect(to).ok()) else { return };
    let (near, far) = (Arc::new(near), Arc::new(far));
    let back = {
        let (near, far, shared) = (Arc::clone(&near), Arc::clone(&far), Arc::clone(shared));
        thread::spawn(move || pump(&far, &near, &shared, era, DROP_BYTES))
    };
    pump(&near, &far, shared, era, usize::MAX);
    let _ended = back.join();
    if shared.sky().weather == Weather::Reset {
        reset(&near);
    }
}

/// Carries bytes one way. Whoever ends first ends both.
fn pump(from: &TcpStream, to: &TcpStream, shared: &Shared, era: u64, drop_bytes: usize) {
    let mut buffer = vec![0; 64 * 1024];
    let (mut from_, mut to_) = (from, to);
    if from.set_read_timeout(Some(LOOK)).is_err() {
        return;
    }
    while shared.carries(era) {
        let count = match from_.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => break,
        };
        if !shared.lets_pass(era) {
            break;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        let is_slow = shared.sky().weather == Weather::Slow;
        let size = if is_slow { drop_bytes } else { usize::MAX };
        if is_slow {
            pause(DELAY);
        }
        for piece in bytes.chunks(size) {
            if to_.write_all(piece).is_err() {
                return;
            }
            if size < bytes.len() {
                pause(DROP_EVERY);
            }
        }
    }
    // Under Reset the sockets are closed as they are, so that the other side sees a reset.
    if shared.sky().weather != Weather::Reset {
        for socket in [from, to] {
            let _closed = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Closes with a reset, once the last handle is gone.
fn reset(socket: &TcpStream) {
    let _set = set_socket_linger(socket, Some(Duration::ZERO));
}

/// Answers each question with the next piece of nonsense.
fn babble(socket: &TcpStream, shared: &Shared, era: u64) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket);
    let mut writer = socket;
    while shared.sky().era == era {
        let mut line = Vec::new();
        while line != b"\r\n" {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
        }
        let number = {
            let mut sky = shared.sky();
            sky.garbage += 1;
            sky.garbage
        };
        if shared.sky().era == era {
            writer.write_all(&nonsense(number))?;
        }
    }
    Ok(())
}

/// A proxy's error page, errors, half a page, a page of another list, a reset to nothing, noise.
fn nonsense(number: usize) -> Vec<u8> {
    let body: Vec<u8> = match number % 8 {
        0 => b"<html>a proxy's error page</html>".to_vec(),
        1 => br#"{"epoch":"#.to_vec(),
        2 => b"\xff\xfe\0\0".to_vec(),
        3 => vec![b'['; 200_000],
        4 => br#"{"epoch":"x","reset":true,"from":0,"to":0,"head":0,"keys":[],"streams":[]}"#
            .to_vec(),
        5 => br#"{"epoch":"x","reset":false,"from":9,"to":9,"head":9,"keys":[],"streams":[]}"#
            .to_vec(),
        6 => vec![b' '; 5 * 1024 * 1024],
        _ => return b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
    };
    let status = if number.is_multiple_of(3) { "500 No" } else { "200 OK" };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{self, Http1};
    use crate::message::Request;
    use crate::upstream::{Answer, Upstream};

    #[test]
    fn each_weather_is_seen_and_passes() {
        let upstream = Upstream::start(|_| Answer::no_content()).expect("a server");
        let mut wire = Wire::new().expect("a wire");
        wire.lead_to(upstream.address());
        let address = wire.address();
        let ask = || http1::send(address, &Request::get("/")).map(|answer| answer.status);
        for weather in [Weather::Refused, Weather::Reset, Weather::Garbage] {
            assert_eq!(ask().expect("an answer"), 204, "before {weather:?}");
            let mut open = Http1::connect(address).expect("a connection");
            assert_eq!(open.send(&Request::get("/")).expect("an answer").status, 204);
            wire.set(weather).expect("set");
            assert!(open.send(&Request::get("/")).is_err(), "{weather:?} cuts what is open");
            assert!(!ask().is_ok_and(|status| status == 204), "{weather:?}");
            wire.set(Weather::Fair).expect("set");
        }
        wire.set(Weather::Slow).expect("set");
        let began = std::time::Instant::now();
        assert_eq!(ask().expect("an answer"), 204);
        assert!(began.elapsed() >= 2 * DELAY, "{:?}", began.elapsed());
    }

    #[test]
    fn what_was_kept_back_arrives_later() {
        let upstream = Upstream::start(|_| Answer::no_content()).expect("a server");
        let mut wire = Wire::new().expect("a wire");
        wire.lead_to(upstream.address());
        let address = wire.address();
        wire.set(Weather::Silent).expect("set");
        let asked = thread::spawn(move || http1::send(address, &Request::get("/")));
        pause(Duration::from_millis(100));
        assert!(!asked.is_finished() && upstream.received().is_empty());
        wire.set(Weather::Fair).expect("set");
        assert_eq!(asked.join().expect("no panic").expect("an answer").status, 204);
    }
}
