//! What of an upstream's answer reaches the sender. Where the request carried the upstream's secret
//! only the status and a few harmless headers do, and the sender still sees where the answer ends.
//! Elsewhere the answer passes as it came.

pub(crate) mod origin;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use mpgate_testbed::http2::Http2;
use mpgate_testbed::port::Lease;
use mpgate_testbed::stack::{CLUB, SHOP, UPSTREAM_SECRET, purchase};
use mpgate_testbed::{Request, Response, Stack, Upstream, http1};
use serde_json::json;

use origin::Told;

/// Above every timeout: what is slower hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream whose upstream is sent what the sender brought.
const MUSEUM: &str = "G-MUSEUM0001";

/// What may stand in an answer to a request that carried the upstream's secret: nothing that an
/// upstream could put a URL into, and what frames the message.
const HARMLESS: [&str; 7] = [
    "cache-control",
    "connection",
    "content-length",
    "date",
    "retry-after",
    "server",
    "transfer-encoding",
];

/// One gate, an upstream that answers as the request's `x-case` wants it, and who may write what.
struct Scene {
    stack: Stack,
    upstream: Upstream,
    museum: String,
    _translator: Lease,
}

impl Scene {
    /// `is_http2`: between the gate and the upstream.
    fn set(is_http2: bool) -> Self {
        let upstream = Upstream::start(|request| {
            origin::answer(&request.header("x-case").unwrap_or_default(), &request.path())
        })
        .expect("an upstream");
        let lease = Lease::any().expect("a port");
        let (origin, translator) = (upstream.address(), lease.address());
        let stack = Stack::builder()
            .upstream(if is_http2 { translator } else { origin })
            .edit(move |config| {
                config.http()?["http_protocol_options"] = json!({"enable_trailers": true});
                for route in config.routes()? {
                    // Eight seconds as shipped: too long to wait for in a table.
                    route["route"]["timeout"] = "1s".into();
                }
                if is_http2 {
                    origin::speak_http2(config, origin, translator);
                } else {
                    origin::keep_trailers(config.cluster("analytics")?);
                }
                Ok(())
            })
            .start()
            .expect("a stack");
        stack.add_stream(MUSEUM, None, "keep").expect("a stream");
        let museum = stack.issue("museum", &[MUSEUM]).expect("a key").secret;
        Self { stack, upstream, museum, _translator: lease }
    }

    fn ask(&self, stream: &str, case: &str, client: Client) -> Result<Response, String> {
        let secret = match stream {
            SHOP => &self.stack.billing.secret,
            CLUB => &self.stack.crm.secret,
            _ => &self.museum,
        };
        client.send(&self.stack, &purchase(stream, secret).header("x-case", case))
    }
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Http1,
    Http2,
}

impl Client {
    const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    fn send(self, stack: &Stack, request: &Request) -> Result<Response, String> {
        let address = stack.envoy.address();
        let answer = match self {
            Self::Http1 => http1::send(address, request),
            Self::Http2 => Http2::connect(address).and_then(|mut client| client.send(request)),
        };
        answer.map_err(|error| format!("{error:#}"))
    }
}

/// The whole answer, readable.
fn shown(answer: &Response) -> String {
    let fields = answer.headers.iter().chain(&answer.trailers);
    let fields =
        fields.map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
    format!("{}\n{}\n{}", answer.status, fields.collect::<String>(), answer.text())
}

fn check_stripped(told: &Told, client: Client, scene: &Scene) {
    let row = format!("{}, {client:?}", told.case);
    let got = scene.ask(CLUB, told.case, client);
    let Some(status) = told.status else {
        // There is no end to be seen; but there is one, and nothing before it.
        assert!(got.as_ref().map_or(true, |got| got.body.is_empty()), "{row}: {got:?}");
        return;
    };
    let got = got.unwrap_or_else(|error| panic!("{row}: {error}"));
    let all = shown(&got);
    assert_eq!(got.status, status, "{row}: {all}");
    assert!(!all.contains(UPSTREAM_SECRET), "{row}: {all}");
    assert!(got.body.is_empty() && got.trailers.is_empty(), "{row}: {all}");
    for (header, _) in &got.headers {
        assert!(HARMLESS.contains(&&**header), "{row}: {header} came through");
    }
}

fn check_unchanged(told: &Told, client: Client, stream: &str, scene: &Scene) {
    let (Some(status), true) = (told.status, told.is_from_upstream) else {
        return;
    };
    let row = format!("{stream}, {}, {client:?}", told.case);
    let got = scene.ask(stream, told.case, client);
    let got = got.unwrap_or_else(|error| panic!("{row}: {error}"));
    let all = shown(&got);
    assert_eq!(got.status, status, "{row}: {all}");
    for header in told.headers {
        let value = got.header(header).unwrap_or_default();
        assert!(value.contains(stream), "{row}: {header} is lost: {all}");
    }
    assert_eq!(got.text().contains(stream), told.has_body, "{row}: {all}");
    assert_eq!(!got.trailers.is_empty(), told.has_trailers, "{row}: {all}");
}

fn check(scene: &Scene) {
    for told in &origin::told() {
        for client in Client::BOTH {
            check_stripped(told, client, scene);
            check_unchanged(told, client, SHOP, scene);
            check_unchanged(told, client, MUSEUM, scene);
        }
    }
    // What the rows rest on: the upstream had the secrets, and repeated what it was asked for.
    let received = scene.upstream.received();
    assert!(received.iter().any(|one| origin::asked_for(one, CLUB, UPSTREAM_SECRET)));
    assert!(received.iter().any(|one| origin::asked_for(one, MUSEUM, &scene.museum)));
}

#[test]
fn an_answer_to_the_upstreams_secret_is_stripped_and_no_other() {
    check(&Scene::set(false));
}

#[test]
fn an_answer_over_http2_is_stripped_too() {
    check(&Scene::set(true));
}

/// The bytes on the wire: interim answers, the reason phrase and the framing are in no [`Response`].
#[test]
fn nothing_between_the_lines() {
    let scene = Scene::set(false);
    for told in &origin::told() {
        let path =
            format!("/mp/collect?measurement_id={CLUB}&api_secret={}", scene.stack.crm.secret);
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: gate\r\nx-case: {}\r\nexpect: 100-continue\r\n\
             connection: close\r\ncontent-length: 2\r\n\r\n{{}}",
            told.case
        );
        let mut socket = TcpStream::connect(scene.stack.envoy.address()).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.write_all(request.as_bytes()).expect("sent");
        let mut got = Vec::new();
        socket.read_to_end(&mut got).unwrap_or_else(|error| panic!("{}: {error}", told.case));
        let got = String::from_utf8_lossy(&got);
        assert!(got.contains("HTTP/1.1 "), "{}: {got}", told.case);
        assert!(!got.contains(UPSTREAM_SECRET), "{}: {got}", told.case);
        assert!(!got.contains("api_secret"), "{}: {got}", told.case);
    }
}
