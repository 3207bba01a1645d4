//! The query string: read in exactly one way, written anew.
//!
//! Reading follows the URL standard's `application/x-www-form-urlencoded` parser (`&` between pairs,
//! the first `=` inside one, `+` a space), but refuses a `%` without two hexadecimal digits, which
//! parsers disagree on. Writing percent-encodes all but RFC 3986's unreserved characters, so every
//! parser reads back what was judged.

use std::borrow::Cow;

/// More parameters than this are no Measurement Protocol request: the protocol has four.
pub(crate) const PAIRS_MAX: usize = 100;

/// A query that cannot be read in exactly one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// One parameter, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    pub(crate) name: Cow<'a, [u8]>,
    pub(crate) value: Cow<'a, [u8]>,
}

/// The parameters of a query, in order; empty ones (`&&`) are none.
pub(crate) fn pairs(query: &[u8]) -> impl Iterator<Item = Result<Pair<'_>, Unreadable>> {
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).enumerate().map(
        |(index, pair)| {
            if index >= PAIRS_MAX {
                return Err(Unreadable);
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            Ok(Pair {
                name: decode(halves.next().unwrap_or_default())?,
                value: decode(halves.next().unwrap_or_default())?,
            })
        },
    )
}

fn decode(text: &[u8]) -> Result<Cow<'_, [u8]>, Unreadable> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().copied().and_then(hex_digit).ok_or(Unreadable)?;
                let low = rest.next().copied().and_then(hex_digit).ok_or(Unreadable)?;
                (high << 4) | low
            }
            other => *other,
        });
    }
    Ok(Cow::Owned(out))
}

/// Decodes what is an escape and leaves the rest, as a liberal server does with a path.
pub(crate) fn decode_liberally(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                out.push((high << 4) | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => out.push(*first),
        }
    }
    out
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Appends `name=value`, with the separator it needs.
pub(crate) fn push_pair(query: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    query.push(if query.contains(&b'?') { b'&' } else { b'?' });
    encode(query, name);
    query.push(b'=');
    encode(query, value);
}

fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(*byte);
        } else {
            let digit = |half: u8| HEX.get(usize::from(half & 0xF)).copied().unwrap_or(b'0');
            out.extend([b'%', digit(byte >> 4), digit(*byte)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Owned = (Vec<u8>, Vec<u8>);

    fn read(query: &[u8]) -> Result<Vec<Owned>, Unreadable> {
        pairs(query)
            .map(|pair| pair.map(|pair| (pair.name.into_owned(), pair.value.into_owned())))
            .collect()
    }

    fn pair(name: &str, value: &str) -> Owned {
        (name.into(), value.into())
    }

    #[test]
    fn reads_as_the_url_standard_does() {
        for (query, expected) in [
            ("", vec![]),
            ("a=1", vec![pair("a", "1")]),
            ("a=1&b=2", vec![pair("a", "1"), pair("b", "2")]),
            ("&&a=1&", vec![pair("a", "1")]),
            ("a", vec![pair("a", "")]),
            ("=", vec![pair("", "")]),
            ("a=b=c", vec![pair("a", "b=c")]),
            ("a+b=c+d", vec![pair("a b", "c d")]),
            ("%61%3D=%26", vec![pair("a=", "&")]),
            ("a=1;b=2", vec![pair("a", "1;b=2")]),
            ("a=%e2%82%AC", vec![pair("a", "\u{20ac}")]),
        ] {
            assert_eq!(read(query.as_bytes()), Ok(expected), "{query}");
        }
    }

    #[test]
    fn a_broken_escape_has_no_reading() {
        for query in ["%", "a=%4", "a=%zz", "%=1", "a=%4g", "a=%%41"] {
            assert_eq!(read(query.as_bytes()), Err(Unreadable), "{query}");
        }
    }

    #[test]
    fn one_hundred_pairs_and_no_more() {
        assert_eq!(read("a=1&".repeat(100).as_bytes()).map(|pairs| pairs.len()), Ok(100));
        assert_eq!(read("a=1&".repeat(101).as_bytes()), Err(Unreadable));
    }

    #[test]
    fn what_is_written_is_read_back_whatever_the_bytes() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let mut path = b"/mp/collect".to_vec();
        push_pair(&mut path, b"first", &every_byte);
        push_pair(&mut path, &every_byte, b"second");
        let query = path.strip_prefix(b"/mp/collect?").expect("one question mark");
        assert!(query.iter().all(u8::is_ascii_graphic));
        assert_eq!(
            read(query),
            Ok(vec![(b"first".to_vec(), every_byte.clone()), (every_byte, b"second".to_vec())])
        );
    }
}
