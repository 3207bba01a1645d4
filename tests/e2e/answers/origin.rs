//! An upstream that repeats the URL it was asked for, secret included, wherever an answer has room.

use std::net::SocketAddr;

use mpgate_testbed::upstream::Received;
use mpgate_testbed::{Answer, EnvoyConfig};
use serde_json::{Value, json};

/// A way to answer, and what of it reaches a sender whose answer is not stripped.
#[derive(Default)]
pub(crate) struct Told {
    /// Its name: the sender's `x-case`.
    pub(crate) case: &'static str,
    /// Nothing where the answer is cut off.
    pub(crate) status: Option<u16>,
    /// Otherwise it is Envoy's own.
    pub(crate) is_from_upstream: bool,
    pub(crate) headers: &'static [&'static str],
    pub(crate) has_body: bool,
    pub(crate) has_trailers: bool,
}

/// Every header that is known to repeat URLs, and one that is not.
const ECHOING: [&str; 8] = [
    "location",
    "content-location",
    "refresh",
    "link",
    "set-cookie",
    "x-debug-url",
    "warning",
    "content-security-policy",
];

/// What the upstream can do.
pub(crate) fn told() -> Vec<Told> {
    let from_upstream = |case, status| Told {
        case,
        status: Some(status),
        is_from_upstream: true,
        headers: &ECHOING,
        ..Told::default()
    };
    let with_body = |case, status| Told { has_body: true, ..from_upstream(case, status) };
    let from_envoy = |case, status| Told { case, status, ..Told::default() };
    vec![
        with_body("200 length", 200),
        with_body("200 chunked", 200),
        with_body("200 until closed", 200),
        Told { has_trailers: true, ..with_body("200 trailers", 200) },
        with_body("200 large", 200),
        from_upstream("200 empty", 200),
        from_upstream("204", 204),
        with_body("301 length", 301),
        from_upstream("304", 304),
        with_body("404 chunked", 404),
        with_body("500 length", 500),
        with_body("hints", 200),
        with_body("continued", 200),
        from_envoy("switched", None),
        from_envoy("closed", Some(503)),
        from_envoy("silent", Some(504)),
        from_envoy("no HTTP at all", Some(502)),
        from_envoy("cut off", None),
    ]
}

/// The answer of a case, with `url` in all of it.
pub(crate) fn answer(case: &str, url: &str) -> Answer {
    let echoes: String = ECHOING.map(|name| format!("{name}: {url}\r\n")).concat();
    let head = |status: u16| format!("HTTP/1.1 {status} {url}\r\n{echoes}connection: close\r\n");
    let length = |status, body: &str| {
        format!("{}content-length: {}\r\n\r\n{body}", head(status), body.len())
    };
    let chunked = |status, end: &str| {
        let (size, framing) = (url.len(), "transfer-encoding: chunked\r\n\r\n");
        format!("{}{framing}{size:x}\r\n{url}\r\n1\r\n.\r\n0\r\n{end}\r\n", head(status))
    };
    Answer::Bytes(
        match case {
            "200 length" => length(200, url),
            "200 chunked" => chunked(200, ""),
            "200 until closed" => format!("{}\r\n{url}", head(200)),
            "200 trailers" => chunked(200, &format!("x-checksum: {url}\r\n")),
            "200 large" => length(200, &format!("{url} ").repeat(20_000)),
            "200 empty" => length(200, ""),
            "204" => format!("{}\r\n", head(204)),
            "301 length" => length(301, url),
            // Its length is that of an answer that is not sent.
            "304" => format!("{}content-length: 7\r\n\r\n", head(304)),
            "404 chunked" => chunked(404, ""),
            "500 length" => length(500, url),
            "hints" => format!("HTTP/1.1 103 {url}\r\nlink: <{url}>\r\n\r\n{}", length(200, url)),
            "continued" => {
                format!("HTTP/1.1 100 {url}\r\nlink: <{url}>\r\n\r\n{}", length(200, url))
            }
            "switched" => format!("HTTP/1.1 101 {url}\r\n{echoes}upgrade: raw\r\n\r\n{url}"),
            "closed" => return Answer::Close,
            "silent" => return Answer::Silence,
            "no HTTP at all" => url.to_owned(),
            "cut off" => format!("{}content-length: 9000\r\n\r\n{url}", head(200)),
            other => return Answer::json(418, &json!({"no such case": other})),
        }
        .into_bytes(),
    )
}

/// Whether a request was for this stream, with this secret.
pub(crate) fn asked_for(received: &Received, stream: &str, secret: &str) -> bool {
    let path = received.path();
    path.contains(stream) && path.contains(secret)
}

/// Lets a cluster's answers have trailers, which HTTP/1.1 drops by default.
pub(crate) fn keep_trailers(cluster: &mut Value) {
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    cluster["typed_extension_protocol_options"][options] = json!({
        "@type": format!("type.googleapis.com/{options}"),
        "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}},
    });
}

/// Puts a translator between the gate and the upstream: the gate speaks HTTP/2 to it.
pub(crate) fn speak_http2(config: &mut EnvoyConfig, upstream: SocketAddr, translator: SocketAddr) {
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let analytics = config.cluster("analytics").expect("a cluster");
    analytics["typed_extension_protocol_options"][options]["explicit_http_config"] =
        json!({"http2_protocol_options": {}});
    config.add_cluster("origin", upstream).expect("a cluster");
    keep_trailers(config.cluster("origin").expect("a cluster"));
    let http = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "translator",
        "route_config": {
            // With a length known beforehand HTTP/1.1 has no room for trailers.
            "request_headers_to_remove": ["content-length"],
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "origin"}},
            ]}],
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        }}],
    });
    let listener = json!({
        "name": "translator",
        "address": {"socket_address": {
            "address": translator.ip().to_string(), "port_value": translator.port(),
        }},
        "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": http},
        ]}],
    });
    config.set("/static_resources/listeners/-", listener).expect("a list of listeners");
}
