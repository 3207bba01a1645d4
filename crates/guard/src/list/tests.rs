//! The allowlist in shared data, against shared data that does as Envoy's does.

mod formats;
mod offers;
mod races;
mod remembered;
mod reports;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use mpgate_contract::{Ask, Digest};
use serde_json::json;

use super::*;

type Interruption = Box<dyn FnOnce()>;
type Versioned = (Vec<u8>, u32);

/// Shared data as Envoy keeps it, with a trap door: before the n-th call somebody else may act.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    values: Rc<RefCell<HashMap<String, Versioned>>>,
    calls: Rc<Cell<usize>>,
    gets: Rc<Cell<usize>>,
    changes: Rc<Cell<u64>>,
    interruption: Rc<RefCell<Option<(usize, Interruption)>>>,
}

impl Memory {
    pub(crate) fn calls(&self) -> usize {
        self.calls.get()
    }

    pub(crate) fn interrupt_before_call(&self, call: usize, act: impl FnOnce() + 'static) {
        self.calls.set(0);
        *self.interruption.borrow_mut() = Some((call, Box::new(act)));
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
        let due =
            self.interruption.borrow().as_ref().is_some_and(|(call, _)| *call == self.calls.get());
        if due {
            let (_, act) = self.interruption.borrow_mut().take().expect("just seen");
            act();
        }
    }
}

impl SharedData for Memory {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.count();
        self.gets.set(self.gets.get() + 1);
        self.values.borrow().get(key).cloned()
    }

    fn create(&self, key: &str, value: &[u8]) {
        self.values.borrow_mut().insert(key.to_owned(), (value.to_vec(), 1));
    }

    fn swap(&self, key: &str, value: &[u8], version: u32) -> Result<(), SwapError> {
        self.count();
        let mut values = self.values.borrow_mut();
        let entry = values.get_mut(key).expect("swapped before it was created");
        if entry.1 != version {
            return Err(SwapError);
        }
        *entry = (value.to_vec(), version + 1);
        Ok(())
    }

    fn changes(&self) -> Option<u64> {
        self.count();
        Some(self.changes.get())
    }

    fn note_change(&self) {
        self.count();
        self.changes.set(self.changes.get() + 1);
    }
}

fn new_list() -> (Memory, AllowList<Memory>) {
    let memory = Memory::default();
    let list = AllowList::new(memory.clone(), Some("cluster"), "gate");
    list.create();
    (memory, list)
}

struct Feed(String);

/// A page of one epoch: `keys` are (name, revision, state).
fn feed(epoch: &str, reset: bool, range: (u64, u64, u64), keys: &[(&str, u64, &str)]) -> Feed {
    let keys: Vec<_> = keys
        .iter()
        .map(|(name, revision, state)| {
            json!({"revision": revision, "digest": Digest::of(name.as_bytes()), "state": state,
                   "grant": {"key_id": "000000000001", "sender": "a", "streams": ["G-A"]}})
        })
        .collect();
    let (from, to, head) = range;
    Feed(
        json!({"epoch": epoch, "reset": reset, "from": from, "to": to, "head": head, "keys": keys, "streams": []})
            .to_string(),
    )
}

impl Feed {
    fn with_stream(self, id: &str, revision: u64, state: &str) -> Self {
        let mut page: serde_json::Value = serde_json::from_str(&self.0).expect("JSON");
        let entry = json!({"revision": revision, "state": state, "stream":
            {"id": id, "consumer": "acme", "environment": "production", "upstream_secret": "none"}});
        page["streams"].as_array_mut().expect("a list").push(entry);
        Self(page.to_string())
    }

    /// Applies it as a poller does that asked when the list stood at `asked`.
    fn apply_to(&self, list: &AllowList<Memory>, asked: &SyncState) -> Applied {
        let page = Page::parse(self.0.as_bytes(), &asked.ask()).expect("a good page");
        list.apply(&page, asked.generation, 100)
    }
}

