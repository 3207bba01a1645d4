//! Which names have series of their own: so many for as long as Envoy runs, and `other` for the rest.
//! Envoy never frees a series, so a name that had one keeps it, whatever becomes of its key.
//!
//! The names are kept in shared data, one a line, and only ever added to: a VM that is made anew finds
//! them there, and all VMs of an Envoy agree. A VM reads them when it meets a name that it does not know,
//! and not any more once there is no room.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use mpgate_contract::{OTHER, limits};

use crate::SharedData;
use crate::list::SWAPS_MAX;

/// Streams with series of their own: as many as a gateway has at one time.
pub const STREAM_LABELS_MAX: usize = limits::STREAMS_MAX;

/// Event names of grants with series of their own. The protocol's recommended names have theirs besides.
pub const EVENT_LABELS_MAX: usize = 200;

/// The names of one kind that have series of their own.
pub struct Labels<S> {
    shared: S,
    key: String,
    most: usize,
    known: RefCell<HashSet<String>>,
    is_full: Cell<bool>,
}

impl<S: SharedData> Labels<S> {
    /// The names of this kind (`senders`, say) at the gate of this name.
    pub fn new(shared: S, gate: &str, kind: &str, most: usize) -> Self {
        let key = format!("mpgate/labels/1/{gate}/{kind}");
        // Only the first VM of an Envoy finds it missing: Envoy configures it before it makes the others.
        if shared.get(&key).is_none() {
            shared.create(&key, &[]);
        }
        Self { shared, key, most, known: RefCell::default(), is_full: Cell::new(false) }
    }

    /// The label for this name: itself, or `other`.
    pub fn label<'a>(&self, name: &'a str) -> &'a str {
        if self.has(name) { name } else { OTHER }
    }

    fn has(&self, name: &str) -> bool {
        let mut known = self.known.borrow_mut();
        if known.contains(name) {
            return true;
        }
        if self.is_full.get() {
            return false;
        }
        for _ in 0..SWAPS_MAX {
            let Some((mut names, version)) = self.shared.get(&self.key) else {
                return false;
            };
            let text = core::str::from_utf8(&names).unwrap_or_default();
            known.extend(text.lines().map(str::to_owned));
            if known.contains(name) {
                return true;
            }
            if known.len() >= self.most {
                self.is_full.set(true);
                return false;
            }
            names.extend_from_slice(name.as_bytes());
            names.push(b'\n');
            if self.shared.swap(&self.key, &names, version).is_ok() {
                known.insert(name.to_owned());
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::tests::Memory;

    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn labels(memory: &Memory, most: usize) -> Labels<Memory> {
        Labels::new(memory.clone(), "gate", "senders", most)
    }

    #[test]
    fn the_first_names_keep_their_labels_in_every_vm_that_ever_is() {
        let memory = Memory::default();
        let first = labels(&memory, 3);
        assert_eq!(NAMES.map(|name| first.label(name)), ["a", "b", "c", "other", "other"]);
        // Another VM, and one that is made after a reload: the same names, whatever it meets first.
        for _ in 0..2 {
            let later = labels(&memory, 3);
            assert_eq!(
                ["e", "c", "d", "a"].map(|name| later.label(name)),
                ["other", "c", "other", "a"]
            );
        }
        // A larger bound has room; a smaller one takes nothing away.
        assert_eq!(NAMES.map(|name| labels(&memory, 4).label(name)), ["a", "b", "c", "d", "other"]);
        assert_eq!(NAMES.map(|name| labels(&memory, 1).label(name)), ["a", "b", "c", "d", "other"]);
        // Gates and kinds do not share.
        assert_eq!(Labels::new(memory.clone(), "other", "senders", 1).label("e"), "e");
        assert_eq!(Labels::new(memory, "gate", "streams", 1).label("e"), "e");
    }

    #[test]
    fn two_vms_that_add_at_once_stay_within_the_bound() {
        let memory = Memory::default();
        let (mine, theirs) = (labels(&memory, 2), labels(&memory, 2));
        assert_eq!(mine.label("a"), "a");
        // Between this VM's read and its write another one takes the last place.
        memory.interrupt_before_call(2, move || assert_eq!(theirs.label("b"), "b"));
        assert_eq!(mine.label("c"), "other");
        assert_eq!(mine.label("b"), "b");
        assert_eq!(labels(&memory, 2).label("c"), "other");
    }

    #[test]
    fn a_hundred_thousand_names_cost_no_read_once_there_is_no_room() {
        let memory = Memory::default();
        let labels = labels(&memory, 100);
        let mut seen = HashSet::new();
        for number in 0..100_000 {
            seen.insert(labels.label(&format!("sender-{number}")).to_owned());
        }
        assert_eq!(seen.len(), 101, "a hundred, and other");
        let calls = memory.calls();
        assert_eq!(labels.label("one-more"), "other");
        assert_eq!(labels.label("sender-99"), "sender-99");
        assert_eq!(memory.calls(), calls);
    }

    #[test]
    fn without_shared_data_everything_is_other() {
        struct Nothing;
        impl SharedData for Nothing {
            fn get(&self, _: &str) -> Option<(Vec<u8>, u32)> {
                None
            }
            fn create(&self, _: &str, _: &[u8]) {}
            fn swap(&self, _: &str, _: &[u8], _: u32) -> Result<(), crate::SwapError> {
                Err(crate::SwapError)
            }
            fn changes(&self) -> Option<u64> {
                None
            }
            fn note_change(&self) {}
        }
        assert_eq!(Labels::new(Nothing, "gate", "senders", 9).label("a"), "other");
    }
}
