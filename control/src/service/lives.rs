//! Which gateways have ended, as far as can be told: a silent one may as well be cut off, and go on with the list it
//! has.

use std::collections::HashMap;

use super::gateways::is_live;
use crate::model::{Gateway, Millis};
use crate::names::PrincipalId;

/// Where a gate stands: what it will say of itself in its Envoy's next life, too.
type Place = (PrincipalId, String, String);

fn place(gateway: &Gateway) -> Place {
    (gateway.id.principal.clone(), gateway.node.clone(), gateway.id.gate.clone())
}

/// Leaves out those that somebody has forgotten, and those whose Envoy was started again.
pub(super) fn leave_out_ended(gateways: &mut Vec<Gateway>, now: Millis) {
    let mut lives: HashMap<Place, Vec<(Millis, Millis)>> = HashMap::new();
    for gateway in gateways.iter() {
        let life = (gateway.first_seen_millis, gateway.last_seen_millis);
        lives.entry(place(gateway)).or_default().push(life);
    }
    gateways.retain(|gateway| {
        is_live(gateway, now)
            || !(is_forgotten(gateway)
                || lives.get(&place(gateway)).is_some_and(|lives| is_superseded(gateway, lives)))
    });
}

/// Whether it was forgotten and has not spoken since.
pub(super) fn is_forgotten(gateway: &Gateway) -> bool {
    gateway.forgotten_millis > gateway.last_seen_millis
}

/// Whether another life began at its place after its own. Where another one was heard in its own time, several Envoys
/// share the node id, and nobody can tell which of them has begun anew.
fn is_superseded(gateway: &Gateway, lives: &[(Millis, Millis)]) -> bool {
    let (begun, ended) = (gateway.first_seen_millis, gateway.last_seen_millis);
    // Its own life is one of them.
    let in_its_time = lives.iter().filter(|(first, last)| *first <= ended && *last >= begun);
    !gateway.node.is_empty()
        && in_its_time.count() == 1
        && lives.iter().any(|(first, _)| *first > ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GatewayId, Scope};

    const NOW: Millis = 10_000_000;
    /// Unseen for so long, a gateway is silent.
    const SILENT: Millis = NOW - 70_000;

    fn gateway(instance: &str, node: &str, life: (Millis, Millis)) -> Gateway {
        Gateway {
            id: GatewayId {
                principal: PrincipalId::parse("edge").expect("an id"),
                instance: instance.to_owned(),
                gate: "front".to_owned(),
            },
            node: node.to_owned(),
            version: String::new(),
            capabilities: Vec::new(),
            scope: Scope::default(),
            revision: 7,
            first_seen_millis: life.0,
            last_seen_millis: life.1,
            forgotten_millis: 0,
        }
    }

    fn left(mut gateways: Vec<Gateway>) -> Vec<String> {
        leave_out_ended(&mut gateways, NOW);
        gateways.into_iter().map(|gateway| gateway.id.instance).collect()
    }

    /// Rows of: lives on one node, and which of them are listed.
    #[test]
    fn a_life_that_another_one_followed_is_over() {
        for (row, lives, listed) in [
            ("it alone", &[("a", (1, SILENT))][..], &["a"][..]),
            ("the next one is alive", &[("a", (1, SILENT)), ("b", (SILENT + 1, NOW))], &["b"]),
            ("the next one is silent, too", &[("a", (1, 5)), ("b", (6, SILENT))], &["b"]),
            ("three lives", &[("a", (1, 5)), ("b", (6, 9)), ("c", (10, NOW))], &["c"]),
            ("not silent yet", &[("a", (1, SILENT + 10_000)), ("b", (NOW, NOW))], &["a", "b"]),
            ("one beside it", &[("a", (1, SILENT)), ("b", (SILENT, NOW))], &["a", "b"]),
            (
                "one beside it, and a third that came later: one node id, many Envoys",
                &[("a", (1, SILENT)), ("b", (2, NOW)), ("c", (NOW - 9, NOW))],
                &["a", "b", "c"],
            ),
            ("since nobody knows when", &[("a", (1, SILENT)), ("b", (0, NOW))], &["a", "b"]),
        ] {
            let lives = lives.iter().map(|(instance, life)| gateway(instance, "envoy-1", *life));
            assert_eq!(left(lives.collect()), listed, "{row}");
        }
    }

    #[test]
    fn another_place_says_nothing_of_it() {
        let old = gateway("a", "envoy-1", (1, SILENT));
        let next = gateway("b", "envoy-1", (SILENT + 1, NOW));
        let mut gate = next.clone();
        gate.id.gate = "back".to_owned();
        let mut principal = next.clone();
        principal.id.principal = PrincipalId::parse("other").expect("an id");
        let node = gateway("b", "envoy-2", (SILENT + 1, NOW));
        for other in [gate, principal, node] {
            assert_eq!(left(vec![old.clone(), other]), ["a", "b"]);
        }
        let nameless = |instance, life| gateway(instance, "", life);
        let both = vec![nameless("a", (1, SILENT)), nameless("b", (SILENT + 1, NOW))];
        assert_eq!(left(both), ["a", "b"]);
    }

    #[test]
    fn one_that_is_forgotten_is_back_when_it_speaks() {
        let mut forgotten = gateway("a", "envoy-1", (1, SILENT));
        forgotten.forgotten_millis = SILENT + 5;
        assert!(left(vec![forgotten.clone()]).is_empty());
        forgotten.last_seen_millis = SILENT + 6;
        assert_eq!(left(vec![forgotten]), ["a"]);
    }
}
