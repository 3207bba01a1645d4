//! A way to the server that can be led elsewhere, and cut at the moment of a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to a connection that commits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Commits {
    Pass = 0,
    /// The server never hears of it.
    LoseAsked = 1,
    /// The server does it, and nobody hears of it.
    LoseAnswer = 2,
}

struct Way {
    to: AtomicU16,
    commits: AtomicU8,
}

pub(super) struct Proxy {
    pub(super) port: u16,
    way: Arc<Way>,
    cut: watch::Sender<u32>,
}

impl Proxy {
    pub(super) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let way = Arc::new(Way { to: AtomicU16::new(to), commits: AtomicU8::new(0) });
        let cut = watch::Sender::new(0);
        let (ways, cuts) = (Arc::clone(&way), cut.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (way, mut cut) = (Arc::clone(&ways), cuts.subscribe());
                tokio::spawn(async move {
                    tokio::select! { _ = cut.changed() => (), () = carry(client, &way) => () }
                });
            }
        });
        Self { port, way, cut }
    }

    /// New connections go there; those that are open end.
    pub(super) fn lead_to(&self, port: u16) {
        self.way.to.store(port, Ordering::SeqCst);
        self.cut.send_modify(|times| *times += 1);
    }

    pub(super) fn set(&self, commits: Commits) {
        self.way.commits.store(commits as u8, Ordering::SeqCst);
    }
}

/// Until one side ends, or a commit is to be lost.
async fn carry(mut client: TcpStream, way: &Way) {
    let to = way.to.load(Ordering::SeqCst);
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_lost = false;
    loop {
        let done = tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = asked.get(..read.unwrap_or(0)).unwrap_or_default();
                if bytes.windows(6).any(|word| word == b"COMMIT") {
                    match way.commits.load(Ordering::SeqCst) {
                        1 => return,
                        2 => is_lost = true,
                        _ => (),
                    }
                }
                if bytes.is_empty() { return }
                server.write_all(bytes).await
            }
            read = server.read(&mut answered) => {
                let bytes = answered.get(..read.unwrap_or(0)).unwrap_or_default();
                if bytes.is_empty() || is_lost { return }
                client.write_all(bytes).await
            }
        };
        if done.is_err() {
            return;
        }
    }
}
