//! What a liberal upstream could take for a path of the protocol.
//!
//! The gate itself knows two paths, exactly. Where it lets others pass unjudged, one that somebody
//! behind it reads as `/mp/collect` would be a way around it: in other case, decoded twice, with
//! parameters behind a semicolon, with a slash or a space too many.

use crate::query::decode_liberally;

/// Decoded more often than this, nobody knows what is meant.
const ENCODINGS_MAX: usize = 4;

/// Whether this path, read as liberally as any server reads, is one of the protocol's.
pub(crate) fn could_be_guarded(path: &[u8]) -> bool {
    let mut decoded = path.to_vec();
    for _ in 0..ENCODINGS_MAX {
        let next = decode_liberally(&decoded);
        if next == decoded {
            return is_guarded(&segments(&decoded, letters_of))
                || is_guarded(&segments(&decoded, letters_before_a_mark))
                || is_odd(&decoded) && is_guarded_so_far(&segments(&decoded, letters_of));
        }
        decoded = next;
    }
    true
}

fn is_guarded(segments: &[Vec<u8>]) -> bool {
    let after_debug = match segments {
        [debug, rest @ ..] if debug == b"debug" => rest,
        all => all,
    };
    matches!(after_debug, [mp, collect] if mp == b"mp" && collect == b"collect")
}

/// Bytes that some decoder turns into letters or slashes: IIS's `%u006d`, overlong or full-width UTF-8.
fn is_odd(path: &[u8]) -> bool {
    path.windows(2).any(|pair| pair.eq_ignore_ascii_case(b"%u")) || !path.is_ascii()
}

fn is_guarded_so_far(segments: &[Vec<u8>]) -> bool {
    segments.first().is_some_and(|first| {
        first == b"debug" || first.starts_with(b"mp") || first.starts_with(b"u")
    })
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
            "/100%",
            "/debugger/mp/collect",
        ] {
            assert!(!could_be_guarded(path.as_bytes()), "{path}");
        }
    }
}
