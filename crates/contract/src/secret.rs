//! The one type that may hold a secret in clear, and the format of those we issue:
//! `mpg_{key id}_{secret}{checksum}`.
//!
//! The checksum tells a typing error from a forgery. It proves nothing: only the digest does.

use core::fmt;

use crate::{Digest, KeyId, base62, limits};

const PREFIX: &[u8] = b"mpg_";
const KEY_ID_CHARS: usize = 12;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// A secret in clear. It cannot be printed, serialised, cloned or compared; [`Secret::expose`] is
/// the only way to its bytes.
pub struct Secret(Vec<u8>);

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

impl Secret {
    /// Takes these bytes as a secret.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
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
        if self.0.len() > limits::SECRET_BYTES_MAX {
            return SecretShape::Malformed;
        }
        if !self.0.starts_with(PREFIX) {
            return SecretShape::Foreign;
        }
        issued_key_id(&self.0).map_or(SecretShape::Malformed, SecretShape::Issued)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

/// Makes a secret and its key id from 48 bytes of the operating system's generator: 32 for the
/// secret, 16 for the id.
#[must_use]
pub fn issue(random: &[u8; 48]) -> (KeyId, Secret) {
    let (secret_bits, id_bits) = random.split_at(32);
    let mut id = String::with_capacity(KEY_ID_CHARS);
    base62::push(&mut id, id_bits, KEY_ID_CHARS);
    let mut text = format!("mpg_{id}_");
    base62::push(&mut text, secret_bits, SECRET_CHARS);
    let checksum = crc32(text.as_bytes());
    base62::push(&mut text, &checksum.to_be_bytes(), CHECKSUM_CHARS);
    let Ok(key_id) = KeyId::parse(&id) else {
        unreachable!("base62::push writes 12 base62 characters")
    };
    (key_id, Secret(text.into_bytes()))
}

fn issued_key_id(bytes: &[u8]) -> Option<KeyId> {
    let rest = bytes.strip_prefix(PREFIX)?;
    let (id, rest) = rest.split_at_checked(KEY_ID_CHARS)?;
    let rest = rest.strip_prefix(b"_")?;
    let (secret, checksum) = rest.split_at_checked(SECRET_CHARS)?;
    let symbols = secret.iter().chain(checksum).copied().all(base62::is_symbol);
    if checksum.len() != CHECKSUM_CHARS || !symbols {
        return None;
    }
    let checked = bytes.strip_suffix(checksum)?;
    let mut expected = String::with_capacity(CHECKSUM_CHARS);
    base62::push(&mut expected, &crc32(checked).to_be_bytes(), CHECKSUM_CHARS);
    if expected.as_bytes() != checksum {
        return None;
    }
    KeyId::parse(core::str::from_utf8(id).ok()?).ok()
}

/// CRC-32/ISO-HDLC, bit by bit: a few dozen bytes do not want a table or a dependency.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secret: &Secret) -> String {
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
        assert_eq!(format!("{:?}", Secret::new(b"canary".to_vec())), "Secret");
    }
}
