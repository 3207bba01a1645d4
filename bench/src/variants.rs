//! What is compared: each row is one way to check a key, or to do nothing, in front of the same upstream.

use crate::load::Protocol;

/// What stands in Envoy's filter chain before the router.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filter {
    Nothing,
    /// Envoy's own, with so many keys.
    ApiKeyAuth(usize),
    LuaPlain,
    LuaSha256,
    ExtAuthzGrpc,
    ExtAuthzHttp,
    /// A module written by hand that has these callbacks and does nothing in them.
    Raw(&'static [Callback]),
    /// A module of the SDK that makes these host calls.
    Sdk(&'static str),
    Gate(Gate),
}

/// Callbacks of the ABI that a module may have, or leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    RequestHeaders,
    RequestBody,
    Response,
    End,
}

/// How mpgate is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    pub(crate) keys: usize,
    pub(crate) mode: &'static str,
    pub(crate) protocol_rules: &'static str,
    /// More of each key's grant, as JSON members.
    pub(crate) grant: &'static str,
    pub(crate) tripwire: bool,
    /// What filter state tells for access logs; `None`: everything, which is the default.
    pub(crate) filter_state: Option<&'static [&'static str]>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A purchase of some 600 bytes.
    Small,
    /// 100 kB of purchases.
    Large,
    /// No body, and a secret that nobody knows.
    Unknown,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) filter: Filter,
    pub(crate) sent: Sent,
    pub(crate) protocol: Protocol,
    pub(crate) workers: u32,
    /// Whether it explains a row of the table rather than being one.
    pub(crate) explains: bool,
}

impl Variant {
    const fn of(name: &'static str, filter: Filter) -> Self {
        let (sent, protocol) = (Sent::Small, Protocol::Http1);
        Self { name, filter, sent, protocol, workers: 1, explains: false }
    }

    /// The row that sends the same through nothing.
    pub(crate) fn bare(&self) -> &'static str {
        match (self.protocol, self.sent) {
            (Protocol::Http2, _) => BARE_HTTP2,
            (Protocol::Http1, Sent::Large) => BARE_LARGE,
            (Protocol::Http1, _) => BARE,
        }
    }

    /// What is sent, how, and to how many workers: a bare proxy under the same load is the same bare proxy.
    pub(crate) const fn load(&self) -> (Protocol, Sent, u32) {
        (self.protocol, self.sent, self.workers)
    }

    const fn sent(self, sent: Sent) -> Self {
        Self { sent, ..self }
    }

    const fn http2(self) -> Self {
        Self { protocol: Protocol::Http2, ..self }
    }

    const fn workers(self, workers: u32) -> Self {
        Self { workers, ..self }
    }

    const fn explaining(name: &'static str, filter: Filter) -> Self {
        Self { explains: true, ..Self::of(name, filter) }
    }
}

const SECRET: Gate = Gate {
    keys: 1_000,
    mode: "enforce",
    protocol_rules: "off",
    grant: "",
    tripwire: false,
    filter_state: None,
};

/// A network and a time: both are asked of the request before its body.
const GRANTS: Gate = Gate {
    grant: r#","source_networks":["127.0.0.0/8"],"not_before":1700000000,"expire_time":4102444800"#,
    ..SECRET
};

const RULES: Gate = Gate { protocol_rules: "dry_run", ..SECRET };

/// The names that targets speak of.
pub(crate) const BARE: &str = "bare proxy, again";
const BARE_LARGE: &str = "bare proxy, 100 kB";
const BARE_HTTP2: &str = "bare proxy, again, HTTP/2";
pub(crate) const SDK: &str = "Wasm, empty, Rust SDK";
pub(crate) const GRPC: &str = "ext_authz, gRPC";
pub(crate) const SKIP_LARGE: &str = "Wasm, SDK, 100 kB of JSON skipped";
pub(crate) const GATE: &str = "mpgate: secret";
pub(crate) const GATE_GRANTS: &str = "mpgate: secret, network and time granted";
pub(crate) const GATE_BODY: &str = "mpgate: body rules, 600 bytes";
pub(crate) const GATE_LARGE: &str = "mpgate: body rules, 100 kB";
pub(crate) const GATE_OFF: &str = "mpgate: off";
pub(crate) const GATE_REFUSES: &str = "mpgate: refusal";
pub(crate) const GATE_MANY: &str = "mpgate: secret, 100 000 keys";

use Callback::{End, RequestBody, RequestHeaders, Response};
use Filter::{ApiKeyAuth, ExtAuthzGrpc, ExtAuthzHttp, LuaPlain, LuaSha256, Nothing, Raw, Sdk};

const EVERY: &[Callback] = &[RequestHeaders, RequestBody, Response, End];