fn done(revision: u64) -> Applied {
    Applied::Done { revision }
}

fn sweep_all(list: &AllowList<Memory>) {
    sweep_on(list, Swept::default());
}

fn sweep_on(list: &AllowList<Memory>, mut swept: Swept) {
    for _ in 0..100 {
        if list.state().phase != Phase::Sweeping {
            return;
        }
        swept = list.sweep(swept);
    }
    panic!("the sweep does not end");
}

fn state_of(list: &AllowList<Memory>, name: &str) -> Option<State> {
    let digest = Digest::of(name.as_bytes());
    list.known(&digest).expect("a bucket").map(|known| known.state)
}

/// A list that holds `a` (active, revision 5) of epoch e1.
fn filled() -> (Memory, AllowList<Memory>) {
    let (memory, list) = new_list();
    let page = feed("e1", true, (0, 5, 5), &[("a", 5, "active")]);
    assert_eq!(page.apply_to(&list, &list.state()), done(5));
    (memory, list)
}

#[test]
fn ready_only_when_the_list_is_whole() {
    let (_, list) = new_list();
    assert!(!list.state().ready);
    let first = feed("e1", true, (0, 5, 9), &[("a", 5, "active")]);
    assert_eq!(first.apply_to(&list, &list.state()), done(5));
    assert!(!list.state().ready);
    assert_eq!(list.state().ask(), Ask { epoch: "e1".to_owned(), since: 5 });
    let second = feed("e1", false, (5, 9, 9), &[("b", 9, "active")]);
    assert_eq!(second.apply_to(&list, &list.state()), done(9));
    let state = list.state();
    assert!(state.ready && state.filled && state.phase == Phase::Live);
    assert_eq!((state.since, state.synced_at), (9, 100));
}

#[test]
fn a_look_finds_the_key_that_was_asked_for() {
    let (_, list) = filled();
    let known = |name: &str| {
        let digest = Digest::of(name.as_bytes());
        list.known(&digest).expect("a bucket").is_some()
    };
    assert!(known("a") && !known("b"));
}

#[test]
fn what_became_of_a_page_has_a_word() {
    let words = [done(1), Applied::HeldEmpty, Applied::Stale, Applied::Failed].map(Applied::label);
    assert_eq!(words, ["applied", "held_empty", "stale", "failed"]);
}

#[test]
fn creating_again_loses_nothing() {
    let (memory, list) = filled();
    // One value for each bucket, the streams, the state, the notes, and the way back to them all.
    assert_eq!(memory.values.borrow().len(), usize::from(BUCKETS) + 10);
    list.create();
    AllowList::new(memory.clone(), Some("cluster"), "gate").create();
    assert_eq!(state_of(&list, "a"), Some(State::Active));
    let other = AllowList::new(memory, Some("cluster"), "other-gate");
    other.create();
    assert_eq!(state_of(&other, "a"), None);
    assert!(!other.state().ready && list.state().ready);
}

#[test]
fn without_its_keys_a_list_fails_and_does_not_pretend() {
    let list = AllowList::new(Memory::default(), Some("cluster"), "gate");
    let page = feed("e1", true, (0, 1, 1), &[("a", 1, "active")]);
    assert_eq!(page.apply_to(&list, &SyncState::default()), Applied::Failed);
    assert!(!list.claim_lease(1, 0));
}

#[test]
fn an_empty_page_of_a_reset_is_held_though_more_were_to_come() {
    let (_, list) = filled();
    let empty = feed("e2", true, (0, 3, 9), &[]);
    assert_eq!(empty.apply_to(&list, &list.state()), Applied::HeldEmpty);
    assert_eq!(state_of(&list, "a"), Some(State::Active));
}

