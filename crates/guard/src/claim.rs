//! What a request says of itself, before anything is known to be true.

use core::cell::OnceCell;
use std::borrow::Cow;

use mpgate_contract::{Digest, Secret};

use crate::Settings;
use crate::query::{self, Pair, Unreadable, decode_liberally};
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
    pub(crate) secret: SecretClaim<'a>,
    /// Headers that carried a secret where the gate looks for one.
    secret_headers: [Option<&'static str>; 2],
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
    Read {
        streams: StreamsNamed<'a>,
        /// The query itself: what is read of it seldom is read again, not kept.
        text: &'a [u8],
    },
}

/// The streams that a query names.
pub(crate) enum StreamsNamed<'a> {
    None,
    One(StreamClaim<'a>),
    Several { has_app: bool },
}

/// A parameter, by what it is to the gate.
pub(crate) enum Part<'a> {
    Secret(Cow<'a, [u8]>),
    Stream(StreamClaim<'a>),
    Other(Pair<'a>),
}

/// The secret that was presented.
pub(crate) enum SecretClaim<'a> {
    Missing,
    /// Twice in one place.
    Repeated,
    /// Another one in another place.
    Conflicting,
    Malformed,
    /// Its digest is made when somebody asks for it.
    Presented(Secret<'a>, OnceCell<Digest>),
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
            secret_headers: [None; 2],
        };
        // What is not guarded is not read: a gate on a shared listener costs the others nothing.
        if endpoint.is_some() {
            claim.read_credentials(halves.next().unwrap_or_default(), settings);
        }
        claim
    }

    fn read_credentials(&mut self, query: &'a [u8], settings: &Settings) {
        let mut places = [const { Place::EMPTY }; 3];
        let [in_query, in_own_header, in_authorization] = &mut places;
        let (secrets, query) = Query::read(query).unwrap_or((Place::EMPTY, Query::Unreadable));
        self.query = query;
        if settings.credentials.query {
            *in_query = secrets;
        }
        if settings.credentials.x_api_secret {
            self.request.named("x-api-secret").for_each(|secret| in_own_header.add(secret.into()));
        }
        if settings.credentials.authorization {
            let tokens = self.request.named("authorization").filter_map(bearer_token);
            tokens.for_each(|token| in_authorization.add(token.into()));
        }
        self.secret_headers = [
            in_own_header.last.is_some().then_some("x-api-secret"),
            in_authorization.last.is_some().then_some("authorization"),
        ];
        self.secret = SecretClaim::of(places);
    }

    /// The path as it came, without the query.
    #[must_use]
    pub const fn path(&self) -> &'a [u8] {
        self.path
    }

    /// The same, the digest of its secret known from an earlier reading of the same request.
    #[must_use]
    pub fn with_digest(self, known: Option<Digest>) -> Self {
        if let (SecretClaim::Presented(_, digest), Some(known)) = (&self.secret, known) {
            // What is there already is the same.
            let _is_there = digest.set(known);
        }
        self
    }

    /// The digest to look up in the allowlist, if the claim has a secret worth looking up.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match &self.secret {
            SecretClaim::Presented(secret, digest) => Some(digest.get_or_init(|| secret.digest())),
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
        self.secret_headers.iter().flatten().copied()
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
    fn read(text: &'a [u8]) -> Option<(Place<'a>, Self)> {
        let mut secrets = Place::EMPTY;
        let mut streams = StreamsNamed::None;
        for part in Part::all(text) {
            match part.ok()? {
                Part::Secret(secret) => secrets.add(secret),
                Part::Stream(stream) => streams.add(stream),
                Part::Other(_) => {}
            }
        }
        // One parameter without a value names no stream; beside another it is one too many.
        if matches!(&streams, StreamsNamed::One(only) if only.id.is_empty()) {
            streams = StreamsNamed::None;
        }
        Some((secrets, Self::Read { streams, text }))
    }

    /// The stream, if it names one and no other.
    pub(crate) const fn only_stream(&self) -> Option<&StreamClaim<'a>> {
        match self {
            Self::Read { streams: StreamsNamed::One(only), .. } => Some(only),
            _ => None,
        }
    }
}

