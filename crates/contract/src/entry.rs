//! What an allowlist says of one key and of one stream.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    CertificateName, ConsumerId, EnvName, EventPattern, KeyId, NameError, Network, SenderName,
    StreamId, limits,
};

/// What is done about a verdict. The order is one of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Forward everything as it came, byte for byte, without judging.
    Off,
    /// Judge and count, forward all the same, but for a body that is too large to be judged.
    DryRun,
    /// Judge, count, and refuse what is not genuine.
    Enforce,
}

/// Where a stream's events belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Revenue depends on it.
    Production,
    /// Rehearsal.
    Staging,
    /// A developer's own.
    Development,
}

/// Which secret a stream's upstream is sent. There is no default: GA4 answers 204 to a request
/// without its secret and drops it, so a guess would lose events in silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamSecret {
    /// The one that the gate's environment variable of this name holds.
    Replace(EnvName),
    /// The one the sender brought: GA4's own secrets, adopted.
    Keep,
    /// None: a collector of one's own that asks for none.
    None,
}

/// The life of an entry. What is not active is a tombstone: it stays, so that a revoked key is told
/// from one that never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// In force.
    Active,
    /// Taken back by its owner; a deleted stream too.
    Revoked,
    /// Past its end.
    Expired,
}

/// What the holder of a key may do.
///
/// A reader ignores members it does not know. What must not be ignored is named in `requires`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The key, for logs and for the audit trail; not a secret.
    pub key_id: KeyId,
    /// Who sends with this key.
    pub sender: SenderName,
    /// The streams it may write; never empty.
    pub streams: Vec<StreamId>,
    /// First second at which the key is valid, Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// First second at which the key is valid no more, Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<u64>,
    /// Events it may send; empty: all. Needs the capability [`EVENTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventPattern>,
    /// Networks it may send from; empty: any. Needs [`SOURCE_NETWORKS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_networks: Vec<Network>,
    /// Names one of which must be the first URI or the first DNS name of the client's certificate, which is what
    /// Envoy shows of it; empty: no certificate is asked for.
    /// Needs [`CERTIFICATE_NAMES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_names: Vec<CertificateName>,
    /// Capabilities a gateway must have to honour this grant. One that lacks any refuses the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

/// The capability to restrict a key to event names.
pub const EVENTS: &str = "events";
/// The capability to restrict a key to source networks.
pub const SOURCE_NETWORKS: &str = "source_networks";
/// The capability to restrict a key to client certificates.
pub const CERTIFICATE_NAMES: &str = "certificate_names";

/// What the gate needs to know of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The `measurement_id` or `firebase_app_id`.
    pub id: StreamId,
    /// Who owns it.
    pub consumer: ConsumerId,
    /// Where its events belong.
    pub environment: Environment,
    /// Its own mode; without one the gate's default holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The mode of the protocol's own rules for this stream; without one the gate's holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_rules: Option<Mode>,
    /// Whether a refusal looks like GA4's answer to anything; without a word the gate's holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<bool>,
    /// Which secret the upstream is sent.
    pub upstream_secret: UpstreamSecret,
    /// Capabilities a gateway must have to serve this stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

impl Grant {
    /// Whether the grant keeps its limits. Both sides ask: control before it stores, the gate before
    /// it believes.
    #[must_use]
    pub fn within_limits(&self) -> bool {
        !self.streams.is_empty()
            && self.streams.len() <= limits::STREAMS_PER_GRANT_MAX
            && self.events.len() <= limits::EVENTS_PER_GRANT_MAX
            && self.source_networks.len() <= limits::NETWORKS_PER_GRANT_MAX
            && self.certificate_names.len() <= limits::CERTIFICATE_NAMES_PER_GRANT_MAX
            && self.requires.len() <= limits::REQUIRES_MAX
    }

    /// The capabilities a gateway needs for what this grant restricts: what control writes into
    /// `requires`.
    #[must_use]
    pub fn needs(&self) -> Vec<String> {
        let restrictions = [
            (EVENTS, self.events.is_empty()),
            (SOURCE_NETWORKS, self.source_networks.is_empty()),
            (CERTIFICATE_NAMES, self.certificate_names.is_empty()),
        ];
        let needed = restrictions.iter().filter(|(_, unrestricted)| !unrestricted);
        needed.map(|(capability, _)| (*capability).to_owned()).collect()
    }
}

impl Mode {
    /// The word for it: in configuration, on the wire, in logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::DryRun => "dry_run",
            Self::Enforce => "enforce",
        }
    }
}

impl Environment {
    /// The word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Development => "development",
        }
    }
}

