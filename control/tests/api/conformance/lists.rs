//! The second half of the suite: lists, counts and what is remembered.

use std::sync::Arc;

use mpgate_contract::{Digest, Environment};
use mpgate_control::model::{
    AuditEvent, Gateway, GatewayId, KeyRecord, KeyState, KeyUse, Principal, Role, Scope, Slice,
    Token,
};
use mpgate_control::names::PrincipalId;
use mpgate_control::store::{Count, Done, DoneRequest, Store, Write};
use serde_json::json;

use super::{NOW, event, id, key, token, world};

pub(super) async fn lists_come_in_parts(store: &Arc<dyn Store>) {
    let keys = world(store, 7).await;
    let mut write = store.write().await.expect("the writer");
    let revision = write.next_revision().await.expect("a revision");
    let (state, revoke_time) = (KeyState::Revoked, Some(NOW));
    let gone = KeyRecord { state, revoke_time, revision, ..keys[3].clone() };
    write.update_key(&gone).await.expect("a key");
    for at in 0..5 {
        write.append(&event(&format!("principals/p{at}"))).await.expect("a place");
    }
    write.commit().await.expect("a commit");
    let mut read = store.read().await.expect("a reader");
    for (show_deleted, expected) in
        [(true, vec![0, 1, 2, 3, 4, 5, 6]), (false, vec![0, 1, 2, 4, 5, 6])]
    {
        for limit in [1, 2, 3, 7, 100] {
            let (mut found, mut after) = (Vec::new(), 0);
            loop {
                let slice = Slice { after, limit, show_deleted };
                let part = read.keys(&id("acme"), slice).await.expect("an answer");
                assert!(part.items.len() <= usize::try_from(limit).expect("a small number"));
                found.extend(part.items.into_iter().map(|key| key.nickname));
                let Some(next) = part.next else { break };
                assert!(next > after);
                after = next;
            }
            let names: Vec<_> = expected.iter().map(|at| format!("key {at}")).collect();
            assert_eq!(found, names, "limit {limit}");
        }
    }
    let names = |events: Vec<AuditEvent>| -> Vec<String> {
        events.into_iter().map(|event| event.resource.replace("principals/", "")).collect()
    };
    let slice = Slice { after: 0, limit: 2, show_deleted: true };
    let newest = read.audit(slice, true).await.expect("an answer");
    let next = Slice { after: newest.next.expect("more"), ..slice };
    assert_eq!(names(newest.items), ["p4", "p3"]);
    assert_eq!(names(read.audit(next, true).await.expect("an answer").items), ["p2", "p1"]);
    let oldest = read.audit(slice, false).await.expect("an answer");
    assert_eq!(names(oldest.items), ["p0", "p1"]);
}

pub(super) async fn counts_leave_out_what_is_over(store: &Arc<dyn Store>) {
    async fn counts(write: &mut dyn Write) -> [u64; 5] {
        let mut found = [0; 5];
        let what =
            [Count::Consumers, Count::Streams, Count::Keys, Count::Senders, Count::Principals];
        for (count, what) in found.iter_mut().zip(what) {
            *count = write.count(what).await.expect("an answer");
        }
        found
    }
    let mut write = store.write().await.expect("the writer");
    assert_eq!(counts(&mut *write).await, [0; 5]);
    drop(write);
    let keys = world(store, 4).await;
    let mut write = store.write().await.expect("the writer");
    assert_eq!(counts(&mut *write).await, [1, 1, 4, 3, 0]);
    // Disabled is counted, revoked is not; a sender goes with its last key.
    for (at, state, expected) in [
        (1, KeyState::Disabled, [1, 1, 4, 3, 0]),
        (1, KeyState::Revoked, [1, 1, 3, 2, 0]),
        (0, KeyState::Revoked, [1, 1, 2, 2, 0]),
        (3, KeyState::Revoked, [1, 1, 1, 1, 0]),
        (2, KeyState::Revoked, [1, 1, 0, 0, 0]),
    ] {
        let revision = write.next_revision().await.expect("a revision");
        let revoke_time = (state == KeyState::Revoked).then_some(NOW);
        let changed = KeyRecord { state, revoke_time, revision, ..keys[at].clone() };
        write.update_key(&changed).await.expect("a key");
        assert_eq!(counts(&mut *write).await, expected, "key {at}, {state:?}");
    }
    let in_use = write.in_use(&id("acme")).await.expect("an answer");
    assert_eq!((in_use.streams, in_use.keys), (1, 0));
    assert!(!write.has_sender("s0").await.expect("an answer"));
    assert!(write.has_digest(Digest::of(&0_u64.to_be_bytes())).await.expect("an answer"));
}

