//! What a request says of itself, before anything is known to be true.

use std::borrow::Cow;

use mpgate_contract::{Digest, Secret};

use crate::Settings;
use crate::query::{self, Pair, decode_liberally};
use crate::trace::trace_id;

/// The protocol's paths, exact: Envoy has normalised before the gate sees one.
const COLLECT: &[u8] = b"/mp/collect";
const DEBUG_COLLECT: &[u8] = b"/debug/mp/collect";

/// Headers of this prefix are the gate's own words to the upstream; a client's are removed.
const OWN_HEADERS: &str = "x-mpgate-";

/// What a browser sends and a backend does not. Not `sec-fetch-mode`: Node's own `fetch` sends it.
const BROWSER_HEADERS: [&str; 2] = ["origin", "sec-fetch-site"];

/// The headers of a request, pseudo-headers included, as Envoy hands them over: names in lower case.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Name and value of each, in order.
    pub headers: &'a [(String, Vec<u8>)],
}

/// A request's claim: who it says it is and what it wants to write where.
pub struct Claim<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) endpoint: Option<Endpoint>,
    path: &'a [u8],
    pub(crate) is_post: bool,
    pub(crate) query: Query<'a>,
    pub(crate) secret: SecretClaim,
    /// Headers that carried a secret where the gate looks for one.
    secret_headers: Vec<&'a str>,
}

/// The protocol's two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Collect,
    DebugCollect,
}

/// What the query says. If it could not be read, nothing in it counts.
pub(crate) enum Query<'a> {
    Unreadable,
    Read { streams: Vec<StreamClaim<'a>>, others: Vec<Pair<'a>> },
}

/// The secret that was presented.
pub(crate) enum SecretClaim {
    Missing,
    /// Twice in one place.
    Repeated,
    /// Another one in another place.
    Conflicting,
    Malformed,
    Presented(Secret, Digest),
}

/// A stream named in the query. An empty name is none.
pub(crate) struct StreamClaim<'a> {
    pub(crate) parameter: &'static str,
    pub(crate) id: Cow<'a, [u8]>,
}

impl<'a> Request<'a> {
    pub(crate) fn header(self, wanted: &str) -> Option<&'a [u8]> {
        self.named(wanted).next()
    }

    fn named(self, wanted: &str) -> impl Iterator<Item = &'a [u8]> {
        let same = move |name: &str| name.eq_ignore_ascii_case(wanted);
        self.headers.iter().filter(move |(name, _)| same(name)).map(|(_, value)| value.as_slice())
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(self) -> &'a [u8] {
        let target = self.header(":path").unwrap_or_default();
        target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    /// Whether it asks for something and changes nothing.
    pub(crate) fn only_reads(self) -> bool {
        matches!(self.header(":method"), Some(b"GET" | b"HEAD"))
    }

    /// Whether its body is not what it seems (RFC 9110 8.4).
    pub(crate) fn is_encoded(self) -> bool {
        self.named("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
    }

    pub(crate) fn is_from_a_browser(self) -> bool {
        BROWSER_HEADERS.iter().any(|name| self.header(name).is_some())
    }
}

impl Endpoint {
    pub(crate) const fn path(self) -> &'static [u8] {
        match self {
            Self::Collect => COLLECT,
            Self::DebugCollect => DEBUG_COLLECT,
        }
    }

    fn of(path: &[u8]) -> Option<Self> {
        [Self::Collect, Self::DebugCollect].into_iter().find(|endpoint| endpoint.path() == path)
    }
}

impl<'a> Claim<'a> {
    /// Reads the claim of a request.
    #[must_use]
    pub fn read(request: Request<'a>, settings: &Settings) -> Self {
        let mut halves =
            request.header(":path").unwrap_or_default().splitn(2, |byte| *byte == b'?');
        let path = halves.next().unwrap_or_default();
        let endpoint = Endpoint::of(path);
        let mut claim = Self {
            request,
            endpoint,
            path,
            is_post: request.header(":method") == Some(b"POST"),
            query: Query::Unreadable,
            secret: SecretClaim::Missing,
            secret_headers: Vec::new(),
        };
        // What is not guarded is not read: a gate on a shared listener costs the others nothing.
        if endpoint.is_some() {
            claim.read_credentials(halves.next().unwrap_or_default(), settings);
        }
        claim
    }

