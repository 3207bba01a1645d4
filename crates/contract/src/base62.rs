//! Fixed-width base62 (`0-9A-Za-z`), most significant digit first.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Appends the `digits` least significant base62 digits of the big-endian number `bytes`.
pub(crate) fn push(out: &mut String, bytes: &[u8], digits: usize) {
    let mut number = bytes.to_vec();
    let mut reversed = Vec::with_capacity(digits);
    for _ in 0..digits {
        reversed.push(symbol(divide_by_62(&mut number)));
    }
    out.extend(reversed.iter().rev().map(|&byte| char::from(byte)));
}

/// The six digits of a number of 32 bits, without a heap.
pub(crate) fn six_digits(number: u32) -> [u8; 6] {
    let (mut digits, mut rest) = ([b'0'; 6], number);
    for digit in digits.iter_mut().rev() {
        *digit = symbol((rest % 62).to_le_bytes()[0]);
        rest /= 62;
    }
    digits
}

pub(crate) fn is_symbol(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Divides the big-endian number in place and returns the remainder.
fn divide_by_62(number: &mut [u8]) -> u8 {
    let mut remainder = 0_u16;
    for byte in number {
        let value = (remainder << 8) | u16::from(*byte);
        // value < 62 * 256, so both halves fit a byte.
        *byte = (value / 62).to_le_bytes()[0];
        remainder = value % 62;
    }
    remainder.to_le_bytes()[0]
}

fn symbol(digit: u8) -> u8 {
    ALPHABET.get(usize::from(digit)).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(bytes: &[u8], digits: usize) -> String {
        let mut out = String::new();
        push(&mut out, bytes, digits);
        out
    }

    #[test]
    fn digits_are_most_significant_first_and_padded() {
        assert_eq!(encode(&[0], 3), "000");
        assert_eq!(encode(&[61], 3), "00z");
        assert_eq!(encode(&[62], 3), "010");
        assert_eq!(encode(&[0xff, 0xff], 3), "H31"); // 65535 = 17*62^2 + 3*62 + 1
    }

    #[test]
    fn six_digits_hold_32_bits() {
        for number in [0_u32, 61, 62, 65_535, u32::MAX] {
            let expected = encode(&number.to_be_bytes(), 6);
            assert_eq!(six_digits(number), expected.as_bytes(), "{number}");
        }
    }

    #[test]
    fn forty_three_digits_hold_256_bits() {
        // 62^43 > 2^256: the quotient left after 43 digits is zero, so nothing is cut off.
        let mut number = [0xff_u8; 32];
        for _ in 0..43 {
            divide_by_62(&mut number);
        }
        assert_eq!(number, [0; 32]);
    }
}