pub(super) async fn uses_only_grow(store: &Arc<dyn Store>) {
    let keys = world(store, 2).await;
    let [one, other] = [0, 1].map(|at: usize| keys[at].grant.key_id.clone());
    let unknown = key(9, "acme", &["G-A"], 0).0.grant.key_id;
    let seen = |accept, refuse| KeyUse { last_accept_time: accept, last_refuse_time: refuse };
    let mut write = store.write().await.expect("the writer");
    for told in [
        vec![(one.clone(), seen(Some(5), None)), (unknown.clone(), seen(Some(9), None))],
        vec![(one.clone(), seen(Some(3), Some(4)))],
        vec![(one.clone(), seen(Some(8), None))],
    ] {
        write.add_uses(&told).await.expect("uses");
    }
    let asked = [other.clone(), one.clone(), unknown, one];
    let found = write.uses(&asked).await.expect("an answer");
    let last = seen(Some(8), Some(4));
    assert_eq!(found, [KeyUse::default(), last, KeyUse::default(), last]);
    assert_eq!(write.uses(&[]).await.expect("an answer"), []);

    let principal = Principal {
        id: PrincipalId::parse("ops").expect("an id"),
        display_name: String::new(),
        role: Role::Admin,
        consumers: vec![],
        environment: None,
        version: 1,
        create_time: NOW,
        revoke_time: None,
    };
    write.insert_principal(&principal).await.expect("a principal");
    let token = token(&principal.id, 1);
    write.insert_token(&token, Digest::of(b"t")).await.expect("a token");
    for (told, expected) in [(NOW + 5, NOW + 5), (NOW + 2, NOW + 5), (NOW + 7, NOW + 7)] {
        write.touch_tokens(&[(token.id.clone(), told)]).await.expect("a use");
        let found = write.tokens(&principal.id).await.expect("an answer");
        assert_eq!(found[0].last_use_time, Some(expected));
    }
}

pub(super) async fn gateways_are_remembered_for_a_while(store: &Arc<dyn Store>) {
    let gateway = |instance: &str, revision, last_seen_millis| Gateway {
        id: GatewayId {
            principal: PrincipalId::parse("edge").expect("an id"),
            instance: instance.to_owned(),
            gate: "gate".to_owned(),
        },
        node: "node".to_owned(),
        version: "0.1.0".to_owned(),
        capabilities: vec!["events".to_owned()],
        scope: Scope { environment: Some(Environment::Staging), consumers: vec![id("acme")] },
        revision,
        first_seen_millis: NOW,
        last_seen_millis,
        forgotten_millis: 0,
    };
    let mut write = store.write().await.expect("the writer");
    let told = [gateway("a", 5, NOW), gateway("b", 6, NOW + 10)];
    write.put_gateways(&told).await.expect("gateways");
    // What is older than what is known changes nothing; within one millisecond a list grows.
    let older = [gateway("a", 9, NOW - 1), gateway("a", 4, NOW), gateway("b", 7, NOW + 11)];
    write.put_gateways(&older).await.expect("them");
    let found = write.gateways(NOW).await.expect("an answer");
    assert_eq!(found, [gateway("a", 5, NOW), gateway("b", 7, NOW + 11)]);
    assert_eq!(write.gateways(NOW + 1).await.expect("an answer").len(), 1);
    let forgotten = write.forget_gateways(NOW + 1).await.expect("an answer");
    assert_eq!(forgotten, [gateway("a", 0, 0).id]);
    assert_eq!(write.gateways(0).await.expect("an answer").len(), 1);

    // When it was first heard and last forgotten stays, whoever tells of it.
    let mut known = gateway("b", 8, NOW + 20);
    (known.first_seen_millis, known.forgotten_millis) = (NOW - 7, NOW + 12);
    write.put_gateways(&[known.clone(), gateway("b", 9, NOW + 21)]).await.expect("it");
    (known.revision, known.last_seen_millis) = (9, NOW + 21);
    assert_eq!(write.gateways(0).await.expect("an answer"), [known]);

    // A clock that was ahead and was put right again.
    let now = write.now_millis().await.expect("a clock");
    for (last_seen_millis, revision) in [(now + 3_600_000, 8), (now - 1, 9)] {
        write.put_gateways(&[gateway("c", revision, last_seen_millis)]).await.expect("it");
        let found = write.gateways(now - 1).await.expect("an answer");
        assert_eq!(found, [gateway("c", revision, last_seen_millis)]);
    }

    // Each gate of an Envoy is one.
    let gates = [("back", 8), ("front", 9)].map(|(gate, revision)| {
        let mut it = gateway("d", revision, now);
        gate.clone_into(&mut it.id.gate);
        it
    });
    write.put_gateways(&gates).await.expect("both");
    assert_eq!(write.gateways(now).await.expect("an answer"), gates);
}