#[test]
fn a_reset_keeps_the_old_list_in_force_until_the_new_one_is_whole() {
    let (_, list) = filled();
    let first = feed("e2", true, (0, 1, 2), &[("b", 1, "active")]);
    first.apply_to(&list, &list.state());
    assert_eq!((list.state().ready, list.state().phase), (true, Phase::Loading));
    assert_eq!(state_of(&list, "a"), Some(State::Active));
    let swept = list.sweep(Swept::default());
    assert_eq!(swept, Swept::default(), "nothing is swept while pages are missing");

    feed("e2", false, (1, 2, 2), &[("c", 2, "active")]).apply_to(&list, &list.state());
    assert_eq!(list.state().phase, Phase::Sweeping);
    sweep_all(&list);
    assert_eq!(list.state().phase, Phase::Live);
    let states = ["a", "b", "c"].map(|name| state_of(&list, name));
    assert_eq!(states, [None, Some(State::Active), Some(State::Active)]);
}

#[test]
fn a_sweep_that_was_overtaken_by_a_reset_begins_again() {
    let mut names = (0_u32..).map(|n| format!("key-{n}"));
    let low =
        names.find(|name| bucket_of(&Digest::of(name.as_bytes())) < SWEEP_STEP).expect("some key");
    let (_, list) = filled();
    feed("e2", true, (0, 1, 1), &[(&low, 1, "active")]).apply_to(&list, &list.state());
    let begun = list.sweep(Swept::default());
    assert_ne!(begun, Swept::default());
    feed("e3", true, (0, 1, 1), &[("c", 1, "active")]).apply_to(&list, &list.state());
    sweep_on(&list, begun);
    assert_eq!(state_of(&list, &low), None);
    assert_eq!(state_of(&list, "c"), Some(State::Active));
}

#[test]
fn a_gate_ahead_of_control_starts_over_in_the_same_epoch() {
    let (_, list) = filled();
    let reset = feed("e1", true, (0, 3, 3), &[("b", 3, "active")]);
    assert_eq!(reset.apply_to(&list, &list.state()), done(3));
    sweep_all(&list);
    assert_eq!((state_of(&list, "a"), state_of(&list, "b")), (None, Some(State::Active)));
    assert_eq!(list.state().generation, 2);
}

#[test]
fn an_empty_list_of_a_new_epoch_is_held_until_it_is_filled() {
    let (_, list) = filled();
    let empty = feed("e2", true, (0, 0, 0), &[]);
    assert_eq!(empty.apply_to(&list, &list.state()), Applied::HeldEmpty);
    assert_eq!(state_of(&list, "a"), Some(State::Active));
    assert_eq!(list.state().epoch, "e1");
    let tombstone = feed("e2", true, (0, 2, 2), &[("x", 2, "revoked")]);
    assert_eq!(tombstone.apply_to(&list, &list.state()), done(2));
    sweep_all(&list);
    assert_eq!(state_of(&list, "a"), None);
}

#[test]
fn the_first_list_may_be_empty() {
    let (_, list) = new_list();
    assert_eq!(feed("e1", true, (0, 0, 0), &[]).apply_to(&list, &list.state()), done(0));
    assert!(list.state().ready && !list.state().filled);
    assert_eq!(feed("e2", true, (0, 0, 0), &[]).apply_to(&list, &list.state()), done(0));
}

#[test]
fn streams_are_merged_and_announced() {
    let (_, list) = filled();
    let before = list.state().streams_version;
    feed("e1", false, (5, 7, 7), &[])
        .with_stream("G-A", 7, "active")
        .apply_to(&list, &list.state());
    assert_eq!(list.state().streams_version, before + 1);
    feed("e1", false, (7, 8, 8), &[])
        .with_stream("G-A", 8, "revoked")
        .apply_to(&list, &list.state());
    let bytes = list.streams();
    let bucket = Bucket::read(&bytes).expect("a bucket");
    let record = bucket.find(&Digest::of(b"G-A")).expect("a bucket").expect("a record");
    assert_eq!(record.state, State::Revoked);
}

