//! One bucket of the allowlist as it lies in shared data: bytes that several VMs read, merge and
//! swap, so that no order of theirs can undo a revocation.
//!
//! ```text
//! bucket = floor u32 | record*
//! record = digest [32] | generation u32 | revision u64 | state u8 | length u16 | body
//! ```
//! All numbers are little-endian. A *generation* counts the resets that this Envoy has seen, because
//! the names of two epochs cannot be compared. Nothing below the floor can be written any more.

use mpgate_contract::{Digest, State};

/// Buckets of the table, by the first 14 bits of a digest. At 100 000 keys one holds about six.
pub const BUCKETS: u16 = 16_384;

/// The bucket of a digest.
#[must_use]
pub fn bucket_of(digest: &Digest) -> u16 {
    let [first, second, ..] = *digest.as_bytes();
    u16::from_be_bytes([first, second]) >> 2
}

/// When something was true: the later stamp wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The reset it belongs to.
    pub generation: u32,
    /// The revision inside the epoch.
    pub revision: u64,
}

/// What a page says of one digest.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// Of a secret, or of a stream's id.
    pub digest: Digest,
    /// When.
    pub stamp: Stamp,
    /// In force, or why not.
    pub state: State,
    /// The grant or stream, as control wrote it.
    pub body: &'a [u8],
}

/// One record of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub(crate) digest: &'a [u8; 32],
    pub(crate) stamp: Stamp,
    pub(crate) state: State,
    pub(crate) body: &'a [u8],
}

/// Bytes that are not a bucket. Nobody but the gate writes them, so this is never expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// A bucket that was read. No bytes at all are an empty bucket.
#[derive(Clone, Copy)]
pub struct Bucket<'a> {
    floor: u32,
    records: &'a [u8],
}

impl<'a> Bucket<'a> {
    /// Reads the bucket's head.
    ///
    /// # Errors
    /// [`Corrupt`] if there are bytes, but too few for one.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        if bytes.is_empty() {
            return Ok(Self { floor: 0, records: bytes });
        }
        let mut rest = bytes;
        let floor = u32::from_le_bytes(*take(&mut rest)?);
        Ok(Self { floor, records: rest })
    }

    /// Its records, in no order.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'a>, Corrupt>> + use<'a> {
        let mut rest = self.records;
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = Record::read(&mut rest);
            if record.is_err() {
                rest = &[];
            }
            Some(record)
        })
    }

    /// How many of its records are in force.
    pub(crate) fn active(&self) -> u64 {
        let active = |record: &Result<Record<'_>, Corrupt>| {
            record.is_ok_and(|record| record.state == State::Active)
        };
        self.records().filter(active).count() as u64
    }

    /// The record of a digest. Compared in constant time, though an attacker who knows no preimage
    /// cannot steer a digest.
    ///
    /// # Errors
    /// [`Corrupt`] if the bucket is.
    pub fn find(&self, digest: &Digest) -> Result<Option<Record<'a>>, Corrupt> {
        let mut found = None;
        for record in self.records() {
            let record = record?;
            if digest.same_as(record.digest) {
                found = Some(record);
            }
        }
        Ok(found)
    }

    /// The bucket with these updates, or `None` if it has all of that already. Of two states of one
    /// digest the later stamp wins; an update below the floor is of a list that was swept.
    ///
    /// # Errors
    /// [`Corrupt`] if the bucket is.
    pub fn merge(&self, updates: &[Update<'_>]) -> Result<Option<Vec<u8>>, Corrupt> {
        let mut records = self.records().collect::<Result<Vec<_>, _>>()?;
        let mut changed = false;
        for update in updates.iter().filter(|update| update.stamp.generation >= self.floor) {
            let record = Record {
                digest: update.digest.as_bytes(),
                stamp: update.stamp,
                state: update.state,
                body: update.body,
            };
            match records.iter_mut().find(|known| known.digest == record.digest) {
                Some(known) if known.stamp >= record.stamp => {}
                Some(known) => {
                    *known = record;
                    changed = true;
                }
                None => {
                    records.push(record);
                    changed = true;
                }
            }
        }
        if changed { write(self.floor, &records).map(Some) } else { Ok(None) }
    }

    /// The bucket without what is older than `floor`, and closed to it; `None` if it is so already.
    ///
    /// # Errors
    /// [`Corrupt`] if the bucket is.
    pub fn sweep(&self, floor: u32) -> Result<Option<Vec<u8>>, Corrupt> {
        if self.floor >= floor {
            return Ok(None);
        }
        let records = self
            .records()
            .filter(|record| !matches!(record, Ok(record) if record.stamp.generation < floor))
            .collect::<Result<Vec<_>, _>>()?;
        write(floor, &records).map(Some)
    }
}

impl<'a> Record<'a> {
    fn read(rest: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let digest = take(rest)?;
        let generation = u32::from_le_bytes(*take(rest)?);
        let revision = u64::from_le_bytes(*take(rest)?);
        let state = match take::<1>(rest)? {
            [0] => State::Active,
            [1] => State::Revoked,
            [2] => State::Expired,
            _ => return Err(Corrupt),
        };
        let length = u16::from_le_bytes(*take(rest)?);
        let (body, after) = rest.split_at_checked(usize::from(length)).ok_or(Corrupt)?;
        *rest = after;
        Ok(Self { digest, stamp: Stamp { generation, revision }, state, body })
    }
}