pub(super) async fn a_request_is_remembered(store: &Arc<dyn Store>) {
    let principal = PrincipalId::parse("ops").expect("an id");
    let somebody = PrincipalId::parse("other").expect("an id");
    let request_id = "123e4567-e89b-12d3-a456-426614174000";
    let mut write = store.write().await.expect("the writer");
    for done in [Done::Changed(3), Done::Unchanged(json!({"name": "x", "revision": 7}))] {
        let done = DoneRequest { fingerprint: Digest::of(b"asked"), done };
        assert_eq!(write.request(&principal, request_id).await.expect("an answer"), None);
        write.put_request(&principal, request_id, &done, NOW).await.expect("a request");
        let found = write.request(&principal, request_id).await.expect("an answer");
        assert_eq!(found.as_ref(), Some(&done));
        assert_eq!(write.request(&somebody, request_id).await.expect("an answer"), None);
        write.forget_requests(NOW).await.expect("an answer");
        assert_eq!(write.request(&principal, request_id).await.expect("an answer"), Some(done));
        write.forget_requests(NOW + 1).await.expect("an answer");
        assert_eq!(write.request(&principal, request_id).await.expect("an answer"), None);
    }
}

pub(super) async fn keys_end_in_order(store: &Arc<dyn Store>) {
    let keys = world(store, 3).await;
    let mut write = store.write().await.expect("the writer");
    // The first ends later than the second; the third is revoked.
    let ends = [20, 10, 10].map(|after| u64::try_from(NOW + after).ok());
    for (key, expire_time) in keys.iter().zip(ends) {
        let revision = write.next_revision().await.expect("a revision");
        let mut changed = KeyRecord { revision, ..key.clone() };
        changed.grant.expire_time = expire_time;
        if key.nickname == "key 2" {
            (changed.state, changed.revoke_time) = (KeyState::Revoked, Some(NOW));
        }
        write.update_key(&changed).await.expect("a key");
    }
    let senders = async |write: &mut dyn Write, after: i64, limit: u32| -> Vec<String> {
        let ends = write.key_ends(after, limit).await.expect("an answer");
        ends.into_iter().map(|end| format!("{} {}", end.sender, end.expire_time - NOW)).collect()
    };
    assert_eq!(senders(&mut *write, NOW, 10).await, ["s1 10", "s0 20"]);
    assert_eq!(senders(&mut *write, NOW, 1).await, ["s1 10"]);
    assert_eq!(senders(&mut *write, NOW + 10, 10).await, ["s0 20"]);
}

/// Whose, its tokens as end (0: none) and whether revoked, then when the last ends.
type Tokens = (&'static str, &'static [(i64, bool)], Option<i64>);

