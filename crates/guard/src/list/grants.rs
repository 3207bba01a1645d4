//! Grants that were read before: what a record says is read once, not at each request with its key.
//!
//! A grant is known by the very bytes that it was read from, which are looked up at each request. So a record that
//! changes is read anew, and nothing here can outlive a revocation.

use std::cell::RefCell;
use std::rc::Rc;

use mpgate_contract::Grant;

use crate::{Corrupt, Known, Record};

/// Places: the keys that a worker sees most have theirs. A key has one only, by its digest; two that want the same
/// take turns.
const PLACES: usize = 1_024;

#[derive(Default)]
pub(super) struct Grants(RefCell<Vec<Option<Entry>>>);

struct Entry {
    body: Vec<u8>,
    grant: Rc<Grant>,
}

impl Grants {
    /// What a record says.
    pub(super) fn known(&self, record: &Record<'_>) -> Result<Known, Corrupt> {
        let mut places = self.0.borrow_mut();
        if places.is_empty() {
            places.resize_with(PLACES, || None);
        }
        // The first two bytes of a digest say its bucket.
        let [_, _, first, second, ..] = *record.digest;
        let place = usize::from(u16::from_le_bytes([first, second])).checked_rem(PLACES);
        let entry = place.and_then(|place| places.get_mut(place)).ok_or(Corrupt)?;
        let grant = match entry {
            Some(entry) if entry.body == record.body => Rc::clone(&entry.grant),
            _ => {
                let grant = Rc::new(serde_json::from_slice(record.body).map_err(|_| Corrupt)?);
                *entry = Some(Entry { body: record.body.to_vec(), grant: Rc::clone(&grant) });
                grant
            }
        };
        Ok(Known::of(record.state, grant))
    }
}

#[cfg(test)]
mod tests {
    use mpgate_contract::State;

    use super::*;
    use crate::Stamp;

    #[test]
    fn a_key_has_the_grant_of_its_record_whatever_was_read_before() {
        let grants = Grants::default();
        let body = |sender: &str| {
            format!(r#"{{"key_id":"000000000001","sender":"{sender}","streams":["G-A"]}}"#)
        };
        // Two digests of one place.
        let one = [7; 32];
        let mut other = one;
        other[31] = 8;
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
            let known = grants.known(&Record { digest, stamp: Stamp::default(), state, body });
            let told = known.as_ref().ok().map(|known| (known.state, known.grant.sender.as_str()));
            assert_eq!(told, sender.map(|sender| (state, sender)));
        }
    }
}
