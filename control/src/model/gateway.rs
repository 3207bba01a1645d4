//! Gateways: who reads the allowlist, and how far each has come.

use core::fmt;

use mpgate_contract::{ConsumerId, Environment};
use sha2::{Digest as _, Sha256};

use super::{Millis, Principal};
use crate::names::PrincipalId;

/// One gate of a running Envoy: the principal whose token it holds, the number its Envoy gave itself when it started,
/// and its name. Each gate of an Envoy has a list of its own, and so a receipt of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayId {
    /// Whose token it holds.
    pub principal: PrincipalId,
    /// 16 hexadecimal digits, new for each Envoy process; empty for a reader that sent none.
    pub instance: String,
    /// Lower-case letters, digits and `-`; empty for a reader that sent none.
    pub gate: String,
}

impl GatewayId {
    /// Stands for all gateways of a principal that there was no room for. No gateway calls itself so.
    #[must_use]
    pub fn unlisted(principal: PrincipalId) -> Self {
        Self { principal, instance: UNLISTED.to_owned(), gate: String::new() }
    }

    /// Whether it is [`GatewayId::unlisted`].
    #[must_use]
    pub fn is_unlisted(&self) -> bool {
        self.instance == UNLISTED
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, instance, gate } = self;
        match (instance.is_empty(), gate.is_empty()) {
            (true, true) => principal.fmt(out),
            (false, true) => write!(out, "{principal}.{instance}"),
            // Also where there is no instance: nothing else is called so.
            (_, false) => write!(out, "{principal}.{instance}.{gate}"),
        }
    }
}

/// In the place of an instance.
const UNLISTED: &str = "+";

/// What a gateway said of itself when it last asked for changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Who it is.
    pub id: GatewayId,
    /// Its Envoy's node id.
    pub node: String,
    /// The filter's version.
    pub version: String,
    /// What its filter can enforce.
    pub capabilities: Vec<String>,
    /// The part of the list it is given.
    pub scope: Scope,
    /// The last revision that all its workers enforce; 0 while it holds another epoch.
    pub revision: u64,
    /// When it first asked; 0 where that is not known.
    pub first_seen_millis: Millis,
    /// When it last asked.
    pub last_seen_millis: Millis,
    /// When somebody said that it has ended; 0 where nobody did.
    pub forgotten_millis: Millis,
}

/// The part of the allowlist that a reader is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only streams of this environment, and keys for them.
    pub environment: Option<Environment>,
    /// Only these consumers' streams and keys; empty: all.
    pub consumers: Vec<ConsumerId>,
}

impl Scope {
    /// What a principal's feed holds.
    #[must_use]
    pub fn of(principal: &Principal) -> Self {
        let mut consumers = principal.consumers.clone();
        consumers.sort();
        Self { environment: principal.environment, consumers }
    }

    /// Whether a key or stream of this consumer and environment is in it.
    #[must_use]
    pub fn holds(&self, consumer: &ConsumerId, environment: Environment) -> bool {
        self.environment.is_none_or(|own| own == environment)
            && (self.consumers.is_empty() || self.consumers.contains(consumer))
    }

    /// The database's epoch as readers of this scope know it. Another scope is another epoch: a gateway
    /// whose binding changes starts over and drops what is not its own.
    #[must_use]
    pub fn epoch(&self, database: &str) -> String {
        if *self == Self::default() {
            return database.to_owned();
        }
        let mut hash = Sha256::new();
        hash.update(self.environment.map_or("", Environment::label));
        for consumer in &self.consumers {
            hash.update(b"/");
            hash.update(consumer.as_str());
        }
        let hash = hex::encode(hash.finalize());
        format!("{database}.{}", hash.get(..16).unwrap_or(&hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_gateways_have_one_id() {
        let gateway = |instance: &str, gate: &str| GatewayId {
            principal: PrincipalId::parse("edge").expect("an id"),
            instance: instance.to_owned(),
            gate: gate.to_owned(),
        };
        for (instance, gate, id) in [
            ("", "", "edge"),
            ("a1", "", "edge.a1"),
            ("", "a1", "edge..a1"),
            ("a1", "front", "edge.a1.front"),
            ("a1", "back", "edge.a1.back"),
        ] {
            assert_eq!(gateway(instance, gate).to_string(), id);
        }
    }

    #[test]
    fn each_scope_has_an_epoch_of_its_own() {
        let acme = ConsumerId::parse("acme").expect("an id");
        let other = ConsumerId::parse("other").expect("an id");
        let scope = |environment, consumers: &[&ConsumerId]| Scope {
            environment,
            consumers: consumers.iter().map(|id| (*id).clone()).collect(),
        };
        let scopes = [
            scope(None, &[]),
            scope(Some(Environment::Production), &[]),
            scope(Some(Environment::Staging), &[]),
            scope(None, &[&acme]),
            scope(None, &[&acme, &other]),
            scope(Some(Environment::Production), &[&acme]),
        ];
        let epochs: std::collections::HashSet<_> =
            scopes.iter().map(|scope| scope.epoch("0123456789abcdef0123456789abcdef")).collect();
        assert_eq!(epochs.len(), scopes.len());
        assert!(epochs.iter().all(|epoch| epoch.len() <= mpgate_contract::limits::EPOCH_BYTES_MAX));
    }

    #[test]
    fn a_scope_holds_what_is_of_its_consumers_and_environment() {
        let acme = ConsumerId::parse("acme").expect("an id");
        let other = ConsumerId::parse("other").expect("an id");
        let scope =
            Scope { environment: Some(Environment::Production), consumers: vec![acme.clone()] };
        assert!(scope.holds(&acme, Environment::Production));
        assert!(!scope.holds(&acme, Environment::Staging));
        assert!(!scope.holds(&other, Environment::Production));
        assert!(Scope::default().holds(&other, Environment::Development));
    }
}
