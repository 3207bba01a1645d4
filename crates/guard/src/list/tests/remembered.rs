//! What a worker remembers of a key never outlives a change, whoever makes it and whenever.

use super::*;

/// Revokes `a`, as a poller does.
fn revoke(list: &AllowList<Memory>) {
    let page = feed("e1", false, (5, 6, 6), &[("a", 6, "revoked")]);
    assert_eq!(page.apply_to(list, &list.state()), done(6));
}

#[test]
fn a_revocation_amid_a_request_is_seen_by_the_next() {
    for is_remembered in [false, true] {
        for call in 1.. {
            let (memory, worker) = filled();
            if is_remembered {
                assert_eq!(state_of(&worker, "a"), Some(State::Active));
            }
            let poller = AllowList::new(memory.clone(), Some("cluster"), "gate");
            memory.interrupt_before_call(call, move || revoke(&poller));
            state_of(&worker, "a");
            if memory.interruption.borrow().is_some() {
                assert!(call > 1, "no moment was tried");
                break;
            }
            assert_eq!(state_of(&worker, "a"), Some(State::Revoked), "before call {call}");
        }
    }
}

#[test]
fn a_request_amid_a_revocation_hides_it_from_no_later_one() {
    for call in 1.. {
        let (memory, poller) = filled();
        let worker = Rc::new(AllowList::new(memory.clone(), Some("cluster"), "gate"));
        let asks = Rc::clone(&worker);
        memory.interrupt_before_call(call, move || {
            state_of(&asks, "a");
        });
        revoke(&poller);
        if memory.interruption.borrow().is_some() {
            assert!(call > 5, "only {call} moments were tried");
            return;
        }
        assert_eq!(state_of(&worker, "a"), Some(State::Revoked), "before call {call}");
    }
}

#[test]
fn a_key_that_was_just_looked_up_is_not_fetched_again() {
    let (memory, list) = filled();
    let gets = |name: &str| {
        let before = memory.gets.get();
        state_of(&list, name);
        memory.gets.get() - before
    };
    assert_eq!([gets("a"), gets("a")], [1, 0]);
    assert_eq!([gets("stranger"), gets("stranger")], [1, 1]);
    list.look_again();
    assert_eq!([gets("a"), gets("a")], [1, 0], "looked again");
    memory.note_change();
    assert_eq!([gets("a"), gets("a")], [1, 0], "something changed");
}

#[test]
fn a_change_that_nobody_counted_is_seen_at_the_next_look() {
    let (memory, list) = filled();
    assert_eq!(state_of(&list, "a"), Some(State::Active));
    let counted = memory.changes.get();
    let page = feed("e1", false, (5, 6, 6), &[("a", 6, "revoked")]);
    assert_eq!(page.apply_to(&list, &list.state()), done(6));
    assert!(memory.changes.replace(counted) > counted);
    list.look_again();
    assert_eq!(state_of(&list, "a"), Some(State::Revoked));
}
