//! A module that writes shared data otherwise has a list of its own beside the one that is there.

use super::*;

/// Makes all that is there the work of a module of another format.
fn of_another_format(memory: &Memory) -> HashMap<String, Versioned> {
    let (ours, theirs) = (format!("mpgate/{FORMAT}/"), format!("mpgate/{}/", FORMAT + 1));
    let moved: HashMap<_, _> = memory
        .values
        .take()
        .into_iter()
        .map(|(key, value)| {
            let rest = key.strip_prefix(&ours).expect("each key has its format");
            (format!("{theirs}{rest}"), value)
        })
        .collect();
    *memory.values.borrow_mut() = moved.clone();
    moved
}

#[test]
fn a_list_of_another_format_is_neither_read_nor_touched() {
    let (memory, list) = filled();
    assert_eq!(state_of(&list, "a"), Some(State::Active));
    let theirs = of_another_format(&memory);

    // The new module begins with nothing: an Envoy that updates to it needs control, as one that starts.
    let ours = AllowList::new(memory.clone(), Some("cluster"), "gate");
    ours.create();
    assert_eq!(ours.state(), SyncState::default());
    assert!(!ours.state().ready);
    assert_eq!(state_of(&ours, "a"), None);

    let page = feed("e1", true, (0, 6, 6), &[("b", 6, "active")]);
    assert_eq!(page.apply_to(&ours, &ours.state()), done(6));
    sweep_all(&ours);
    assert!(ours.state().ready);
    assert_eq!((state_of(&ours, "a"), state_of(&ours, "b")), (None, Some(State::Active)));

    // The old one serves what still drains, and finds its list as it was.
    for (key, value) in &theirs {
        assert_eq!(memory.values.borrow().get(key), Some(value), "{key}");
    }
}