impl fmt::Display for UpstreamSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replace(name) => write!(out, "replace({name})"),
            Self::Keep => out.write_str("keep"),
            Self::None => out.write_str("none"),
        }
    }
}

/// A text that is no upstream secret policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamSecretError {
    /// None of the three words.
    UnknownPolicy,
    /// `replace(…)` around something that is no environment variable.
    BadName(NameError),
}

impl fmt::Display for UpstreamSecretError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPolicy => {
                out.write_str("an upstream secret policy is 'replace(NAME)', 'keep' or 'none'")
            }
            Self::BadName(error) => error.fmt(out),
        }
    }
}

impl core::error::Error for UpstreamSecretError {}

impl FromStr for UpstreamSecret {
    type Err = UpstreamSecretError;

    /// Reads what [`fmt::Display`] writes: `replace(NAME)`, `keep` or `none`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keep" => Ok(Self::Keep),
            "none" => Ok(Self::None),
            _ => {
                let name = text
                    .strip_prefix("replace(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .ok_or(UpstreamSecretError::UnknownPolicy)?;
                EnvName::parse(name).map(Self::Replace).map_err(UpstreamSecretError::BadName)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_ordered_by_strictness() {
        assert!(Mode::Off < Mode::DryRun && Mode::DryRun < Mode::Enforce);
    }

    #[test]
    fn the_wire_words_are_the_labels() {
        for mode in [Mode::Off, Mode::DryRun, Mode::Enforce] {
            assert_eq!(serde_json::to_value(mode).ok(), Some(mode.label().into()));
        }
        for place in [Environment::Production, Environment::Staging, Environment::Development] {
            assert_eq!(serde_json::to_value(place).ok(), Some(place.label().into()));
        }
    }

    #[test]
    fn upstream_secret_policies_in_both_spellings() {
        for (text, json) in [
            ("keep", r#""keep""#),
            ("none", r#""none""#),
            ("replace(GA4_SECRET)", r#"{"replace":"GA4_SECRET"}"#),
        ] {
            let policy: UpstreamSecret = text.parse().expect(text);
            assert_eq!(policy.to_string(), text);
            assert_eq!(serde_json::to_string(&policy).expect(text), json);
            assert_eq!(serde_json::from_str::<UpstreamSecret>(json).expect(json), policy);
        }
        for (bad, said) in [
            ("", "'replace(NAME)', 'keep' or 'none'"),
            ("replace", "'keep'"),
            ("replace()", "upper-case letters"),
            ("replace(a)", "upper-case letters"),
            ("replace(A", "'keep'"),
            ("Keep", "'keep'"),
        ] {
            let error = bad.parse::<UpstreamSecret>().expect_err(bad).to_string();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }

    #[test]
    fn a_grant_keeps_its_limits() {
        let mut grant = Grant {
            key_id: KeyId::parse("000000000000").expect("a key id"),
            sender: SenderName::parse("billing").expect("a sender"),
            streams: vec![StreamId::parse("G-A").expect("a stream")],
            not_before: None,
            expire_time: None,
            events: vec![],
            source_networks: vec![],
            certificate_names: vec![],
            requires: vec![],
        };
        assert!(grant.within_limits());
        assert!(grant.needs().is_empty());
        grant.events =
            vec![EventPattern::parse("a").expect("a pattern"); limits::EVENTS_PER_GRANT_MAX];
        let network = Network::parse("::/0").expect("a network");
        grant.source_networks = vec![network; limits::NETWORKS_PER_GRANT_MAX];
        let name = CertificateName::parse("a").expect("a name");
        grant.certificate_names = vec![name.clone(); limits::CERTIFICATE_NAMES_PER_GRANT_MAX];
        assert!(grant.within_limits());
        assert_eq!(grant.needs(), [EVENTS, SOURCE_NETWORKS, CERTIFICATE_NAMES]);
        grant.certificate_names.push(name);
        assert!(!grant.within_limits());
        grant.certificate_names.clear();
        grant.source_networks.push(network);
        assert!(!grant.within_limits());
        grant.source_networks.clear();
        grant.events.push(EventPattern::parse("a").expect("a pattern"));
        assert!(!grant.within_limits());
        grant.events.clear();
        grant.requires = vec![String::new(); limits::REQUIRES_MAX + 1];
        assert!(!grant.within_limits());
        grant.requires.clear();
        grant.streams = vec![grant.streams[0].clone(); limits::STREAMS_PER_GRANT_MAX + 1];
        assert!(!grant.within_limits());
        grant.streams.clear();
        assert!(!grant.within_limits());
    }
}