#[test]
fn a_sweep_announces_the_streams_it_removed() {
    let (_, list) = filled();
    feed("e1", false, (5, 7, 7), &[])
        .with_stream("G-OLD", 7, "active")
        .apply_to(&list, &list.state());
    feed("e2", true, (0, 1, 1), &[("b", 1, "active")]).apply_to(&list, &list.state());
    let before = list.state().streams_version;
    sweep_all(&list);
    assert!(list.state().streams_version > before);
    let bytes = list.streams();
    assert_eq!(Bucket::read(&bytes).expect("a bucket").records().count(), 0);
}

#[test]
fn one_of_two_gets_the_lease() {
    let (memory, list) = new_list();
    let rival = AllowList::new(memory.clone(), Some("cluster"), "gate");
    // Both read it free; the rival writes first.
    memory.interrupt_before_call(2, move || assert!(rival.claim_lease(2, 0)));
    assert!(!list.claim_lease(1, 0));
    assert!(!list.claim_lease(1, 499));
    assert!(list.claim_lease(1, 500));
    // One that ends leaves it to the next.
    list.release_lease(2);
    assert!(!list.claim_lease(2, 600));
    list.release_lease(1);
    assert!(list.claim_lease(2, 600));
}

#[test]
fn an_envoy_is_called_the_same_by_all_its_gates() {
    let (memory, list) = new_list();
    assert_eq!(list.instance(), "");
    assert_eq!(list.draw_instance(0xab), "00000000000000ab");
    assert_eq!(list.draw_instance(0xcd), "00000000000000ab");
    assert_eq!(
        AllowList::new(memory, Some("cluster"), "other").draw_instance(1),
        "00000000000000ab"
    );
}

#[test]
fn a_page_that_kills_its_vm_is_backed_off() {
    let (_, list) = filled();
    assert!(list.may_ask(0));
    list.begin_attempt(0);
    assert!(!list.may_ask(499) && list.may_ask(500));
    assert!(!list.tell_of_attempt(499) && list.tell_of_attempt(500) && !list.tell_of_attempt(500));
    list.begin_attempt(1_000);
    assert!(!list.may_ask(1_999));
    list.end_attempt(1_000);
    assert!(list.may_ask(0) && !list.tell_of_attempt(9_999));
}

#[test]
fn a_page_without_news_moves_the_time_only() {
    let (_, list) = filled();
    let before = SyncState { synced_at: 0, ..list.state() };
    assert_eq!(feed("e1", false, (5, 5, 5), &[]).apply_to(&list, &list.state()), done(5));
    assert_eq!(SyncState { synced_at: 0, ..list.state() }, before);
    assert_eq!(list.state().synced_at, 100);
}

/// Many pages, many lists, any cut: the table holds what the feed said last.
#[test]
fn pages_of_any_size_add_up_to_the_whole_list() {
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..50 {
        let mut model: HashMap<String, (u64, &str)> = HashMap::new();
        for revision in 1..=60 {
            let state = if next(3) == 0 { "revoked" } else { "active" };
            model.insert(format!("key-{}", next(25)), (revision, state));
        }
        let mut rows: Vec<_> = model
            .iter()
            .map(|(name, (revision, state))| (name.as_str(), *revision, *state))
            .collect();
        rows.sort_by_key(|row| row.1);
        let (_, list) = new_list();
        let mut from = 0;
        while from < 60 || !list.state().ready {
            let to = (from + 1 + next(20)).min(60);
            let page: Vec<_> =
                rows.iter().copied().filter(|row| row.1 > from && row.1 <= to).collect();
            feed("e1", from == 0, (from, to, 60), &page).apply_to(&list, &list.state());
            from = to;
        }
        for (name, _, state) in rows {
            let expected = if state == "active" { State::Active } else { State::Revoked };
            assert_eq!(state_of(&list, name), Some(expected), "{name}");
        }
    }
}
