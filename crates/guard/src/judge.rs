//! From a claim and what is known to a verdict. What is done about it is decided elsewhere.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::rc::Rc;

use mpgate_contract::{Grant, State};

use crate::claim::{Claim, Query, SecretClaim, StreamsNamed};
use crate::policy::{CompiledStream, Policy, Upstream};
use crate::{Availability, Corrupt, Reason, Record, Settings, supports};

/// What the gate knows at the moment of a decision.
pub struct Standing<'a> {
    /// Whether there is a list to judge by.
    pub list: Availability,
    /// The streams.
    pub policy: &'a Policy,
    /// What the allowlist has for [`Claim::digest`].
    pub known: Result<Option<Known>, Corrupt>,
    /// Where the request comes from and whose certificate it came with, each asked for only where
    /// [`Known::asks_for_source`] or [`Known::asks_for_certificate`] says so.
    pub peer: Peer,
    /// Unix time.
    pub now: Duration,
}

/// A key that the allowlist has, in force or not.
pub struct Known {
    pub(crate) state: State,
    pub(crate) grant: Rc<Grant>,
}

/// The other end of the connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address.
    pub source: Option<IpAddr>,
    /// Subject alternative names of its certificate.
    pub certificate_names: Vec<Vec<u8>>,
}

/// The whole truth about a claim, as far as its head tells.
pub(crate) enum Verdict<'p> {
    Genuine(Permit<'p>),
    Not(Reason, Option<&'p Grant>),
}

/// Leave to write a stream: to forward as genuine needs one, and only [`judge`] makes one.
#[derive(Clone, Copy)]
pub(crate) struct Permit<'p> {
    pub(crate) grant: &'p Grant,
    pub(crate) stream: &'p CompiledStream,
}

impl Standing<'_> {
    /// The key that was presented, if the list has it, in force or not.
    pub(crate) fn presented(&self) -> Option<&Known> {
        self.known.as_ref().ok()?.as_ref()
    }
}

impl Known {
    /// Reads a record of the list.
    ///
    /// # Errors
    /// [`Corrupt`] if its grant cannot be read.
    pub fn read(record: &Record<'_>) -> Result<Self, Corrupt> {
        let grant = serde_json::from_slice(record.body).map_err(|_| Corrupt)?;
        Ok(Self::of(record.state, Rc::new(grant)))
    }

    pub(crate) const fn of(state: State, grant: Rc<Grant>) -> Self {
        Self { state, grant }
    }

    /// Whether its grant depends on the address that the request comes from.
    #[must_use]
    pub fn asks_for_source(&self) -> bool {
        !self.grant.source_networks.is_empty()
    }

    /// Whether its grant depends on the certificate that the request comes with.
    #[must_use]
    pub fn asks_for_certificate(&self) -> bool {
        !self.grant.certificate_names.is_empty()
    }
}

impl Peer {
    /// Reads an address as Envoy's `source.address` has it: `203.0.113.7:4711`, `[2001:db8::7]:4711`.
    #[must_use]
    pub fn address(text: &[u8]) -> Option<IpAddr> {
        let text = core::str::from_utf8(text).ok()?;
        text.parse().map(|peer: SocketAddr| peer.ip()).ok()
    }
}

pub(crate) fn judge<'p>(
    claim: &Claim<'_>,
    standing: &'p Standing<'p>,
    stream: Option<&'p CompiledStream>,
    settings: &Settings,
) -> Verdict<'p> {
    let Standing { list, known, peer, now, .. } = standing;
    let known = match presented_key(claim, *list, known) {
        Ok(known) => known,
        Err(reason) => return Verdict::Not(reason, None),
    };
    let grant = &known.grant;
    let checked = check_in_force(known, *now)
        .and_then(|()| check_exposure(claim))
        .and_then(|()| check_peer(grant, peer))
        .and_then(|()| check_stream(grant, stream, settings));
    match checked {
        Ok(stream) => Verdict::Genuine(Permit { grant, stream }),
        Err(reason) => Verdict::Not(reason, Some(grant)),
    }
}

/// Whether the presented key is in force and granted the stream. Where nothing is refused, nothing else is
/// asked before its holder's event is sent on.
pub(crate) fn may_write(
    standing: &Standing<'_>,
    stream: &CompiledStream,
    settings: &Settings,
) -> bool {
    standing.presented().is_some_and(|known| {
        check_in_force(known, standing.now).is_ok()
            && check_stream(&known.grant, Some(stream), settings).is_ok()
    })
}

