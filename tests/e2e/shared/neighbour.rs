//! The service next door: whatever it is sent and whatever it answers is, byte for byte, what it would be
//! without the gate. Two Envoys are compared: the shipped file, and the same file with everything of the
//! gate taken out.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mpgate_testbed::http2::Http2;
use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, EnvoyConfig, Request, Stack, Upstream};
use serde_json::json;

use super::{FILE, plain};

/// Paths as a client may write them.
const PATHS: [&str; 31] = [
    "/",
    "/users/%C3%A9",
    "/%E6%97%A5%E6%9C%AC?q=%E8%AA%9E",
    "//a//b/",
    "/a/./b/../c",
    "/a/%2e%2e/b",
    "/a%2Fb%2fc",
    "/a%5Cb",
    "/a\\b",
    "/a;v=1/b;c",
    "/a%",
    "/a%zz",
    "/a?b?c=%zz&d=+&&=",
    "/a?api_secret=mpg_shops_own&measurement_id=G-1",
    "/g/collect?v=2",
    "/MP/collect",
    "/mp",
    "/mp/",
    "/mp/collect/",
    "/mp/collect/x",
    "/mp/collect;x",
    "/mp/collect%20",
    "/mp/%63ollect",
    "/mp//collect",
    "/x/../mp/collect",
    "/%u006dp/collect",
    "/debug/mp/collect/",
    "/mpgate/ready",
    "/mpgate/status",
    "http://shop.example.com/absolute",
    "/~'()*!$,:@",
];

/// Two gateways, with and without, and what the shop behind each was sent.
struct Pair {
    gateways: [Stack; 2],
    shops: [Upstream; 2],
}

impl Pair {
    fn start() -> Self {
        let shops = [(); 2].map(|()| Upstream::start(answer).expect("a shop"));
        let [first, second] = shops.each_ref().map(Upstream::address);
        let with = gateway(first, |_| Ok(()));
        let without = gateway(second, take_out);
        Self { gateways: [with, without], shops }
    }

    /// What both shops were sent since the last look; it has to be the same.
    fn same(&self, row: &str, answers: [Vec<u8>; 2], before: usize) {
        let [with, without] = answers.map(|answer| masked(&answer));
        assert_eq!(text(&with), text(&without), "{row}: the answer");
        let [with, without] = self.shops.each_ref().map(|shop| {
            let all = shop.received().split_off(before);
            all.iter().map(|one| [masked(&one.head), content(one)].concat()).collect::<Vec<_>>()
        });
        assert_eq!(with.len(), without.len(), "{row}: requests at the shop");
        for (with, without) in with.iter().zip(&without) {
            assert!(with == without, "{row}:\n{}\n---\n{}", text(with), text(without));
        }
    }

    fn seen(&self) -> usize {
        self.shops[0].received().len()
    }

    fn bytes(&self, row: &str, bytes: &[u8]) {
        let before = self.seen();
        let answers =
            self.gateways.each_ref().map(|gateway| exchange(gateway.envoy.address(), bytes));
        self.same(row, answers, before);
    }
}

fn gateway(
    shop: SocketAddr,
    edit: impl FnOnce(&mut EnvoyConfig) -> anyhow::Result<()> + 'static,
) -> Stack {
    let stack = Stack::builder()
        .config(FILE)
        .edit(move |config| plain(config, shop))
        // What Envoy drops without it is no matter of ours.
        .edit(|config| {
            config.http()?["http_protocol_options"] = json!({"enable_trailers": true});
            let options = json!({
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}},
            });
            config.cluster("shop")?["typed_extension_protocol_options"] =
                json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options});
            Ok(())
        })
        .edit(edit)
        .without_list()
        .start();
    stack.expect("a gateway")
}

/// The gateway as it was before the gate came.
fn take_out(config: &mut EnvoyConfig) -> anyhow::Result<()> {
    for filter in ["mpgate", "envoy.filters.http.local_ratelimit", "envoy.filters.http.buffer"] {
        config.remove_http_filter(filter)?;
    }
    config.routes()?.retain(|route| route["name"] == "shop");
    config.remove("/stats_config")?;
    Ok(())
}

/// The shop shows what it was sent, adds headers of its own, and takes upgrades.
fn answer(request: &Received) -> Answer {
    if request.header("upgrade").is_some() {
        let frames = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n\u{1}hello";
        return Answer::Bytes(frames.into());
    }
    if request.path().starts_with("/trailers") {
        let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n";
        return Answer::Bytes(chunks.into());
    }
    let headers = [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-mpgate-sender", "the shop's own"),
        ("location", "/mp/collect?api_secret=x"),
        ("server", "shop"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Answer::Respond(200, headers, [masked(&request.head), content(request)].concat())
}

fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    socket.write_all(bytes).expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("an answer, and its end");
    answer
}

/// Without what is drawn or measured anew for each request.
fn masked(head: &[u8]) -> Vec<u8> {
    const DRAWN: [&[u8]; 3] = [b"x-request-id:", b"x-envoy-upstream-service-time:", b"date:"];
    let lines = head.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| !DRAWN.iter().any(|name| line.starts_with(name)))
        .flatten()
        .copied()
        .collect()
}