impl<'a> StreamsNamed<'a> {
    fn add(&mut self, stream: StreamClaim<'a>) {
        let has_app = self.has_app() || stream.is_app();
        *self = match self {
            Self::None => Self::One(stream),
            Self::One(_) | Self::Several { .. } => Self::Several { has_app },
        };
    }

    /// Whether one of them is an app's.
    pub(crate) fn has_app(&self) -> bool {
        match self {
            Self::None => false,
            Self::One(only) => only.is_app(),
            Self::Several { has_app } => *has_app,
        }
    }
}

impl StreamClaim<'_> {
    fn is_app(&self) -> bool {
        self.parameter == "firebase_app_id"
    }
}

impl<'a> Part<'a> {
    /// The parameters of a query, in order.
    pub(crate) fn all(text: &'a [u8]) -> impl Iterator<Item = Result<Self, Unreadable>> {
        query::pairs(text).map(|pair| pair.map(Self::of))
    }

    fn of(pair: Pair<'a>) -> Self {
        let parameter = match pair.name.as_ref() {
            b"api_secret" => return Self::Secret(pair.value),
            b"measurement_id" => "measurement_id",
            b"firebase_app_id" => "firebase_app_id",
            _ => return Self::Other(pair),
        };
        Self::Stream(StreamClaim { parameter, id: pair.value })
    }
}

/// One of the places where a secret may be.
struct Place<'a> {
    last: Option<Cow<'a, [u8]>>,
    is_repeated: bool,
}

impl<'a> Place<'a> {
    const EMPTY: Self = Self { last: None, is_repeated: false };

    fn add(&mut self, secret: Cow<'a, [u8]>) {
        self.is_repeated |= self.last.replace(secret).is_some();
    }
}

impl<'a> SecretClaim<'a> {
    /// Judges what was presented in each place. The same secret in two places is one secret.
    fn of(places: [Place<'a>; 3]) -> Self {
        let mut secret = Cow::Borrowed(&[][..]);
        for place in places {
            let Some(presented) = place.last else {
                continue;
            };
            if place.is_repeated {
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
        let secret = Secret::new(secret);
        if secret.is_malformed() {
            return Self::Malformed;
        }
        Self::Presented(secret, OnceCell::new())
    }
}

/// Whether only the gate may set a header, or a trailer, of this name. Many upstreams read an underscore as
/// a hyphen, and some whatever is no letter and no digit: CGI has one name for all of them.
#[must_use]
pub fn is_own_header(name: &str) -> bool {
    let is_read_as = |(byte, wanted): (u8, u8)| {
        byte.eq_ignore_ascii_case(&wanted) || (!byte.is_ascii_alphanumeric() && wanted == b'-')
    };
    name.len() >= OWN_HEADERS.len() && name.bytes().zip(OWN_HEADERS.bytes()).all(is_read_as)
}

/// Whether a lax reader takes a parameter's name for one of the protocol's: PHP reads ` measurement.id[]` as
/// `measurement_id`.
pub(crate) fn is_lax_name(name: &[u8]) -> bool {
    let name = name.trim_ascii_start();
    let is_read_as = |(byte, wanted): (&u8, &u8)| {
        byte.eq_ignore_ascii_case(wanted) || (!byte.is_ascii_alphanumeric() && *wanted == b'_')
    };
    ["api_secret", "measurement_id", "firebase_app_id"].iter().any(|own| {
        let rest = name.get(own.len()..);
        let ends = rest.is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_alphanumeric));
        ends && name.iter().zip(own.as_bytes()).all(is_read_as)
    })
}

/// The token of `authorization: Bearer …` (RFC 6750 2.1); the scheme in any case.
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whether `wanted`, if it is not empty, stands somewhere in `text`.
pub(crate) fn contains(text: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else {
        return false;
    };
    // Most places are ruled out by their first byte, without a call.
    text.windows(wanted.len()).any(|window| window.first() == Some(first) && window == wanted)
}