fn write(floor: u32, records: &[Record<'_>]) -> Result<Vec<u8>, Corrupt> {
    let mut bytes = floor.to_le_bytes().to_vec();
    for record in records {
        bytes.extend(record.digest);
        bytes.extend(record.stamp.generation.to_le_bytes());
        bytes.extend(record.stamp.revision.to_le_bytes());
        bytes.push(match record.state {
            State::Active => 0,
            State::Revoked => 1,
            State::Expired => 2,
        });
        // The contract bounds a body far below this.
        bytes.extend(u16::try_from(record.body.len()).map_err(|_| Corrupt)?.to_le_bytes());
        bytes.extend(record.body);
    }
    Ok(bytes)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Corrupt> {
    let (head, after) = rest.split_first_chunk().ok_or(Corrupt)?;
    *rest = after;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(name: &str, generation: u32, revision: u64, state: State) -> Update<'_> {
        Update {
            digest: Digest::of(name.as_bytes()),
            stamp: Stamp { generation, revision },
            state,
            body: name.as_bytes(),
        }
    }

    fn merged(bytes: &[u8], updates: &[Update<'_>]) -> Vec<u8> {
        Bucket::read(bytes)
            .and_then(|bucket| bucket.merge(updates))
            .expect("a bucket")
            .unwrap_or(bytes.to_vec())
    }

    fn state_of(bytes: &[u8], name: &str) -> Option<State> {
        let bucket = Bucket::read(bytes).expect("a bucket");
        bucket.find(&Digest::of(name.as_bytes())).expect("a bucket").map(|record| record.state)
    }

    #[test]
    fn every_bucket_is_used_and_none_beyond() {
        let bucket = |first, second| {
            let mut bytes = [0; 32];
            (bytes[0], bytes[1]) = (first, second);
            bucket_of(&Digest::from_bytes(bytes))
        };
        assert_eq!((bucket(0, 0), bucket(0, 3), bucket(0, 4)), (0, 0, 1));
        assert_eq!(bucket(255, 255), BUCKETS - 1);
    }

    #[test]
    fn the_later_stamp_wins_in_any_order() {
        let created = update("a", 1, 5, State::Active);
        let revoked = update("a", 1, 6, State::Revoked);
        let next_life = update("a", 2, 1, State::Active);
        for order in [[created, revoked], [revoked, created]] {
            assert_eq!(state_of(&merged(&[], &order), "a"), Some(State::Revoked));
            let one_by_one = merged(&merged(&[], &order[..1]), &order[1..]);
            assert_eq!(state_of(&one_by_one, "a"), Some(State::Revoked));
        }
        assert_eq!(state_of(&merged(&[], &[next_life, revoked]), "a"), Some(State::Active));
    }

    #[test]
    fn an_update_already_there_changes_nothing() {
        let created = update("a", 1, 5, State::Active);
        let bytes = merged(&[], &[created]);
        assert_eq!(Bucket::read(&bytes).and_then(|bucket| bucket.merge(&[created])), Ok(None));
    }

    #[test]
    fn a_sweep_removes_the_old_generation_and_closes_it() {
        let old = update("old", 1, 9, State::Active);
        let new = update("new", 2, 1, State::Active);
        let bytes = merged(&[], &[old, new]);
        let swept = Bucket::read(&bytes)
            .and_then(|bucket| bucket.sweep(2))
            .expect("a bucket")
            .expect("a change");
        assert_eq!(state_of(&swept, "old"), None);
        assert_eq!(state_of(&swept, "new"), Some(State::Active));
        assert_eq!(Bucket::read(&swept).and_then(|bucket| bucket.merge(&[old])), Ok(None));
        assert_eq!(Bucket::read(&swept).and_then(|bucket| bucket.sweep(2)), Ok(None));
        assert_eq!(Bucket::read(&swept).and_then(|bucket| bucket.sweep(1)), Ok(None));
    }

    #[test]
    fn an_empty_bucket_is_closed_by_a_sweep_too() {
        let swept = Bucket::read(&[])
            .and_then(|bucket| bucket.sweep(2))
            .expect("a bucket")
            .expect("a change");
        assert_eq!(
            Bucket::read(&swept).and_then(|bucket| bucket.merge(&[update(
                "a",
                1,
                9,
                State::Active
            )])),
            Ok(None)
        );
        assert_eq!(
            state_of(&merged(&swept, &[update("a", 2, 1, State::Active)]), "a"),
            Some(State::Active)
        );
    }

    #[test]
    fn damaged_bytes_are_said_to_be_damaged() {
        let bytes =
            merged(&[], &[update("a", 1, 1, State::Active), update("b", 1, 2, State::Expired)]);
        let boundaries = [0, 4, 4 + 47 + 1, 4 + 2 * (47 + 1)];
        for cut in 0..=bytes.len() {
            let whole = Bucket::read(&bytes[..cut])
                .and_then(|bucket| bucket.records().collect::<Result<Vec<_>, _>>());
            assert_eq!(whole.is_ok(), boundaries.contains(&cut), "cut at {cut}");
        }
        let mut unknown_state = bytes.clone();
        unknown_state[4 + 44] = 9;
        let bucket = Bucket::read(&unknown_state).expect("a head");
        assert_eq!(bucket.find(&Digest::of(b"b")).err(), Some(Corrupt));
        assert_eq!(bucket.merge(&[update("c", 1, 3, State::Active)]).err(), Some(Corrupt));
    }
}