/// The body and its trailers, however it was cut into chunks: that is the network's doing.
fn content(request: &Received) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = request.body.as_slice();
    if request.header("transfer-encoding").is_none() {
        return rest.to_owned();
    }
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let size = String::from_utf8_lossy(&rest[..end]).into_owned();
        let size = usize::from_str_radix(&size, 16).expect("a chunk's size");
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        out.extend(&rest[..size]);
        rest = &rest[size + 2..];
    }
    [out, rest.to_owned()].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..2_000).unwrap_or(bytes)).into_owned()
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: shop.example.com\r\nconnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn sized(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!("{headers}content-length: {}\r\n", body.len());
    request(method, path, &headers, body)
}

/// A body in chunks of this size, and what follows it.
fn chunked(body: &[u8], size: usize, trailers: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
    }
    out.extend(format!("0\r\n{trailers}\r\n").bytes());
    out
}

#[test]
fn the_service_next_door_is_not_touched() {
    let pair = Pair::start();
    for path in PATHS {
        pair.bytes(path, &request("GET", path, "", b""));
        pair.bytes(path, &sized("POST", path, "", b"{}"));
    }
    pair.bytes("a long path", &request("GET", &format!("/{}", "a".repeat(8_000)), "", b""));
    for method in ["HEAD", "DELETE", "OPTIONS", "PURGE", "PATCH"] {
        pair.bytes(method, &sized(method, "/a", "", b""));
    }
    pair.bytes("OPTIONS *", &request("OPTIONS", "*", "", b""));
    for headers in [
        "x-mpgate-sender: shop's own\r\nX-MPGATE-Key: a\r\nx-mpgate-unjudged: 1\r\n",
        "x_mpgate_sender: a\r\nunder_score: b\r\n",
        "authorization: Bearer mpg_shops_own\r\nx-api-secret: a\r\n",
        "origin: https://shop.example.com\r\nsec-fetch-site: same-origin\r\ncookie: a=1\r\n",
        "a: 1\r\nb: 2\r\na: 3\r\nempty:\r\nspaces:   x y   \r\n",
        "x-forwarded-host: other\r\nx-original-url: /mp/collect\r\nx-http-method-override: PUT\r\n",
        "x-envoy-original-path: /mp/collect\r\nx-envoy-max-retries: 9\r\n",
        "content-encoding: gzip\r\nreferer: https://a/?api_secret=b\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    ] {
        pair.bytes(headers, &sized("POST", "/a", headers, b"x"));
    }
    let bytes = [&b"x-odd: "[..], b"\xff\xfe", b"\r\n\r\n"].concat();
    let head = b"GET /a HTTP/1.1\r\nhost: shop.example.com\r\nconnection: close\r\n";
    pair.bytes("bytes that are no text", &[&head[..], &bytes].concat());
    let counted = pair.gateways[0].envoy.metrics().expect("metrics");
    assert!(counted.sum("mpgate_requests_total", &[]) < 1.0, "the gate counted the shop's");
}

#[test]
fn neither_are_its_bodies_trailers_and_upgrades() {
    let pair = Pair::start();
    let large: Vec<u8> = (0..3_000_000_u32).map(|index| index.to_le_bytes()[0]).collect();
    pair.bytes("a large upload", &sized("PUT", "/upload", "", &large));
    let in_chunks = "transfer-encoding: chunked\r\n";
    pair.bytes("chunks", &request("PUT", "/upload", in_chunks, &chunked(&large, 100_000, "")));
    let small = chunked(b"hello", 1, "x-sum: 2\r\nx-mpgate-sender: shop's\r\n");
    let announced = format!("{in_chunks}trailer: x-sum\r\n");
    pair.bytes("trailers", &request("POST", "/trailers", &announced, &small));
    let continued = sized("POST", "/a", "expect: 100-continue\r\n", b"hello");
    pair.bytes("a body that is asked for", &continued);
    let upgrade = "GET /socket HTTP/1.1\r\nhost: shop.example.com\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n\u{1}first";
    pair.bytes("an upgrade", upgrade.as_bytes());

    let before = pair.seen();
    let upload = Request::post("/upload").header("x-mpgate-sender", "shop's").body(&large);
    for gateway in &pair.gateways {
        let mut http2 = Http2::connect(gateway.envoy.address()).expect("HTTP/2");
        let told = http2.send_with_trailers(&upload, &[("x-mpgate-sum", "3")]).expect("an answer");
        assert_eq!(told.status, 200);
    }
    let seen = pair.shops.each_ref().map(|shop| content(&shop.received()[before]));
    assert!(seen[0] == seen[1] && seen[0].ends_with(b"x-mpgate-sum: 3\r\n\r\n"));
}
