//! The trace id of W3C Trace Context, for the access log. Only what is nothing else passes: 32
//! hexadecimal digits in a header of the right form.

/// The trace id of a `traceparent` (W3C Trace Context, 3.2), if it is one.
pub(crate) fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(traceparent).ok()?;
    let mut fields = text.split('-');
    let (version, id) = (fields.next()?, fields.next()?);
    let (parent, flags) = (fields.next()?, fields.next()?);
    // A later version may append fields.
    let is_whole = version != "ff" && (version != "00" || fields.next().is_none());
    let is_formed = is_hex(version, 2) && is_hex(id, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    let is_id = |id: &str| id.bytes().any(|byte| byte != b'0');
    (is_whole && is_formed && is_id(id) && is_id(parent)).then_some(id)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trace_id_is_one() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, is_one) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("4bf92f3577b34da6a3ce929d0e0e4736", false),
            ("", false),
        ] {
            assert_eq!(trace_id(text.as_bytes()), is_one.then_some(id), "{text}");
        }
        assert_eq!(trace_id(b"00-\xff"), None);
    }
}