/// All rows, in the order of the table.
pub(crate) const VARIANTS: &[Variant] = &[
    Variant::of(BARE, Nothing),
    Variant::of(BARE_LARGE, Nothing).sent(Sent::Large),
    Variant::of("api_key_auth, 10 keys", ApiKeyAuth(10)),
    Variant::of("api_key_auth, 1 000 keys", ApiKeyAuth(1_000)),
    Variant::of("api_key_auth, 100 000 keys", ApiKeyAuth(100_000)),
    Variant::of("Lua, plain table, 1 000 keys", LuaPlain),
    Variant::of("Lua, SHA-256, 1 000 keys", LuaSha256),
    Variant::of(GRPC, ExtAuthzGrpc),
    Variant::of("ext_authz, HTTP", ExtAuthzHttp),
    Variant::of("Wasm, empty, raw ABI", Raw(EVERY)),
    Variant::of(SDK, Sdk("")),
    Variant::of("Wasm, SDK, 600 bytes of JSON skipped", Sdk("skip")),
    Variant::of(SKIP_LARGE, Sdk("skip")).sent(Sent::Large),
    Variant::of(GATE, Filter::Gate(SECRET)),
    Variant::of(
        "mpgate: secret, nothing for access logs",
        Filter::Gate(Gate { filter_state: Some(&[]), ..SECRET }),
    ),
    Variant::of(
        "mpgate: secret, one value for access logs",
        Filter::Gate(Gate { filter_state: Some(&["decision"]), ..SECRET }),
    ),
    Variant::of(
        "mpgate: secret, with the tripwire",
        Filter::Gate(Gate { tripwire: true, ..SECRET }),
    ),
    Variant::of(GATE_GRANTS, Filter::Gate(GRANTS)),
    Variant::of(GATE_BODY, Filter::Gate(RULES)),
    Variant::of(GATE_LARGE, Filter::Gate(RULES)).sent(Sent::Large),
    Variant::of(GATE_OFF, Filter::Gate(Gate { mode: "off", ..SECRET })),
    Variant::of(GATE_REFUSES, Filter::Gate(SECRET)).sent(Sent::Unknown),
    Variant::of(GATE_MANY, Filter::Gate(Gate { keys: 100_000, ..SECRET })),
    Variant::of("mpgate: secret, 2 workers", Filter::Gate(SECRET)).workers(2),
    Variant::of(BARE_HTTP2, Nothing).http2(),
    Variant::of("api_key_auth, 1 000 keys, HTTP/2", ApiKeyAuth(1_000)).http2(),
    Variant::of("ext_authz, gRPC, HTTP/2", ExtAuthzGrpc).http2(),
    Variant::of("Wasm, empty, Rust SDK, HTTP/2", Sdk("")).http2(),
    Variant::of("mpgate: secret, HTTP/2", Filter::Gate(SECRET)).http2(),
    Variant::of("mpgate: body rules, 600 bytes, HTTP/2", Filter::Gate(RULES)).http2(),
    // What a row costs, taken apart.
    Variant::explaining("raw: a context, no callback", Raw(&[])),
    Variant::explaining("raw: request headers", Raw(&[RequestHeaders])),
    Variant::explaining("raw: request headers and body", Raw(&[RequestHeaders, RequestBody])),
    Variant::explaining("raw: request and response", Raw(&[RequestHeaders, RequestBody, Response])),
    Variant::explaining("raw: request headers, end", Raw(&[RequestHeaders, End])),
    Variant::explaining("SDK: 10 x all headers", Sdk(TEN_HEADERS)),
    Variant::explaining(
        "SDK: 10 x :path",
        Sdk("path path path path path path path path path path"),
    ),
    Variant::explaining("SDK: 10 x absent header", Sdk(TEN_ABSENT)),
    Variant::explaining("SDK: 10 x shared data of 800 bytes", Sdk(TEN_SHARED)),
    Variant::explaining("SDK: 10 x filter state", Sdk(TEN_STATE)),
    Variant::explaining("SDK: 7 x filter state, other names", Sdk("states")),
    Variant::explaining("SDK: 10 x counter", Sdk(TEN_COUNTER)),
    Variant::explaining(
        "SDK: 10 x clock",
        Sdk("clock clock clock clock clock clock clock clock clock clock"),
    ),
    Variant::explaining("SDK: 10 x attribute", Sdk(TEN_PROPERTY)),
    Variant::explaining("SDK: 10 x set :path", Sdk("set set set set set set set set set set")),
    Variant::explaining("SDK: 10 x remove a header", Sdk(TEN_REMOVE)),
];

const TEN_HEADERS: &str =
    "headers headers headers headers headers headers headers headers headers headers";
const TEN_ABSENT: &str = "absent absent absent absent absent absent absent absent absent absent";
const TEN_SHARED: &str = "shared shared shared shared shared shared shared shared shared shared";
const TEN_STATE: &str = "state state state state state state state state state state";
const TEN_COUNTER: &str =
    "counter counter counter counter counter counter counter counter counter counter";
const TEN_PROPERTY: &str =
    "property property property property property property property property property property";
const TEN_REMOVE: &str = "remove remove remove remove remove remove remove remove remove remove";
