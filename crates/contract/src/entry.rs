//! What an allowlist says of one key and of one stream.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ConsumerId, EnvName, KeyId, NameError, SenderName, StreamId, limits};

/// What is done about a verdict. The order is one of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Forward everything as it came, byte for byte, without judging.
    Off,
    /// Judge and count, forward all the same.
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
    /// Capabilities a gateway must have to honour this grant. One that lacks any refuses the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

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
            && self.requires.len() <= limits::REQUIRES_MAX
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
        for bad in ["", "replace", "replace()", "replace(a)", "replace(A", "Keep"] {
            assert!(bad.parse::<UpstreamSecret>().is_err(), "{bad}");
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
            requires: vec![],
        };
        assert!(grant.within_limits());
        grant.requires = vec![String::new(); limits::REQUIRES_MAX + 1];
        assert!(!grant.within_limits());
        grant.requires.clear();
        grant.streams = vec![grant.streams[0].clone(); limits::STREAMS_PER_GRANT_MAX + 1];
        assert!(!grant.within_limits());
        grant.streams.clear();
        assert!(!grant.within_limits());
    }
}
