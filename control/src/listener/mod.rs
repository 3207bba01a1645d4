//! The socket: accepts connections, with TLS or without, and speaks HTTP/1.1 and HTTP/2 on each. One
//! service answers them all, be it REST or gRPC; it finds the caller's address in `ConnectInfo`.
//!
//! Everything here has a limit, because everybody who reaches the socket gets this far without a token:
//! how many connections, how long a handshake, the first request, a request's body and a silence may
//! take. A request that control itself holds open is none of these: it may take its time.

mod activity;
mod body;
mod stall;

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tower::ServiceExt as _;

use self::activity::{Activity, Idle};
use self::body::{Deadline, Tracked};
use self::stall::Stall;

/// How long a TLS handshake may take, from the first byte.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes that are computed at once; the others wait, within their time. A silent connection is
/// none of them: it has not begun.
const HANDSHAKES_MAX: usize = 256;

/// How long a new connection may take to its first whole request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long a connection may be without a request after that.
const IDLE: Duration = Duration::from_mins(2);

/// How long a connection that was told to end, and has nothing to answer, may take to say goodbye.
const CLOSE: Duration = Duration::from_secs(1);

/// How long a peer may take no byte of what it is sent.
const STALL: Duration = Duration::from_secs(30);

/// How long a request's body may take.
const BODY: Duration = Duration::from_secs(30);

/// A request's line and headers.
const HEADER_BYTES_MAX: u32 = 32 * 1024;

/// The requests that one HTTP/2 connection may have open: a proxy in front of many gateways holds a
/// poll for each.
const STREAMS_MAX: u32 = 1_000;

/// An HTTP/2 connection is asked this often whether anybody is there, and given the same time again.
const PING: Duration = Duration::from_secs(20);

/// After an error of the system, not of the one connection: it will not be better at once.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Accepts until told to stop, then ends each connection when its requests are answered.
pub(crate) async fn run(
    listener: TcpListener,
    connections_max: usize,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    app: Router,
    stopping: watch::Receiver<bool>,
) {
    let connections_max = connections_max.clamp(1, Semaphore::MAX_PERMITS);
    let connections = Arc::new(Semaphore::new(connections_max));
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    let front = Front { tls, handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)), app };
    let accepting = async {
        let mut full = Full::default();
        loop {
            // Before accepting: who is too many waits in the system's queue and costs nothing here.
            full.tell(connections.available_permits() == 0, connections_max);
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((socket, peer)) => {
                    front.connect(socket, peer, permit, stopping.clone());
                }
                Err(error) if is_of_one_connection(&error) => (),
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    sleep(BACK_OFF).await;
                }
            }
        }
    };
    let mut stopped = stopping.clone();
    tokio::select! {
        () = accepting => (),
        _ = stopped.wait_for(|stop| *stop) => (),
    }
    drop(listener);
    // Each connection heard of it by itself.
    connections.acquire_many(all).await.ok();
}

/// Says once that no more connections are accepted, until there were some again.
#[derive(Default)]
struct Full(bool);

impl Full {
    fn tell(&mut self, full: bool, connections_max: usize) {
        if full && !self.0 {
            tracing::warn!(connections_max, "as many connections as may be; others wait");
        }
        self.0 = full;
    }
}

/// Whether the peer went away before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// What all connections share.
#[derive(Clone)]
struct Front {
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    handshakes: Arc<Semaphore>,
    app: Router,
}

impl Front {
    /// Starts a task for a new connection. It holds its permit until it ends.
    fn connect(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        stopping: watch::Receiver<bool>,
    ) {
        // Answers are small and whole; waiting for more of them would only cost time.
        socket.set_nodelay(true).ok();
        let front = self.clone();
        tokio::spawn(async move {
            let _permit = permit;
            match front.tls.clone() {
                None => front.serve(socket, peer, stopping).await,
                Some(config) => {
                    let mut stopped = stopping.clone();
                    let secured = tokio::select! {
                        secured = timeout(HANDSHAKE, front.handshake(socket, config)) => secured,
                        _ = stopped.wait_for(|stop| *stop) => return,
                    };
                    match secured {
                        Ok(Ok(stream)) => front.serve(stream, peer, stopping).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
                        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
                    }
                }
            }
        });
    }

    async fn handshake(
        &self,
        socket: TcpStream,
        config: watch::Receiver<Arc<ServerConfig>>,
    ) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let _turn = self.handshakes.acquire().await.map_err(io::Error::other)?;
        let config = Arc::clone(&config.borrow());
        hello.into_stream(config).await
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        peer: SocketAddr,
        mut stopping: watch::Receiver<bool>,
    ) {
        let activity = Activity::new(FIRST_REQUEST, IDLE);
        let service = service_fn(|request: Request<Incoming>| {
            let (app, request_under_way) = (self.app.clone(), activity.begin());
            async move {
                let mut request = request.map(|body| Body::new(Deadline::new(body, BODY)));
                request.extensions_mut().insert(ConnectInfo(peer));
                let answered = app.oneshot(request).await;
                answered.map(|response: Response<Body>| {
                    response.map(|body| Tracked::new(body, request_under_way))
                })
            }
        });
        let builder = builder();
        let connection = builder.serve_connection(TokioIo::new(Stall::new(stream, STALL)), service);
        let mut connection = core::pin::pin!(connection);
        let mut timer = core::pin::pin!(sleep_until(activity.deadline()));
        let mut ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, error = %error, "a connection broke");
                    }
                    return;
                }
                _ = stopping.wait_for(|stop| *stop), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                    timer.as_mut().reset(Instant::now() + CLOSE);
                }
                () = timer.as_mut() => match activity.look() {
                    Idle::Busy => {
                        let again = if ending { CLOSE } else { IDLE };
                        timer.as_mut().reset(Instant::now() + again);
                    }
                    Idle::Until(then) if !ending => timer.as_mut().reset(then),
                    _ if ending => return,
                    _ => {
                        ending = true;
                        connection.as_mut().graceful_shutdown();
                        timer.as_mut().reset(Instant::now() + CLOSE);
                    }
                },
            }
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(HEADER_BYTES_MAX as usize).pipeline_flush(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX);
    builder
}

#[cfg(test)]
mod tests;
