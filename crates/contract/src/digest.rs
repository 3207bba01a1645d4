//! SHA-256 of a secret as it was presented: the only form in which a secret is stored.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; in text always 64 lower-case hexadecimal characters.
///
/// A fast hash is right here: an issued secret carries 256 random bits and a GA4 secret 122
/// (NIST SP 800-63B 5.1.2.2 asks for 112 before an unsalted hash will do).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Text that is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestError;

impl Digest {
    /// The digest of these bytes, exactly as presented: no trimming, no decoding.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest from its 32 raw bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lower-case hexadecimal characters.
    ///
    /// # Errors
    /// Another length, or a character outside `0-9a-f`: one digest has one spelling.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(DigestError);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError)?;
        Ok(Self(bytes))
    }

    /// Equality whose time does not depend on where the two differ.
    #[must_use]
    pub fn same_as(&self, other: &[u8; 32]) -> bool {
        let difference =
            self.0.iter().zip(other).fold(0_u8, |seen, (left, right)| seen | (left ^ right));
        core::hint::black_box(difference) == 0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Digest({self})")
    }
}

impl fmt::Display for DigestError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a digest is 64 lower-case hexadecimal characters")
    }
}

impl core::error::Error for DigestError {}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_hex(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_abc_is_the_one_of_fips_180() {
        assert_eq!(
            Digest::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn one_digest_has_one_spelling() {
        let digest = Digest::of(b"abc");
        assert_eq!(Digest::from_hex(&digest.to_string()), Ok(digest));
        assert_eq!(format!("{digest:?}"), format!("Digest({digest})"));
        assert!(DigestError.to_string().contains("64 lower-case hexadecimal"));
        for bad in ["", "ba78", &digest.to_string().to_uppercase(), &"g".repeat(64)] {
            assert_eq!(Digest::from_hex(bad), Err(DigestError), "{bad}");
        }
    }

    #[test]
    fn same_as_sees_each_bit() {
        let digest = Digest::of(b"abc");
        assert!(digest.same_as(digest.as_bytes()));
        for bit in 0..256 {
            let mut other = *digest.as_bytes();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!digest.same_as(&other), "bit {bit}");
            // The same difference in two bytes must not cancel out.
            other[(bit / 8 + 7) % 32] ^= 1 << (bit % 8);
            assert!(!digest.same_as(&other), "bit {bit}, twice");
        }
    }
}
