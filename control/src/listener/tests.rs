//! The limits of one connection, on a clock that the tests move.

use axum::body::to_bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

const GET: &[u8] = b"GET /held HTTP/1.1\r\nhost: control.test\r\n\r\n";

/// One connection to a control that holds `/held` open for 25 seconds and reads what `/take` is sent.
struct Connection {
    client: DuplexStream,
    server: JoinHandle<()>,
    stop: watch::Sender<bool>,
    begun: Instant,
}

impl Connection {
    fn open() -> Self {
        let held = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
            sleep(Duration::from_secs(25)).await;
            peer.to_string()
        };
        let take = |body: Body| async move {
            to_bytes(body, 1_024).await.map_err(|_| axum::http::StatusCode::REQUEST_TIMEOUT)
        };
        let app = Router::new().route("/held", get(held)).route("/take", post(take));
        let front = Front { tls: None, handshakes: Arc::new(Semaphore::new(1)), app };
        let (client, stream) = duplex(1_024 * 1_024);
        let stop = watch::Sender::new(false);
        let peer = SocketAddr::from(([192, 0, 2, 1], 7));
        let server = tokio::spawn(front.serve(stream, peer, stop.subscribe()));
        Self { client, server, stop, begun: Instant::now() }
    }

    /// Says something and reads what control says until it has nothing more to say.
    async fn say(&mut self, bytes: &[u8]) -> String {
        self.client.write_all(bytes).await.expect("control reads");
        let mut answer = vec![0; 4_096];
        let length = self.client.read(&mut answer).await.expect("control answers");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    /// After how many seconds control ends the connection.
    async fn ended(mut self) -> u64 {
        let mut rest = Vec::new();
        self.client.read_to_end(&mut rest).await.expect("an end");
        self.server.await.expect("no panic");
        self.begun.elapsed().as_secs()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_request_has_to_come_in_time() {
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM", b"GET /held HTTP/1.1\r\nhost: con"] {
        let mut connection = Connection::open();
        connection.client.write_all(said).await.expect("control reads");
        let ended = connection.ended().await;
        assert!((10..=11).contains(&ended), "{} bytes: {ended} s", said.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_control_holds_is_not_idle_and_what_comes_after_it_is() {
    let mut connection = Connection::open();
    for round in 1..=3_u64 {
        let answer = connection.say(GET).await;
        assert!(answer.ends_with("192.0.2.1:7"), "{answer}");
        assert_eq!(connection.begun.elapsed().as_secs(), round * 25);
    }
    let ended = connection.ended().await;
    assert!((75 + 120..=75 + 122).contains(&ended), "{ended} s");
}

#[tokio::test(start_paused = true)]
async fn a_body_has_to_come_in_time() {
    let mut connection = Connection::open();
    let head = b"POST /take HTTP/1.1\r\nhost: control.test\r\ncontent-length: 9\r\n\r\n";
    connection.client.write_all(head).await.expect("control reads");
    for _ in 0..3 {
        sleep(Duration::from_secs(9)).await;
        connection.client.write_all(b"x").await.expect("control reads");
    }
    let answer = connection.say(b"").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(connection.begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn headers_are_limited() {
    let mut connection = Connection::open();
    let long = "x".repeat(64 * 1_024);
    let request = format!("GET /held HTTP/1.1\r\nhost: control.test\r\nx-long: {long}\r\n\r\n");
    let answer = connection.say(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_control_waits_for_an_answer_and_for_nothing_else() {
    let idle = Connection::open();
    idle.stop.send_replace(true);
    assert_eq!(idle.ended().await, 0);

    let mut busy = Connection::open();
    busy.client.write_all(GET).await.expect("control reads");
    sleep(Duration::from_secs(1)).await;
    busy.stop.send_replace(true);
    let answer = busy.say(b"").await;
    assert!(answer.ends_with("192.0.2.1:7"), "{answer}");
    assert_eq!(busy.ended().await, 25);
}

#[tokio::test]
async fn who_is_too_many_waits_for_who_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let app = Router::new().route("/", get(|| async { "whole" }));
    let stop = watch::Sender::new(false);
    let server = tokio::spawn(run(listener, 2, None, app, stop.subscribe()));
    let ask = b"GET / HTTP/1.1\r\nhost: control.test\r\n\r\n";
    let mut connections = Vec::new();
    for place in 0..3 {
        let mut socket = TcpStream::connect(address).await.expect("the system's queue takes it");
        socket.write_all(ask).await.expect("written");
        if place < 2 {
            assert!(socket.read(&mut [0; 512]).await.expect("an answer") > 0);
        }
        connections.push(socket);
    }
    let mut third = connections.pop().expect("three");
    let mut answer = [0; 512];
    let early = timeout(Duration::from_millis(100), third.read(&mut answer)).await;
    assert!(early.is_err(), "the third is served");
    drop(connections.pop());
    assert!(third.read(&mut answer).await.expect("an answer") > 0);
    stop.send_replace(true);
    server.await.expect("it ends, with two connections open");
}
