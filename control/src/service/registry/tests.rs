//! Who makes room, and who does not.

use super::*;

const LIVE: Duration = Duration::from_secs(LIVE_SECONDS.unsigned_abs());

fn said(instance: usize, at: Instant) -> Said {
    let principal = PrincipalId::parse("edge").expect("an id");
    Said {
        id: GatewayId { principal, instance: format!("{instance:x}"), gate: String::new() },
        greeting: Greeting::default(),
        scope: Scope::default(),
        revision: 7,
        since: at,
        at,
    }
}

/// As many as are listed of one principal, a tenth of a second apart, and a moment so long after the beginning.
fn full(silence: Duration) -> (Heard, Instant) {
    let mut heard = Heard::default();
    let begun = Instant::now();
    let mut now = begun;
    for instance in 0..GATEWAYS_MAX {
        now += Duration::from_millis(100);
        heard.note(said(instance, now));
    }
    (heard, begun + silence)
}

fn instances(heard: &Heard) -> HashSet<&str> {
    heard.gateways.keys().map(|id| id.instance.as_str()).collect()
}

#[test]
fn the_longest_unheard_that_is_silent_makes_room() {
    let (mut heard, now) = full(2 * LIVE);
    // The first that came is heard again: the second is the longest unheard.
    heard.note(said(0, now));
    heard.note(said(GATEWAYS_MAX, now));
    let left = instances(&heard);
    assert_eq!((left.len(), heard.unlisted), (GATEWAYS_MAX, 0));
    assert!(left.contains("0") && !left.contains("1") && left.contains("2"));
    assert!(left.contains(format!("{GATEWAYS_MAX:x}").as_str()));
    assert_eq!(heard.unwritten.len(), GATEWAYS_MAX, "who made room is not written again");
    // Another principal has room of its own.
    let mut other = said(1, now);
    other.id.principal = PrincipalId::parse("other").expect("an id");
    heard.note(other);
    assert_eq!(heard.gateways.len(), GATEWAYS_MAX + 1);
}

#[test]
fn one_that_is_alive_makes_no_room() {
    // The first was heard a tenth of a second after the beginning.
    let (mut heard, now) = full(LIVE);
    for instance in [GATEWAYS_MAX, GATEWAYS_MAX + 1, GATEWAYS_MAX] {
        heard.note(said(instance, now));
    }
    let left = instances(&heard);
    assert_eq!(left.len(), GATEWAYS_MAX + 1, "and one that stands for the others");
    assert!(left.contains("0") && left.contains("+"));
    assert_eq!(heard.unlisted, 3);
    assert_eq!(heard.told.len(), 1, "logged once");
    // As soon as one is silent, one of them takes its place.
    heard.note(said(GATEWAYS_MAX, now + Duration::from_millis(1_200)));
    let left = instances(&heard);
    assert!(!left.contains("0") && left.contains(format!("{GATEWAYS_MAX:x}").as_str()));
    assert_eq!((left.len(), heard.unlisted), (GATEWAYS_MAX + 1, 3));
}
