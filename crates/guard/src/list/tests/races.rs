//! Two pollers against each other: whatever one has done when the other goes on, a later revision is
//! never undone.

use super::*;

/// Runs `act` before each call that the application of `page` makes, on a fresh list each time.
fn at_every_moment(
    page: &Feed,
    act: impl Fn(&AllowList<Memory>) + Clone + 'static,
    check: impl Fn(&AllowList<Memory>, usize),
) {
    for call in 1.. {
        let (memory, list) = filled();
        let asked = list.state();
        let (rival, rival_act) =
            (AllowList::new(memory.clone(), Some("cluster"), "gate"), act.clone());
        memory.interrupt_before_call(call, move || rival_act(&rival));
        page.apply_to(&list, &asked);
        if memory.interruption.borrow().is_some() {
            assert!(call > 5, "only {call} moments were tried");
            return;
        }
        check(&list, call);
    }
}

#[test]
fn a_slow_poller_never_undoes_a_revocation() {
    let slow = feed("e1", false, (5, 6, 6), &[("a", 6, "active"), ("b", 5 + 1, "active")]);
    let revoke = |rival: &AllowList<Memory>| {
        let page = feed("e1", false, (5, 8, 8), &[("a", 7, "revoked"), ("b", 8, "revoked")]);
        let asked =
            SyncState { epoch: "e1".to_owned(), since: 5, generation: 1, ..SyncState::default() };
        page.apply_to(rival, &asked);
    };
    at_every_moment(&slow, revoke, |list, call| {
        for name in ["a", "b"] {
            assert_eq!(
                state_of(list, name),
                Some(State::Revoked),
                "{name}, interrupted before call {call}"
            );
        }
        // What was overtaken before it began takes nothing back.
        assert!(call > 1 || list.state().since == 8);
    });
}

#[test]
fn a_poller_of_the_old_epoch_brings_nothing_back() {
    let old = feed("e1", false, (5, 6, 6), &[("a", 6, "active"), ("ghost", 6, "active")]);
    let reset = |rival: &AllowList<Memory>| {
        let asked =
            SyncState { epoch: "e1".to_owned(), since: 5, generation: 1, ..SyncState::default() };
        let page = feed("e2", true, (0, 2, 2), &[("a", 1, "revoked"), ("c", 2, "active")]);
        page.apply_to(rival, &asked);
        sweep_all(rival);
    };
    at_every_moment(&old, reset, |list, call| {
        // A page that went in before the reset is swept; one that comes after it finds the floor.
        assert_eq!(state_of(list, "a"), Some(State::Revoked), "before call {call}");
        assert_eq!(state_of(list, "ghost"), None, "before call {call}");
        assert_eq!(state_of(list, "c"), Some(State::Active), "before call {call}");
        assert_eq!(list.state().epoch, "e2", "before call {call}");
    });
}

/// A restored database without a new epoch: what was asked for before the reset is of another past.
#[test]
fn a_poller_from_before_a_reset_of_the_same_epoch_brings_nothing_back() {
    let old = feed("e1", false, (5, 9, 9), &[("ghost", 9, "active"), ("b", 8, "active")]);
    let reset = |rival: &AllowList<Memory>| {
        let asked =
            SyncState { epoch: "e1".to_owned(), since: 5, generation: 1, ..SyncState::default() };
        feed("e1", true, (0, 3, 3), &[("b", 3, "revoked")]).apply_to(rival, &asked);
        sweep_all(rival);
    };
    at_every_moment(&old, reset, |list, call| {
        assert_eq!(state_of(list, "ghost"), None, "before call {call}");
        assert_eq!(state_of(list, "b"), Some(State::Revoked), "before call {call}");
    });
}

#[test]
fn two_pollers_that_see_the_same_reset_make_one() {
    let reset = feed("e2", true, (0, 2, 2), &[("c", 2, "active")]);
    let same = |rival: &AllowList<Memory>| {
        let asked =
            SyncState { epoch: "e1".to_owned(), since: 5, generation: 1, ..SyncState::default() };
        feed("e2", true, (0, 2, 2), &[("c", 2, "active")]).apply_to(rival, &asked);
    };
    at_every_moment(&reset, same, |list, call| {
        assert_eq!(list.state().generation, 2, "before call {call}");
        assert_eq!(state_of(list, "c"), Some(State::Active), "before call {call}");
    });
}
