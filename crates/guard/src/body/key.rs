//! A name as words: two names are told apart without a call, which in wasm costs more than the rest.

/// Bytes in a word.
const WORD: usize = size_of::<u64>();

/// A name's length, beginning and end. Of names that have at most 16 bytes it is all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    length: usize,
    head: u64,
    tail: u64,
}

impl Key {
    #[inline]
    pub(super) const fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let (head, tail) = match (bytes.first_chunk::<WORD>(), bytes.last_chunk::<WORD>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => short(bytes),
        };
        Self { length: bytes.len(), head, tail }
    }

    /// Whether names of this key are equal whenever their keys are.
    pub(super) const fn is_whole(self) -> bool {
        self.length <= 2 * WORD
    }

    /// The name's length in bytes.
    pub(super) const fn length(self) -> usize {
        self.length
    }
}

/// The words of a name that does not fill one: by halves, so that no byte is taken alone.
const fn short(bytes: &[u8]) -> (u64, u64) {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(head), Some(tail)) => {
            (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64)
        }
        _ => match *bytes {
            [a] => (a as u64, 0),
            [a, b] => (a as u64, b as u64),
            [a, b, c] => (a as u64, u16::from_le_bytes([b, c]) as u64),
            _ => (0, 0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_whole_names_differ_as_the_names_do() {
        let mut names = vec![String::new()];
        for length in 1..=16 {
            let name = "abcdefghijklmnop".get(..length).expect("ASCII").to_owned();
            for place in 0..length {
                let mut other = name.clone();
                other.replace_range(place..=place, "\0");
                names.push(other);
            }
            names.push(name);
        }
        for one in &names {
            assert!(Key::of(one).is_whole());
            for other in &names {
                assert_eq!(Key::of(one) == Key::of(other), one == other, "{one:?} {other:?}");
            }
        }
        assert!(!Key::of("abcdefghijklmnopq").is_whole());
    }
}
