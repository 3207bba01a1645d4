//! What decoders make of `%u` and of bytes outside ASCII: letters, dots and slashes.
//!
//! IIS reads `%u006d`. Old decoders read overlong UTF-8, newer ones normalise full-width forms
//! (NFKC), and a code page without `é` puts an `e` in its place.

/// Stands for a character of which a decoder may make a letter or a slash, or two, or nothing.
pub(super) const WILD: u8 = 0xFF;

/// One round of decoding: what has one reading in ASCII becomes that, what may have one becomes
/// [`WILD`], and what has none (a Chinese character, say) becomes [`FOREIGN`].
pub(super) fn fold(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        let (character, length) = match (first, escaped(rest)) {
            (_, Some(code)) => (Some(code), ESCAPE_BYTES),
            (0..0x80, None) => {
                out.push(*first);
                rest = after;
                continue;
            }
            (_, None) => sequence(rest),
        };
        out.extend(character.map_or(Reading::Wild, reading).bytes());
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

/// Stands for what no decoder takes for a letter: some mark that means nothing in a path, so that a
/// second round leaves it alone.
const FOREIGN: u8 = b'~';

const ESCAPE_BYTES: usize = "%u006d".len();

/// What a decoder may make of one character.
enum Reading {
    Ascii([u8; 1]),
    TwoDots,
    Wild,
    Foreign,
}

impl Reading {
    const fn bytes(&self) -> &[u8] {
        match self {
            Self::Ascii(byte) => byte,
            Self::TwoDots => b"..",
            Self::Wild => &[WILD],
            Self::Foreign => &[FOREIGN],
        }
    }
}

/// The code of `%uXXXX` at the beginning.
fn escaped(text: &[u8]) -> Option<u32> {
    let (mark, digits) = text.get(..ESCAPE_BYTES)?.split_at_checked("%u".len())?;
    let digits = str::from_utf8(digits).ok()?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_escape = mark.eq_ignore_ascii_case(b"%u") && is_hex;
    is_escape.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// The code of the UTF-8 sequence at the beginning, overlong ones included, and its length; a byte that
/// begins none stands for itself and has no code.
fn sequence(text: &[u8]) -> (Option<u32>, usize) {
    let Some((first, after)) = text.split_first() else {
        return (None, 1);
    };
    let (bits, more) = match first {
        0xC0..=0xDF => (first & 0x1F, 1),
        0xE0..=0xEF => (first & 0x0F, 2),
        0xF0..=0xF7 => (first & 0x07, 3),
        _ => return (None, 1),
    };
    let Some(continued) = after.get(..more) else {
        return (None, 1);
    };
    let code = continued.iter().try_fold(u32::from(bits), |code, byte| {
        (byte & 0xC0 == 0x80).then(|| (code << 6) | u32::from(byte & 0x3F))
    });
    code.map_or((None, 1), |code| (Some(code), more.saturating_add(1)))
}

fn reading(code: u32) -> Reading {
    let ascii = match code {
        0..=0x7F => u8::try_from(code).ok(),
        // Full-width forms: each is its ASCII neighbour, moved.
        0xFF01..=0xFF5E => code.checked_sub(0xFEE0).and_then(|code| u8::try_from(code).ok()),
        0x2024 | 0xFE52 => Some(b'.'),
        0x2044 | 0x2215 | 0x29F8 => Some(b'/'),
        0x2216 | 0x29F5 | 0xFE68 => Some(b'\\'),
        _ => None,
    };
    match (ascii, code) {
        (Some(byte), _) => Reading::Ascii([byte]),
        (None, 0x2025) => Reading::TwoDots,
        (None, code) if is_like_a_letter(code) => Reading::Wild,
        _ => Reading::Foreign,
    }
}

/// The blocks of Unicode with characters that normalisation or a code page turns into ASCII letters.
fn is_like_a_letter(code: u32) -> bool {
    matches!(code,
        // Latin with marks, phonetic letters, modifiers, combining marks, Greek.
        0x80..=0x3FF
        | 0x1D00..=0x1EFF
        // Spaces and invisible characters, super- and subscripts, letterlike symbols, Roman numerals,
        // operators.
        | 0x2000..=0x22FF
        // Letters in circles and parentheses.
        | 0x2460..=0x24FF
        | 0x2C60..=0x2C7F
        // Squared units.
        | 0x3200..=0x33FF
        | 0xA720..=0xA7FF
        | 0xAB30..=0xAB6F
        // Surrogates: half of something that is not known here.
        | 0xD800..=0xDFFF
        // Ligatures; variation selectors and small forms; what else is full- or half-width.
        | 0xFB00..=0xFB06
        | 0xFE00..=0xFE6F
        | 0xFEFF..=0xFFFF
        // Mathematical letters, letters in boxes, tags.
        | 0x1_D400..=0x1_D7FF
        | 0x1_F100..=0x1_F1FF
        | 0xE_0000..=u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_one_reading_becomes_it() {
        for (path, read) in [
            ("/mp", "/mp"),
            ("/%u006d%U0070", "/mp"),
            ("/%u002e%u002e/x", "/../x"),
            ("/ｍｐ／x", "/mp/x"),
            ("/․․/‥/x", "/../../x"),
            ("/a∕b⁄c", "/a/b/c"),
            // No escapes.
            ("/%u00", "/%u00"),
            ("/%users", "/%users"),
            ("/%u+06d", "/%u+06d"),
        ] {
            assert_eq!(String::from_utf8_lossy(&fold(path.as_bytes())), read, "{path}");
        }
        for overlong in [&b"\xC0\xAF"[..], b"\xE0\x80\xAF", b"\xF0\x80\x80\xAF"] {
            assert_eq!(fold(overlong), b"/", "{overlong:?}");
        }
    }

    #[test]
    fn what_may_have_one_is_wild_and_the_rest_is_foreign() {
        for path in ["é", "ⓜ", "ᵐ", "ⅽ", "𝐦", "π", "℅", "\u{200B}", "%ud835"] {
            assert_eq!(fold(path.as_bytes()), [WILD], "{path}");
        }
        for path in ["日", "ж", "א", "ع", "😀", "한"] {
            assert_eq!(fold(path.as_bytes()), [FOREIGN], "{path}");
        }
        // Bytes that are no UTF-8 are looked at one by one.
        assert_eq!(fold(b"\xE9\xE9x"), [WILD, WILD, b'x']);
        assert_eq!(fold(b"\xE6\x97"), [WILD, WILD]);
    }
}