    fn read_credentials(&mut self, query: &'a [u8], settings: &Settings) {
        let mut places = Vec::new();
        self.query = match Query::read(query) {
            None => Query::Unreadable,
            Some((secrets, query)) => {
                if settings.credentials.query {
                    places.push(secrets);
                }
                query
            }
        };
        let request = self.request;
        let mut look_in = |name: &'static str, secrets: Vec<Cow<'a, [u8]>>| {
            if !secrets.is_empty() {
                self.secret_headers.push(name);
                places.push(secrets);
            }
        };
        if settings.credentials.x_api_secret {
            look_in("x-api-secret", request.named("x-api-secret").map(Cow::Borrowed).collect());
        }
        if settings.credentials.authorization {
            let tokens = request.named("authorization").filter_map(bearer_token);
            look_in("authorization", tokens.map(Cow::Borrowed).collect());
        }
        self.secret = SecretClaim::of(places);
    }

    /// The path as it came, without the query.
    #[must_use]
    pub const fn path(&self) -> &'a [u8] {
        self.path
    }

    /// The digest to look up in the allowlist, if the claim has a secret worth looking up.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match &self.secret {
            SecretClaim::Presented(_, digest) => Some(digest),
            _ => None,
        }
    }

    /// The trace that the request says it is part of: 32 hexadecimal digits, and not the secret.
    #[must_use]
    pub fn trace_id(&self) -> Option<&'a str> {
        self.endpoint?;
        let mut named = self.request.named("traceparent");
        let (first, second) = (named.next()?, named.next());
        let id = trace_id(first).filter(|_| second.is_none())?;
        let is_secret = matches!(&self.secret, SecretClaim::Presented(secret, _)
            if contains(secret.expose(), id.as_bytes()) || contains(id.as_bytes(), secret.expose()));
        (!is_secret).then_some(id)
    }

    /// The client's headers that only the gate may set.
    pub(crate) fn own_headers(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.request
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| is_own_header(name))
    }

    /// The client's headers that carry the presented secret to the gate.
    pub(crate) fn secret_headers(&self) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        self.secret_headers.iter().copied()
    }

    /// The client's headers that repeat the presented secret (a `referer`, say).
    pub(crate) fn headers_with_the_secret(&self) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        let secret = match &self.secret {
            SecretClaim::Presented(secret, _) => secret.expose(),
            _ => &[],
        };
        self.request
            .headers
            .iter()
            .filter(move |(name, value)| {
                let encoded =
                    || value.contains(&b'%') && contains(&decode_liberally(value), secret);
                !name.starts_with(':') && (contains(value, secret) || encoded())
            })
            .map(|(name, _)| name.as_str())
    }
}

impl<'a> Query<'a> {
    /// The secrets in a query, and the rest of it.
    fn read(query: &'a [u8]) -> Option<(Vec<Cow<'a, [u8]>>, Self)> {
        let mut secrets = Vec::new();
        let mut streams = Vec::new();
        let mut others = Vec::new();
        for pair in query::pairs(query) {
            let pair = pair.ok()?;
            let parameter = match pair.name.as_ref() {
                b"api_secret" => {
                    secrets.push(pair.value);
                    continue;
                }
                b"measurement_id" => "measurement_id",
                b"firebase_app_id" => "firebase_app_id",
                _ => {
                    others.push(pair);
                    continue;
                }
            };
            streams.push(StreamClaim { parameter, id: pair.value });
        }
        // One parameter without a value names no stream; beside another it is one too many.
        if matches!(streams.as_slice(), [only] if only.id.is_empty()) {
            streams.clear();
        }
        Some((secrets, Self::Read { streams, others }))
    }
}

impl SecretClaim {
    /// Judges what was presented in each place. The same secret in two places is one secret.
    fn of(places: Vec<Vec<Cow<'_, [u8]>>>) -> Self {
        let mut secret = Cow::Borrowed(&[][..]);
        for mut place in places {
            let Some(presented) = place.pop() else {
                continue;
            };
            if !place.is_empty() {
                return Self::Repeated;
            }
            if !secret.is_empty() && secret != presented {
                return Self::Conflicting;
            }
            secret = presented;
        }
        if secret.is_empty() {
            return Self::Missing;
        }
        let secret = Secret::new(secret.into_owned());
        if secret.is_malformed() {
            return Self::Malformed;
        }
        let digest = secret.digest();
        Self::Presented(secret, digest)
    }
}

/// Whether only the gate may set a header, or a trailer, of this name. Many upstreams read an underscore as
/// a hyphen.
#[must_use]
pub fn is_own_header(name: &str) -> bool {
    let is_read_as = |(byte, wanted): (u8, u8)| {
        byte.eq_ignore_ascii_case(&wanted) || (byte == b'_' && wanted == b'-')
    };
    name.len() >= OWN_HEADERS.len() && name.bytes().zip(OWN_HEADERS.bytes()).all(is_read_as)
}

/// The token of `authorization: Bearer …` (RFC 6750 2.1); the scheme in any case.
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whether `wanted`, if it is not empty, stands somewhere in `text`.
pub(crate) fn contains(text: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && text.windows(wanted.len()).any(|window| window == wanted)
}
