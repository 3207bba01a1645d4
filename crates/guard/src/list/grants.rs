//! What was looked up before: a key that sends often is not fetched and read again at each of its requests.
//!
//! Two things keep a revocation from being missed. What is remembered holds only while nothing in the list has
//! changed, which every VM of the Envoy is asked in one number; and no longer than until the caller looks at the
//! list's state again, whatever that number says. After that the record is fetched, and its grant is known by
//! the very bytes that it was read from.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mpgate_contract::{Digest, Grant, State};

use crate::{Corrupt, Known, Record};

/// Places: the keys that a worker sees most have theirs. A key has one only, by its digest; two that want the same
/// take turns.
const PLACES: usize = 1_024;

#[derive(Default)]
pub(super) struct Grants {
    places: RefCell<Vec<Option<Entry>>>,
    looks: Cell<u64>,
}

struct Entry {
    digest: [u8; 32],
    body: Vec<u8>,
    state: State,
    grant: Rc<Grant>,
    seen: Option<Seen>,
}

/// When a record was in the list for certain.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// How often the list had changed, counted before the record was fetched.
    changes: u64,
    look: u64,
}

impl Grants {
    /// From here on every record is fetched before it is believed.
    pub(super) fn look_again(&self) {
        self.looks.set(self.looks.get().wrapping_add(1));
    }

    /// What is remembered of a digest, if it still holds.
    pub(super) fn remembered(&self, digest: &Digest, changes: u64) -> Option<Known> {
        let seen = Some(self.seen(changes));
        let places = self.places.borrow();
        let entry = places.get(place(digest.as_bytes()))?.as_ref()?;
        let holds = entry.seen == seen && entry.digest == *digest.as_bytes();
        holds.then(|| Known::of(entry.state, Rc::clone(&entry.grant)))
    }

    /// What a record says that was fetched after the list had changed so often; `None` where that is not known.
    pub(super) fn known(
        &self,
        record: &Record<'_>,
        changes: Option<u64>,
    ) -> Result<Known, Corrupt> {
        let mut places = self.places.borrow_mut();
        if places.is_empty() {
            places.resize_with(PLACES, || None);
        }
        let entry = places.get_mut(place(record.digest)).ok_or(Corrupt)?;
        let seen = changes.map(|changes| self.seen(changes));
        let digest = *record.digest;
        match entry {
            Some(entry) if entry.body == record.body => {
                (entry.digest, entry.state, entry.seen) = (digest, record.state, seen);
                Ok(Known::of(record.state, Rc::clone(&entry.grant)))
            }
            _ => {
                let grant = Rc::new(serde_json::from_slice(record.body).map_err(|_| Corrupt)?);
                let (body, state) = (record.body.to_vec(), record.state);
                *entry = Some(Entry { digest, body, state, grant: Rc::clone(&grant), seen });
                Ok(Known::of(state, grant))
            }
        }
    }

    fn seen(&self, changes: u64) -> Seen {
        Seen { changes, look: self.looks.get() }
    }
}

/// The place of a digest. Its first two bytes say its bucket.
fn place(digest: &[u8; 32]) -> usize {
    let [_, _, first, second, ..] = *digest;
    usize::from(u16::from_le_bytes([first, second])).checked_rem(PLACES).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stamp;

    const ONE: [u8; 32] = [7; 32];

    /// Another digest of the same place.
    fn other() -> [u8; 32] {
        let mut other = ONE;
        other[31] = 8;
        other
    }

    fn body(sender: &str) -> String {
        format!(r#"{{"key_id":"000000000001","sender":"{sender}","streams":["G-A"]}}"#)
    }

    fn fetched(grants: &Grants, digest: &[u8; 32], state: State, body: &str, changes: u64) -> bool {
        let record = Record { digest, stamp: Stamp::default(), state, body: body.as_bytes() };
        grants.known(&record, Some(changes)).is_ok()
    }

    #[test]
    fn a_key_has_the_grant_of_its_record_whatever_was_read_before() {
        let grants = Grants::default();
        let (one, other) = (ONE, other());
        for (digest, state, body, sender) in [
            (&one, State::Active, body("a"), Some("a")),
            (&one, State::Active, body("a"), Some("a")),
            (&one, State::Revoked, body("a"), Some("a")),
            (&one, State::Active, body("b"), Some("b")),
            (&other, State::Active, body("c"), Some("c")),
            (&one, State::Expired, body("b"), Some("b")),
            (&one, State::Active, body("A"), None),
            (&one, State::Active, body("b"), Some("b")),
            (&one, State::Active, String::new(), None),
        ] {
            let body = body.as_bytes();
            let record = Record { digest, stamp: Stamp::default(), state, body };
            let known = grants.known(&record, None);
            let told = known.as_ref().ok().map(|known| (known.state, known.grant.sender.as_str()));
            assert_eq!(told, sender.map(|sender| (state, sender)));
        }
    }

    #[test]
    fn what_is_remembered_holds_until_something_changes_or_another_look() {
        let grants = Grants::default();
        let told = |digest, changes| {
            let known = grants.remembered(&Digest::from_bytes(digest), changes);
            known.map(|known| (known.state, known.grant.sender.as_str().to_owned()))
        };
        let active = |sender: &str| Some((State::Active, sender.to_owned()));
        assert_eq!(told(ONE, 0), None, "nothing was fetched");
        assert!(fetched(&grants, &ONE, State::Active, &body("a"), 5));
        assert_eq!(told(ONE, 5), active("a"));
        assert_eq!(told(ONE, 6), None, "something changed");
        assert_eq!(told(ONE, 4), None, "a count that went back says nothing");
        assert_eq!(told(other(), 5), None, "another key of the same place");
        assert!(fetched(&grants, &ONE, State::Revoked, &body("a"), 6));
        assert_eq!(told(ONE, 6), Some((State::Revoked, "a".to_owned())));
        assert!(fetched(&grants, &other(), State::Active, &body("a"), 6));
        assert_eq!(told(ONE, 6), None, "the same grant, another key");
        assert_eq!(told(other(), 6), active("a"));
        grants.look_again();
        assert_eq!(told(other(), 6), None, "looked again");
        let (body, state, stamp) = (body("a"), State::Active, Stamp::default());
        let record = Record { digest: &ONE, stamp, state, body: body.as_bytes() };
        assert!(grants.known(&record, None).is_ok());
        assert_eq!(told(ONE, 6), None, "nobody knows how often the list had changed");
    }
}
