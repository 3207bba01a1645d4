//! Strings: borrowed up to the first escape, copied beyond.

use std::borrow::Cow;

use super::{Ambiguity, Json, Stop};

const LANES: usize = size_of::<u64>();

impl<'de> Json<'de> {
    /// Reads a string of which the opening quote was read.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'de, str>, Stop> {
        let start = self.at;
        let end = special(self.bytes(), start);
        if self.bytes().get(end) == Some(&b'"') {
            self.at = end.saturating_add(1);
            return self.text.get(start..end).map(Cow::Borrowed).ok_or(Stop);
        }
        self.string_with_escapes().map(Cow::Owned)
    }

    #[cold]
    fn string_with_escapes(&mut self) -> Result<String, Stop> {
        let mut text = String::new();
        loop {
            let start = self.at;
            self.at = special(self.bytes(), start);
            text.push_str(self.text.get(start..self.at).ok_or(Stop)?);
            match self.next() {
                Some(b'"') => return Ok(text),
                Some(b'\\') => text.push(self.escape()?),
                _ => return Err(Stop),
            }
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<char, Stop> {
        Ok(match self.next() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(Stop),
        })
    }

    /// Reads what follows `\u`: a character, or the first half of a pair and all of the second.
    fn unicode(&mut self) -> Result<char, Stop> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first.into()).ok_or_else(|| self.stop(Ambiguity::LoneSurrogate));
        }
        for wanted in [b'\\', b'u'] {
            match self.next() {
                Some(next) if next == wanted => {}
                Some(_) => return Err(self.stop(Ambiguity::LoneSurrogate)),
                None => return Err(Stop),
            }
        }
        let second = self.hex()?;
        match char::decode_utf16([first, second]).next() {
            Some(Ok(joined)) => Ok(joined),
            _ => Err(self.stop(Ambiguity::LoneSurrogate)),
        }
    }

    /// Reads four hexadecimal digits.
    fn hex(&mut self) -> Result<u16, Stop> {
        let mut number = 0_u32;
        for _ in 0..4 {
            let digit = self.next().and_then(|digit| char::from(digit).to_digit(16));
            number = (number << 4) | digit.ok_or(Stop)?;
        }
        u16::try_from(number).map_err(|_| Stop)
    }
}

/// Where the first byte is, from a place on, that is not simply a string's: its end, an escape, or a
/// control character, which may not stand there.
#[inline]
fn special(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(Ok(word)) = bytes.get(at..at.wrapping_add(LANES)).map(<[u8; LANES]>::try_from) {
        let marks = marks(u64::from_le_bytes(word));
        if marks != 0 {
            return at.wrapping_add((marks.trailing_zeros() / u8::BITS) as usize);
        }
        at = at.wrapping_add(LANES);
    }
    special_at_end(bytes, at)
}

/// The same for the last bytes of a document.
#[cold]
fn special_at_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | ..b' ')) {
        at = at.wrapping_add(1);
    }
    at
}

/// Eight bytes at once: the lowest bit that is set is the highest of the first special byte. Those
/// above may be set by a borrow (Mycroft, 1987).
fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; LANES]);
    const SPACES: u64 = u64::from_le_bytes([b' '; LANES]);
    const QUOTES: u64 = u64::from_le_bytes([b'"'; LANES]);
    const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; LANES]);
    const HIGH: u64 = u64::from_le_bytes([0x80; LANES]);
    let (quote, backslash) = (word ^ QUOTES, word ^ BACKSLASHES);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    let control = word.wrapping_sub(SPACES) & !word;
    (quote | backslash | control) & HIGH
}
