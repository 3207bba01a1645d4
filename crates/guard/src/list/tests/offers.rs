//! Inline lists: which list is in force, whatever order configuration and control come in.

use mpgate_contract::Ask;

use super::*;
use crate::{Inline, Offer, Origin, Settings};

/// An inline list of these pages.
fn inline(export_time: u64, pages: &[Feed]) -> Inline {
    let pages: Vec<&str> = pages.iter().map(|page| page.0.as_str()).collect();
    let text = format!(
        r#"{{"gate":"g","allowlist":{{"export_time":{export_time},"pages":[{}]}}}}"#,
        pages.join(",")
    );
    Settings::parse(text.as_bytes()).expect("good").inline.expect("a list")
}

/// `a` active at revision 5, `b` revoked at 6: in two pages.
fn two_pages(export_time: u64) -> Inline {
    inline(
        export_time,
        &[
            feed("e1", true, (0, 5, 6), &[("a", 5, "active")]).with_stream("G-A", 4, "active"),
            feed("e1", false, (5, 6, 6), &[("b", 6, "revoked")]),
        ],
    )
}

fn alone(list: &AllowList<Memory>, inline: &Inline) -> Offer {
    list.offer(inline, |_| false).expect("a good list")
}

fn followed(list: &AllowList<Memory>, inline: &Inline) -> Offer {
    list.offer(inline, |_| true).expect("a good list")
}

#[test]
fn it_is_in_force_at_once_and_control_goes_on_from_it() {
    let (_, list) = new_list();
    assert_eq!(followed(&list, &two_pages(50)), Offer::Taken);
    let state = list.state();
    assert!(state.ready && state.filled && state.phase == Phase::Live);
    assert_eq!((state.synced_at, state.origin), (50, Origin::Inline));
    assert_eq!((state.keys, state.streams), (1, 1));
    assert_eq!(state.ask(), Ask { epoch: "e1".to_owned(), since: 6 });
    let states = ["a", "b"].map(|name| state_of(&list, name));
    assert_eq!(states, [Some(State::Active), Some(State::Revoked)]);

    // Control of the same epoch goes on where the list ends; of another, it starts over.
    feed("e1", false, (6, 7, 7), &[("a", 7, "revoked")]).apply_to(&list, &state);
    assert_eq!((list.state().origin, list.state().synced_at), (Origin::Control, 100));
    assert_eq!((state_of(&list, "a"), list.state().keys), (Some(State::Revoked), 0));
    feed("e2", true, (0, 1, 1), &[("c", 1, "active")]).apply_to(&list, &list.state());
    sweep_all(&list);
    let states = ["a", "b", "c"].map(|name| state_of(&list, name));
    assert_eq!(states, [None, None, Some(State::Active)]);
    assert_eq!((list.state().keys, list.state().streams), (1, 0));
}

#[test]
fn an_old_one_undoes_no_revocation_however_often_it_is_pushed() {
    let (memory, list) = new_list();
    let old = two_pages(50);
    assert_eq!(followed(&list, &old), Offer::Taken);
    feed("e1", false, (6, 7, 7), &[("a", 7, "revoked")]).apply_to(&list, &list.state());
    let as_it_is = list.state();
    // With control, without it, by another VM, and another export of before.
    let other = AllowList::new(memory.clone(), Some("cluster"), "gate");
    let bereft = AllowList::new(memory, None, "gate");
    let earlier = inline(9_999, &[feed("e1", true, (0, 5, 5), &[("a", 5, "active")])]);
    for (name, list) in [("list", &list), ("other", &other), ("bereft", &bereft)] {
        for offered in [&old, &earlier] {
            assert_eq!(followed(list, offered), Offer::Kept, "{name}");
            assert_eq!(alone(list, offered), Offer::Kept, "{name}");
        }
        assert_eq!(state_of(list, "a"), Some(State::Revoked), "{name}");
        assert_eq!(list.state(), as_it_is, "{name}");
    }
    // Control speaks of another epoch since; the old list says it is younger than that.
    feed("e2", true, (0, 1, 1), &[("a", 1, "revoked")]).apply_to(&list, &list.state());
    sweep_all(&list);
    for offered in [&old, &two_pages(99)] {
        assert_eq!(alone(&list, offered), Offer::Kept);
        assert_eq!(state_of(&list, "a"), Some(State::Revoked));
    }
}

