//! What a liberal upstream could take for a path of the protocol.
//!
//! The gate itself knows two paths, exactly. Where it lets others pass unjudged, one that somebody
//! behind it reads as `/mp/collect` would be a way around it: in other case, decoded twice, with
//! parameters behind a semicolon, with a slash or a space too many.

use self::fold::{WILD, fold};
use crate::query::decode_liberally;

mod fold;

/// The protocol's paths, in letters.
const GUARDED: [&[u8]; 2] = [b"mp/collect", b"debug/mp/collect"];

/// Decoded more often than this, nobody knows what is meant.
const ENCODINGS_MAX: usize = 4;

/// Whether this path, read as liberally as any server reads, is one of the protocol's.
pub(crate) fn could_be_guarded(path: &[u8]) -> bool {
    let mut decoded = path.to_vec();
    for _ in 0..ENCODINGS_MAX {
        let next = fold(&decode_liberally(&decoded));
        if next == decoded {
            return is_guarded(&segments(&decoded, letters_of))
                || is_guarded(&segments(&decoded, letters_before_a_mark))
                || is_wildly_guarded(&segments(&decoded, letters_and_wild));
        }
        decoded = next;
    }
    true
}

fn is_guarded(segments: &[Vec<u8>]) -> bool {
    let joined = segments.join(&b'/');
    GUARDED.contains(&joined.as_slice())
}

/// Whether wild characters, each read as up to two letters or slashes, make it one of the two.
fn is_wildly_guarded(segments: &[Vec<u8>]) -> bool {
    let joined = segments.join(&b'/');
    joined.contains(&WILD) && GUARDED.iter().any(|guarded| could_read(&joined, guarded))
}

/// Walks along `wanted` on all ways at once: bit n of `reached` says that its first n bytes are read.
fn could_read(path: &[u8], wanted: &[u8]) -> bool {
    let places = |byte: u8| {
        let bits = wanted.iter().rev();
        bits.fold(0_u32, |places, known| (places << 1) | u32::from(*known == byte))
    };
    let reached = path.iter().fold(1_u32, |reached, byte| match *byte {
        WILD => reached | (reached << 1) | (reached << 2),
        byte => (reached & places(byte)) << 1,
    });
    let end = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
    reached.checked_shr(end).is_some_and(|reached| reached & 1 == 1)
}

/// The path's segments: resolved, cut at parameters, read by `letters`; what serves them (`index.php`)
/// is none.
fn segments(path: &[u8], letters: fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#' | 0)).unwrap_or(path.len());
    let path = path.get(..end).unwrap_or_default();
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if name == b".." {
            segments.pop();
            continue;
        }
        let read = letters(name);
        if !read.is_empty() && !name.eq_ignore_ascii_case(b"index.php") {
            segments.push(read);
        }
    }
    segments
}

/// Letters and digits, in lower case, wherever they stand.
fn letters_of(name: &[u8]) -> Vec<u8> {
    name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// The same, and what may become letters.
fn letters_and_wild(name: &[u8]) -> Vec<u8> {
    let kept = name.iter().filter(|byte| byte.is_ascii_alphanumeric() || **byte == WILD);
    kept.map(u8::to_ascii_lowercase).collect()
}

/// Letters and digits up to the first mark: `collect.json` is `collect`.
fn letters_before_a_mark(name: &[u8]) -> Vec<u8> {
    name.iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes() {
        for path in [
            "/mp/collect",
            "/debug/mp/collect",
            "/MP/collect",
            "//mp//collect",
            "/mp/collect/",
            "/mp/./collect",
            "/x/../mp/collect",
            "/mp/%63ollect",
            "/mp/%2563ollect",
            "/mp%2fcollect",
            "/mp%252fcollect",
            "/mp\\collect",
            "/mp/collect;x",
            "/mp;x=1/collect",
            "/mp/collect%3bx",
            "/mp/collect%20",
            "/mp/collect%00",
            "/mp/collect%00x",
            "/mp/collect.",
            "/mp/collect%",
            "/mp/%collect",
            "/mp/collect&",
            "/mp/collect%3fa=b",
            "/mp/collect#x",
            "/x/%252e%252e/mp/collect",
            "mp/collect",
            "/Debug/MP/Collect;v=1",
            "/mp/collect%0d%0a",
            "/mp/collect.json",
            "/mp/collect/.json",
            "/mp/collect,x",
            "/mp/collect:x",
            "/mp/collect~x",
            "/index.php/mp/collect",
            "/mp/collect/index.php",
            "/%u006dp/collect",
            "/mp%C0%AFcollect",
            "/mp/coll%EF%BD%85ct",
            "/mp/collect%3A%3A$DATA",
            "/%u006d%u0070%u002fcollect",
            "/%25u006dp/collect",
            "/x/%u002e%u002e/mp/collect",
            "/ｍｐ/collect",
            "/x/．．/mp/collect",
            "/m%C0%B0/../mp/collect",
            "/m%C1%B0/collect",
            "/mp/colléct",
            "/mp/coll%E9ct",
            "/ḿṕ/ćollect",
            "/πp/collect",
            "/ⓜⓟ/ⓒⓞⓛⓛⓔⓒⓣ",
            "/mp/㏇llect",
            "/mp/collect日",
            // Nobody knows what this means.
            "/%25252525252541",
        ] {
            assert!(could_be_guarded(path.as_bytes()), "{path}");
        }
        assert!(could_be_guarded(b"/mp/collect\xff"));
    }

    #[test]
    fn others() {
        for path in [
            "/",
            "",
            "/mp",
            "/collect",
            "/g/collect",
            "/mp/collector",
            "/mp/collect/x",
            "/x/mp/collect",
            "/api/orders",
            "/mp/x/collect",
            "/debug/collect",
            "/mp/collect/../x",
            "/caf%C3%A9",
            "/users/é",
            "/users/%C3%A9",
            "/users/%E9",
            "/é",
            "/u/日本語",
            "/mp/日本語",
            "/mpé",
            "/mp3/été",
            "/debug/é",
            "/日本語の文書の一覧です",
            "/%users",
            "/users/%u00e9",
            "/unités/collection",
            "/100%",
            "/debugger/mp/collect",
        ] {
            assert!(!could_be_guarded(path.as_bytes()), "{path}");
        }
    }
}
