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

/// Control takes the state for a receipt. Who moves it on may find the page in place already, by a poller that has
/// not counted it yet, or died before it could.
#[test]
fn a_revocation_that_the_state_tells_of_is_seen_by_all() {
    for call in 1.. {
        let (memory, poller) = filled();
        let list = || AllowList::new(memory.clone(), Some("cluster"), "gate");
        let (worker, rival, asked) = (list(), list(), poller.state());
        state_of(&worker, "a");
        let also_asked = asked.clone();
        let revocation = || feed("e1", false, (5, 6, 6), &[("a", 6, "revoked")]);
        memory.interrupt_before_call(call, move || {
            revocation().apply_to(&rival, &also_asked);
            assert_eq!(rival.state().since, 6);
            assert_eq!(state_of(&worker, "a"), Some(State::Revoked), "before call {call}");
        });
        assert_eq!(revocation().apply_to(&poller, &asked), done(6));
        if memory.interruption.borrow().is_some() {
            assert!(call > 5, "only {call} moments were tried");
            return;
        }
    }
}

/// The same of a sweep: nothing is asked before it is over.
#[test]
fn a_key_that_was_swept_away_is_gone_for_all_once_the_sweep_is_over() {
    let (memory, list) = filled();
    let page = feed("e2", true, (0, 3, 3), &[("b", 3, "active")]);
    assert_eq!(page.apply_to(&list, &list.state()), done(3));
    assert_eq!(state_of(&list, "a"), Some(State::Active), "until it is swept");
    let counted = memory.changes.get();
    let dead = AllowList::new(memory.clone(), Some("cluster"), "gate");
    let keys = (0..BUCKETS).map(|bucket| dead.bucket_key(bucket));
    for key in keys.chain([dead.key("streams")]) {
        dead.change(&key, &mut 0, |bucket| bucket.sweep(2)).expect("swept");
    }
    memory.changes.set(counted);
    sweep_all(&list);
    assert_eq!(state_of(&list, "a"), None);
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
