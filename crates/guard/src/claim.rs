//! What a request says of itself, before anything is known to be true.

use std::borrow::Cow;

use mpgate_contract::{Digest, Secret, SecretShape};

use crate::query::{self, Pair};

/// The protocol's paths, exact: Envoy has normalised before the gate sees one.
const COLLECT: &[u8] = b"/mp/collect";
const DEBUG_COLLECT: &[u8] = b"/debug/mp/collect";

/// Headers of this prefix are the gate's own words to the upstream; a client's are removed.
const OWN_HEADERS: &str = "x-mpgate-";

/// The headers of a request, pseudo-headers included, as Envoy hands them over: names in lower case.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Name and value of each, in order.
    pub headers: &'a [(String, Vec<u8>)],
}

/// A request's claim: who it says it is and what it wants to write where.
pub struct Claim<'a> {
    pub(crate) headers: &'a [(String, Vec<u8>)],
    pub(crate) path: Option<&'static [u8]>,
    pub(crate) is_post: bool,
    pub(crate) query: Query<'a>,
}

/// What the query says. If it could not be read, nothing in it counts.
pub(crate) enum Query<'a> {
    Unreadable,
    Read { secret: SecretClaim, streams: Vec<StreamClaim<'a>>, others: Vec<Pair<'a>> },
}

pub(crate) enum SecretClaim {
    Missing,
    Repeated,
    Malformed,
    Presented(Secret, Digest),
}

/// A stream named in the query. An empty name is none.
pub(crate) struct StreamClaim<'a> {
    pub(crate) parameter: &'static str,
    pub(crate) id: Cow<'a, [u8]>,
}

impl<'a> Claim<'a> {
    /// Reads the claim of a request.
    #[must_use]
    pub fn read(request: Request<'a>) -> Self {
        let value = |wanted: &str| {
            request
                .headers
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_slice())
        };
        let target = value(":path").unwrap_or_default();
        let mut halves = target.splitn(2, |byte| *byte == b'?');
        let path = match halves.next().unwrap_or_default() {
            COLLECT => Some(COLLECT),
            DEBUG_COLLECT => Some(DEBUG_COLLECT),
            _ => None,
        };
        // What is not guarded is not read: a gate on a shared listener costs the others nothing.
        let query = if path.is_some() { halves.next().unwrap_or_default() } else { &[] };
        Self {
            headers: request.headers,
            path,
            is_post: value(":method") == Some(b"POST"),
            query: Query::read(query),
        }
    }

    /// The digest to look up in the allowlist, if the claim has a secret worth looking up.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match &self.query {
            Query::Read { secret: SecretClaim::Presented(_, digest), .. } => Some(digest),
            _ => None,
        }
    }

    /// The client's headers that only the gate may set.
    pub(crate) fn own_headers(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.headers
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| starts_with_ignoring_case(name, OWN_HEADERS))
    }

    /// The client's headers that repeat the presented secret (a `referer`, say).
    pub(crate) fn headers_with_the_secret(&self) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        let secret = match &self.query {
            Query::Read { secret: SecretClaim::Presented(secret, _), .. } => secret.expose(),
            _ => &[],
        };
        self.headers
            .iter()
            .filter(move |(name, value)| !name.starts_with(':') && contains(value, secret))
            .map(|(name, _)| name.as_str())
    }
}

impl<'a> Query<'a> {
    fn read(query: &'a [u8]) -> Self {
        let mut secrets = Vec::new();
        let mut streams = Vec::new();
        let mut others = Vec::new();
        for pair in query::pairs(query) {
            let Ok(pair) = pair else {
                return Self::Unreadable;
            };
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
        Self::Read { secret: SecretClaim::of(secrets), streams, others }
    }
}

impl SecretClaim {
    fn of(mut presented: Vec<Cow<'_, [u8]>>) -> Self {
        let Some(secret) = presented.pop() else {
            return Self::Missing;
        };
        if !presented.is_empty() {
            return Self::Repeated;
        }
        if secret.is_empty() {
            return Self::Missing;
        }
        let secret = Secret::new(secret.into_owned());
        if secret.shape() == SecretShape::Malformed {
            return Self::Malformed;
        }
        let digest = secret.digest();
        Self::Presented(secret, digest)
    }
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.as_bytes()
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Whether `wanted`, if it is not empty, stands somewhere in `text`.
pub(crate) fn contains(text: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && text.windows(wanted.len()).any(|window| window == wanted)
}
