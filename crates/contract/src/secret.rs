//! The one type that may hold a secret in clear, and the format of those we issue:
//! `mpg_{key id}_{secret}{checksum}`.
//!
//! The checksum tells a typing error from a forgery. It proves nothing: only the digest does.

use core::fmt;
use std::borrow::Cow;

use crate::{Digest, KeyId, base62, limits};

const PREFIX: &[u8] = b"mpg_";
const KEY_ID_CHARS: usize = 12;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// A secret in clear, its own or where a request has it. It cannot be printed, serialised, cloned or compared;
/// [`Secret::expose`] is the only way to its bytes.
pub struct Secret<'a>(Cow<'a, [u8]>);

/// What the bytes of a presented secret say by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretShape {
    /// One of ours, its checksum right.
    Issued(KeyId),
    /// Not our prefix: perhaps an adopted one.
    Foreign,
    /// Our prefix with another length, alphabet or checksum; or longer than any secret.
    Malformed,
}

impl<'a> Secret<'a> {
    /// Takes these bytes as a secret.
    #[must_use]
    pub fn new(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The door: the secret's bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The form in which it may be stored and compared.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// What the bytes say by themselves.
    #[must_use]
    pub fn shape(&self) -> SecretShape {
        if self.is_malformed() {
            return SecretShape::Malformed;
        }
        let id = issued_key_id(&self.0).and_then(|id| core::str::from_utf8(id).ok());
        id.and_then(|id| KeyId::parse(id).ok()).map_or(SecretShape::Foreign, SecretShape::Issued)
    }

    /// Whether the bytes are no secret: [`SecretShape::Malformed`], found out without a heap.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        let is_broken = self.0.starts_with(PREFIX) && issued_key_id(&self.0).is_none();
        is_broken || self.0.len() > limits::SECRET_BYTES_MAX
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

/// Makes a secret and its key id from 48 bytes of the operating system's generator: 32 for the
/// secret, 16 for the id.
#[must_use]
pub fn issue(random: &[u8; 48]) -> (KeyId, Secret<'static>) {
    let (secret_bits, id_bits) = random.split_at(32);
    let mut id = String::with_capacity(KEY_ID_CHARS);
    base62::push(&mut id, id_bits, KEY_ID_CHARS);
    let mut text = format!("mpg_{id}_");
    base62::push(&mut text, secret_bits, SECRET_CHARS);
    let checksum = crc32(text.as_bytes());
    text.extend(base62::six_digits(checksum).map(char::from));
    let Ok(key_id) = KeyId::parse(&id) else {
        unreachable!("base62::push writes 12 base62 characters")
    };
    (key_id, Secret::new(text.into_bytes()))
}

fn issued_key_id(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(PREFIX)?;
    let (id, rest) = rest.split_at_checked(KEY_ID_CHARS)?;
    let rest = rest.strip_prefix(b"_")?;
    let (secret, checksum) = rest.split_at_checked(SECRET_CHARS)?;
    let symbols = secret.iter().chain(checksum).copied().all(base62::is_symbol);
    if checksum.len() != CHECKSUM_CHARS || !symbols {
        return None;
    }
    let checked = bytes.strip_suffix(checksum)?;
    let is_right = base62::six_digits(crc32(checked)) == checksum;
    (is_right && id.iter().copied().all(base62::is_symbol)).then_some(id)
}

/// CRC-32/ISO-HDLC, four bits at a time: each request pays for it, and a dependency would be more than it.
fn crc32(bytes: &[u8]) -> u32 {
    const NIBBLES: [u32; 16] = [
        0x0000_0000,
        0x1DB7_1064,
        0x3B6E_20C8,
        0x26D9_30AC,
        0x76DC_4190,
        0x6B6B_51F4,
        0x4DB2_6158,
        0x5005_713C,
        0xEDB8_8320,
        0xF00F_9344,
        0xD6D6_A3E8,
        0xCB61_B38C,
        0x9B64_C2B0,
        0x86D3_D2D4,
        0xA00A_E278,
        0xBDBD_F21C,
    ];
    let step = |crc: u32| {
        let nibble = NIBBLES.get((crc & 0xF) as usize).copied().unwrap_or_default();
        (crc >> 4) ^ nibble
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| step(step(crc ^ u32::from(*byte))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secret: &Secret<'_>) -> String {
        String::from_utf8(secret.expose().to_vec()).expect("an issued secret is ASCII")
    }

    #[test]
    fn crc32_has_the_check_value_of_its_catalogue_entry() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn checksum_is_the_one_npm_and_github_use() {
        // The dummy token of secretlint's issue 200: 30 characters, then CRC-32 in base62.
        let mut checksum = String::new();
        base62::push(&mut checksum, &crc32(b"qkJaB6MffYVzZXWqmcoF49yrUxP3wf").to_be_bytes(), 6);
        assert_eq!(checksum, "0LsakP");
    }

    #[test]
    fn an_issued_secret_names_its_key() {
        let (id, secret) =
            issue(&core::array::from_fn(|index| u8::try_from(index).expect("48 indices")));
        let text = text(&secret);
        assert_eq!(text.len(), 66);
        assert!(text.starts_with(&format!("mpg_{id}_")));
        assert_eq!(secret.shape(), SecretShape::Issued(id));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let (_, secret) = issue(&[7; 48]);
        let good = text(&secret).into_bytes();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] = if bad[at] == b'a' { b'b' } else { b'a' };
            assert_ne!(
                Secret::new(bad).shape(),
                secret.shape(),
                "the character at {at} may be changed unnoticed"
            );
        }
    }

    #[test]
    fn shapes() {
        let (_, secret) = issue(&[7; 48]);
        let good = text(&secret);
        for (presented, expected) in [
            (good[..65].to_owned(), SecretShape::Malformed),
            (format!("{good}a"), SecretShape::Malformed),
            ("mpg_".to_owned(), SecretShape::Malformed),
            (good.replace("mpg_", "MPG_"), SecretShape::Foreign),
            ("ee4cHwjPQx-MBFTWVZAAaw".to_owned(), SecretShape::Foreign),
            ("x".repeat(limits::SECRET_BYTES_MAX), SecretShape::Foreign),
            ("x".repeat(limits::SECRET_BYTES_MAX + 1), SecretShape::Malformed),
        ] {
            assert_eq!(
                Secret::new(presented.clone().into_bytes()).shape(),
                expected,
                "{presented}"
            );
        }
    }

    #[test]
    fn debug_prints_the_type_and_nothing_else() {
        assert_eq!(format!("{:?}", Secret::new(&b"canary"[..])), "Secret");
    }
}
