//! An upstream that shows what it has been sent so far, whole or not.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Answers 204 to each request whose last bytes are the end of its body; ends when it is dropped.
pub(super) struct Witness {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    stopped: Arc<AtomicBool>,
}

impl Witness {
    /// `end` is what bodies end with.
    pub(super) fn start(end: &'static [u8]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let stopped = Arc::<AtomicBool>::default();
        let (shared, ended) = (Arc::clone(&seen), Arc::clone(&stopped));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let seen = Arc::clone(&shared);
                thread::spawn(move || watch(socket, end, &seen));
            }
        });
        Self { address, seen, stopped }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn has_seen(&self, part: &str) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.windows(part.len()).any(|window| window == part.as_bytes())
    }
}

/// Ends when the other side closes.
fn watch(mut socket: TcpStream, end: &[u8], seen: &Mutex<Vec<u8>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        let part = buffer.get(..count).unwrap_or_default();
        seen.lock().unwrap_or_else(PoisonError::into_inner).extend(part);
        request.extend(part);
        if request.ends_with(end) {
            request.clear();
            if socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
                return;
            }
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _woken = TcpStream::connect(self.address);
    }
}
