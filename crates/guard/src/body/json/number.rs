//! Numbers: their grammar, and whether a double holds them. Few are ever converted.

use super::{Ambiguity, Json, Stop};

/// Bytes of a number that a double holds for sure if it has no exponent: 10^200 is within its range.
const BYTES_SAFE: usize = 200;

impl<'de> Json<'de> {
    /// Reads a number of which the first byte was read.
    #[inline]
    pub(super) fn number(&mut self, first: u8) -> Result<&'de str, Stop> {
        let start = self.at.wrapping_sub(1);
        let mut end = self.at;
        if matches!(first, b'1'..=b'9') {
            end = after_digits(self.bytes(), end);
        } else {
            end = self.zero_or_negative(first)?;
        }
        if self.bytes().get(end) == Some(&b'.') {
            end = self.after_some_digits(end.wrapping_add(1))?;
        }
        if matches!(self.bytes().get(end), Some(b'e' | b'E'))
            || end.wrapping_sub(start) > BYTES_SAFE
        {
            return self.number_perhaps_out_of_range(start, end);
        }
        self.at = end;
        self.text.get(start..end).ok_or(Stop)
    }

    /// What comes behind the whole part of a number that begins with a zero or a minus.
    fn zero_or_negative(&mut self, first: u8) -> Result<usize, Stop> {
        let first = if first == b'-' { self.next() } else { Some(first) };
        match first {
            Some(b'0') if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) => Ok(self.at),
            Some(b'1'..=b'9') => Ok(after_digits(self.bytes(), self.at)),
            _ => Err(Stop),
        }
    }

    #[cold]
    fn number_perhaps_out_of_range(&mut self, start: usize, end: usize) -> Result<&'de str, Stop> {
        self.at = end;
        if let Some(b'e' | b'E') = self.peek() {
            self.at = self.at.wrapping_add(1);
            if let Some(b'+' | b'-') = self.peek() {
                self.at = self.at.wrapping_add(1);
            }
            self.at = self.after_some_digits(self.at)?;
        }
        let number = self.text.get(start..self.at).ok_or(Stop)?;
        if double(number).is_none() {
            return Err(self.stop(Ambiguity::NumberOutOfRange));
        }
        Ok(number)
    }

    /// Where digits end that begin at a place.
    #[inline]
    fn after_some_digits(&mut self, start: usize) -> Result<usize, Stop> {
        let end = after_digits(self.bytes(), start);
        if end == start {
            self.at = start;
            self.next();
            return Err(Stop);
        }
        Ok(end)
    }
}

#[inline]
fn after_digits(bytes: &[u8], start: usize) -> usize {
    let mut end = start;
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end = end.wrapping_add(1);
    }
    end
}

/// A JSON number as a double, if one holds it.
#[cold]
pub(in crate::body) fn double(number: &str) -> Option<f64> {
    serde_json::from_slice(number.as_bytes()).ok()
}
