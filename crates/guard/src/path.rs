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
            return matches!(segments(&decoded).as_slice(), [mp, collect] if is(mp, collect))
                || matches!(segments(&decoded).as_slice(), [debug, mp, collect]
                    if debug == b"debug" && is(mp, collect));
        }
        decoded = next;
    }
    true
}

fn is(mp: &[u8], collect: &[u8]) -> bool {
    mp == b"mp" && collect == b"collect"
}

/// The path's segments: resolved, cut at parameters, in lower case, without anything but letters and
/// digits.
fn segments(path: &[u8]) -> Vec<Vec<u8>> {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#' | 0)).unwrap_or(path.len());
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in path
        .iter()
        .take(end)
        .copied()
        .collect::<Vec<u8>>()
        .split(|byte| matches!(byte, b'/' | b'\\'))
    {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if name == b".." {
            segments.pop();
            continue;
        }
        let letters: Vec<u8> = name
            .iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .map(u8::to_ascii_lowercase)
            .collect();
        if !letters.is_empty() {
            segments.push(letters);
        }
    }
    segments
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