pub(super) async fn principals_end_with_their_last_token(store: &Arc<dyn Store>) {
    let rows: [Tokens; 7] = [
        ("lasting", &[(0, false)], None),
        ("rotated", &[(10, false), (0, false)], None),
        ("two", &[(30, false), (10, false)], Some(30)),
        ("one", &[(20, false), (0, true), (90, true)], Some(20)),
        ("over", &[(5, false)], Some(5)),
        ("without", &[(50, true)], None),
        ("gone", &[(40, false)], Some(40)),
    ];
    let mut write = store.write().await.expect("the writer");
    let mut number = 0;
    for (name, tokens, _) in rows {
        let mut principal = Principal {
            id: PrincipalId::parse(name).expect("an id"),
            display_name: String::new(),
            role: Role::Viewer,
            consumers: vec![],
            environment: None,
            version: 1,
            create_time: NOW,
            revoke_time: None,
        };
        write.insert_principal(&principal).await.expect("a principal");
        for (end, is_revoked) in tokens {
            number += 1;
            let expire_time = (*end > 0).then_some(NOW + end);
            let mut token = Token { expire_time, ..token(&principal.id, number) };
            write.insert_token(&token, Digest::of(&[number])).await.expect("a token");
            token.revoke_time = is_revoked.then_some(NOW);
            write.update_token(&token).await.expect("a token");
        }
        if name == "gone" {
            principal.revoke_time = Some(NOW);
            write.update_principal(&principal).await.expect("a principal");
        }
    }
    let stranger: Tokens = ("nobody", &[], None);
    let asked = rows.iter().chain([&stranger]);
    let (ids, expected): (Vec<_>, Vec<_>) = asked
        .map(|(name, _, end)| (PrincipalId::parse(name).expect("an id"), end.map(|it| NOW + it)))
        .unzip();
    assert_eq!(write.token_ends(&ids).await.expect("an answer"), expected);
    assert_eq!(write.token_ends(&[]).await.expect("an answer"), []);
    let ends = async |write: &mut dyn Write, after: i64, limit: u32| -> Vec<String> {
        let ends = write.principal_ends(after, limit).await.expect("an answer");
        let told = ends.into_iter();
        told.map(|it| format!("{} {} {}", it.principal, it.role.label(), it.expire_time - NOW))
            .collect()
    };
    assert_eq!(ends(&mut *write, NOW + 5, 10).await, ["one viewer 20", "two viewer 30"]);
    assert_eq!(ends(&mut *write, NOW + 5, 1).await, ["one viewer 20"]);
    assert_eq!(ends(&mut *write, NOW + 25, 10).await, ["two viewer 30"]);
}

pub(super) async fn a_change_after_a_revision_has_its_time(store: &Arc<dyn Store>) {
    let mut write = store.write().await.expect("the writer");
    for (revision, time) in [(Some(3), NOW), (None, NOW + 1), (Some(5), NOW + 2)] {
        let event = AuditEvent { revision, time, ..event("principals/p") };
        write.append(&event).await.expect("a place");
    }
    for (revision, time) in
        [(0, Some(NOW)), (2, Some(NOW)), (3, Some(NOW + 2)), (4, Some(NOW + 2)), (5, None)]
    {
        let found = write.change_time_after(revision).await.expect("an answer");
        assert_eq!(found, time, "{revision}");
    }
}

pub(super) async fn the_longest_unheard_gateways_make_room(store: &Arc<dyn Store>) {
    let gateway = |principal: &str, at: i64| Gateway {
        id: GatewayId {
            principal: PrincipalId::parse(principal).expect("an id"),
            instance: format!("{}", at / 3),
            gate: format!("{at}"),
        },
        node: String::new(),
        version: String::new(),
        capabilities: Vec::new(),
        scope: Scope::default(),
        revision: 1,
        first_seen_millis: NOW,
        last_seen_millis: NOW + at,
        forgotten_millis: 0,
    };
    let mut write = store.write().await.expect("the writer");
    let all: Vec<_> = (0..6).map(|at| gateway("edge", at)).chain([gateway("other", 0)]).collect();
    write.put_gateways(&all).await.expect("gateways");
    // All but the last two of the first are silent; four places keep four, one keeps those that are alive.
    for (places, left) in [(4, &[2, 3, 4, 5][..]), (1, &[4, 5])] {
        write.crowd_out_gateways(NOW + 4, places).await.expect("room");
        let found = write.gateways(0).await.expect("an answer");
        let expected: Vec<_> =
            left.iter().map(|at| gateway("edge", *at)).chain([gateway("other", 0)]).collect();
        assert_eq!(found, expected, "{places} places");
    }
}