#[test]
fn a_newer_one_takes_over_where_control_does_not() {
    let (_, list) = new_list();
    alone(&list, &two_pages(50));
    let newer = || {
        let keys = [("b", 6, "revoked"), ("c", 9, "active")];
        inline(60, &[feed("e1", true, (0, 9, 9), &keys)])
    };
    assert_eq!(alone(&list, &newer()), Offer::Taken);
    let states = ["a", "b", "c"].map(|name| state_of(&list, name));
    assert_eq!(states, [None, Some(State::Revoked), Some(State::Active)], "what it lacks is gone");
    assert_eq!((list.state().synced_at, list.state().keys), (60, 1));
    // The way back is a list that is older.
    assert_eq!(alone(&list, &two_pages(50)), Offer::Kept);

    let (_, list) = filled();
    assert_eq!(followed(&list, &newer()), Offer::Kept, "control is there");
    assert_eq!(alone(&list, &newer()), Offer::Taken, "control is gone");
    assert_eq!(state_of(&list, "a"), None);
}

#[test]
fn the_same_list_exported_later_is_younger() {
    let (_, list) = new_list();
    alone(&list, &two_pages(50));
    let before = list.state();
    assert_eq!(alone(&list, &two_pages(70)), Offer::Confirmed);
    let after = list.state();
    assert_eq!((after.synced_at, after.generation), (70, before.generation));
    assert_eq!(alone(&list, &two_pages(60)), Offer::Kept);
    let empty = inline(80, &[feed("e2", true, (0, 0, 0), &[])]);
    assert_eq!(alone(&list, &empty), Offer::HeldEmpty);
    assert_eq!(state_of(&list, "a"), Some(State::Active));
}

#[test]
fn a_bad_one_leaves_everything_as_it_is() {
    let (_, list) = filled();
    let before = list.state();
    let cut = r#"{"gate":"g","allowlist":{"export_time":9,"pages":[{"epoch":"e1","reset":true,"from":0,"to":7,"head":9,"keys":[],"streams":[]}]}}"#;
    let cut = Settings::read(cut.as_bytes()).expect("read").inline.expect("a list");
    assert!(list.offer(&cut, |_| false).is_err());
    assert!(list.offer(&cut, |_| false).is_err(), "not noted as checked");
    assert_eq!(list.state(), before);
}

/// Control answers in the middle of it: whatever came first, the revocation holds.
#[test]
fn control_that_answers_meanwhile_is_not_overwritten() {
    let keys = [("a", 5, "active"), ("b", 9, "active")];
    let newer = inline(60, &[feed("e1", true, (0, 9, 9), &keys)]);
    // Each moment until the list is loaded, and some of the sweep, which takes tens of thousands of calls.
    let sweep = (60..).step_by(7_001);
    for call in (1..60).chain(sweep) {
        let (memory, list) = filled();
        let asked = list.state();
        let rival = AllowList::new(memory.clone(), Some("cluster"), "gate");
        memory.interrupt_before_call(call, move || {
            let revoked = [("a", 10, "revoked"), ("b", 9, "active")];
            let page = feed("e1", false, (5, 12, 12), &revoked);
            page.apply_to(&rival, &asked);
            if state_of(&rival, "a") != Some(State::Revoked) {
                // It was asked before the list took over; asked again, control says the rest.
                let asked = rival.state();
                let rest: Vec<_> = revoked.into_iter().filter(|key| key.1 > asked.since).collect();
                feed("e1", false, (asked.since, 12, 12), &rest).apply_to(&rival, &asked);
            }
        });
        alone(&list, &newer);
        if memory.interruption.borrow().is_some() {
            assert!(call > 20_000, "only {call} moments were tried");
            return;
        }
        assert_eq!(state_of(&list, "a"), Some(State::Revoked), "before call {call}");
        assert!(list.state().ready, "before call {call}");
    }
}