/// The key that was presented, or why there is none.
fn presented_key<'p>(
    claim: &Claim<'_>,
    list: Availability,
    known: &'p Result<Option<Known>, Corrupt>,
) -> Result<&'p Known, Reason> {
    if !claim.is_post {
        return Err(Reason::MethodNotAllowed);
    }
    match list {
        Availability::None => return Err(Reason::NoList),
        Availability::TooOld => return Err(Reason::ListStale),
        Availability::InForce => {}
    }
    let Query::Read { streams, .. } = &claim.query else {
        return Err(Reason::BadQuery);
    };
    match claim.secret {
        SecretClaim::Missing => return Err(Reason::MissingSecret),
        SecretClaim::Repeated => return Err(Reason::RepeatedSecret),
        SecretClaim::Conflicting => return Err(Reason::ConflictingSecrets),
        SecretClaim::Malformed => return Err(Reason::MalformedSecret),
        SecretClaim::Presented(..) => {}
    }
    match streams {
        StreamsNamed::None => return Err(Reason::StreamMissing),
        StreamsNamed::One(_) => {}
        StreamsNamed::Several { .. } => return Err(Reason::StreamRepeated),
    }
    match known {
        Ok(Some(known)) => Ok(known),
        Ok(None) => Err(Reason::UnknownSecret),
        Err(Corrupt) => Err(Reason::ListUnreadable),
    }
}

/// Whether the key is in force now.
fn check_in_force(known: &Known, now: Duration) -> Result<(), Reason> {
    let (grant, now) = (&known.grant, now.as_secs());
    match known.state {
        State::Active => {}
        State::Revoked => return Err(Reason::Revoked),
        State::Expired => return Err(Reason::Expired),
    }
    if !supports(&grant.requires) {
        return Err(Reason::UnsupportedGrant);
    }
    if grant.expire_time.is_some_and(|end| now >= end) {
        return Err(Reason::Expired);
    }
    if grant.not_before.is_some_and(|start| now < start) {
        return Err(Reason::NotYetValid);
    }
    Ok(())
}

/// Whether the secret is still one.
fn check_exposure(claim: &Claim<'_>) -> Result<(), Reason> {
    if claim.request.is_from_a_browser() { Err(Reason::Exposed) } else { Ok(()) }
}

/// Whether the key may be used from there.
fn check_peer(grant: &Grant, peer: &Peer) -> Result<(), Reason> {
    let networks = &grant.source_networks;
    let inside = |source: IpAddr| networks.iter().any(|network| network.contains(source));
    if !networks.is_empty() && !peer.source.is_some_and(inside) {
        return Err(Reason::SourceNotGranted);
    }
    let names = &grant.certificate_names;
    let granted = |name: &Vec<u8>| names.iter().any(|granted| granted.as_str().as_bytes() == name);
    if !names.is_empty() && !peer.certificate_names.iter().any(granted) {
        return Err(Reason::CertificateNotGranted);
    }
    Ok(())
}

/// The stream, if the key may write it and this gate can serve it.
fn check_stream<'p>(
    grant: &Grant,
    stream: Option<&'p CompiledStream>,
    settings: &Settings,
) -> Result<&'p CompiledStream, Reason> {
    let stream = stream
        .filter(|stream| grant.streams.iter().any(|granted| granted.as_str() == stream.id))
        .ok_or(Reason::StreamNotGranted)?;
    if settings.environment.is_some_and(|served| served != stream.environment) {
        return Err(Reason::WrongEnvironment);
    }
    if !stream.supported {
        return Err(Reason::UnsupportedStream);
    }
    match stream.upstream {
        Upstream::Replace(None) => Err(Reason::UpstreamSecretMissing),
        _ => Ok(stream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_networks_and_certificates_ask_for_the_peer() {
        let grant = |restriction: &str| {
            let text = format!(
                r#"{{"key_id":"000000000001","sender":"a","streams":["G-A"]{restriction}}}"#
            );
            Known::of(State::Active, serde_json::from_str(&text).map(Rc::new).expect("a grant"))
        };
        for (restriction, asks) in [
            ("", (false, false)),
            (r#","events":["purchase"]"#, (false, false)),
            (r#","source_networks":["::/0"]"#, (true, false)),
            (r#","certificate_names":["a"]"#, (false, true)),
            (r#","source_networks":["::/0"],"certificate_names":["a"]"#, (true, true)),
        ] {
            let known = grant(restriction);
            let asked = (known.asks_for_source(), known.asks_for_certificate());
            assert_eq!(asked, asks, "{restriction}");
        }
    }

    #[test]
    fn addresses_as_envoy_writes_them() {
        for (text, address) in [
            ("203.0.113.7:4711", Some("203.0.113.7")),
            ("[2001:db8::7]:4711", Some("2001:db8::7")),
            ("[::ffff:203.0.113.7]:1", Some("::ffff:203.0.113.7")),
            ("203.0.113.7", None),
            ("/var/run/x.sock", None),
            ("", None),
        ] {
            let expected = address.map(|text| text.parse().expect(text));
            assert_eq!(Peer::address(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(Peer::address(b"\xff"), None);
    }
}
