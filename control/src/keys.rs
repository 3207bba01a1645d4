//! Issuing secrets: from the operating system's random generator to a digest that may be stored.
//! The only room where a secret is in clear; it leaves once, towards whoever asked for it.

use std::io;
use std::path::Path;

use mpgate_contract::{Digest, KeyId, Secret, issue};
use serde::{Serialize, Serializer};

use crate::model::TokenId;
use crate::private_file;

/// What a control token starts with, so that scanners and people know it.
const TOKEN_PREFIX: &str = "mpt_";

/// Bytes of randomness in a token.
const TOKEN_RANDOM_BYTES: usize = 32;

/// Nothing longer is hashed in the search for a principal.
pub const TOKEN_BYTES_MAX: usize = 256;

/// A secret on its one way out: serialised into the answer that creates it, or written to a terminal
/// or a private file. It is issued by us, so it is ASCII.
pub struct Shown(Secret<'static>);

/// A new API key's id, the digest to store, and the secret to show once.
pub struct IssuedKey {
    /// Public.
    pub id: KeyId,
    /// To store.
    pub digest: Digest,
    /// To show.
    pub secret: Shown,
}

/// A new control token: the digest to store, and the token to show once.
pub struct IssuedToken {
    /// To store.
    pub digest: Digest,
    /// To show.
    pub token: Shown,
}

/// Makes an API key.
///
/// # Errors
/// The operating system has no random bytes.
pub fn issue_key() -> Result<IssuedKey, getrandom::Error> {
    let mut random = [0; 48];
    getrandom::fill(&mut random)?;
    let (id, secret) = issue(&random);
    Ok(IssuedKey { id, digest: secret.digest(), secret: Shown(secret) })
}

/// An id for a key whose secret somebody else made.
///
/// # Errors
/// The operating system has no random bytes.
pub fn issue_key_id() -> Result<KeyId, getrandom::Error> {
    Ok(issue_key()?.id)
}

/// An id for a token.
///
/// # Errors
/// The operating system has no random bytes.
pub fn issue_token_id() -> Result<TokenId, getrandom::Error> {
    let mut random = [0; 6];
    getrandom::fill(&mut random)?;
    Ok(TokenId::new(random))
}

/// How hard a secret is to guess, in bits, going by its own bytes alone: its length times the entropy of
/// their frequencies (Shannon). Random text comes out a little too low, words and repetitions too high;
/// it is a floor against mistakes, not a proof.
#[must_use]
pub fn entropy_bits(secret: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in secret {
        counts[usize::from(*byte)] += 1;
    }
    let length = f64::from(u32::try_from(secret.len()).unwrap_or(u32::MAX));
    let of_each = counts.iter().filter(|count| **count > 0).map(|count| {
        let share = f64::from(*count) / length;
        -share * share.log2()
    });
    length * of_each.sum::<f64>()
}

/// Makes a control token.
///
/// # Errors
/// The operating system has no random bytes.
pub fn issue_token() -> Result<IssuedToken, getrandom::Error> {
    let mut random = [0; TOKEN_RANDOM_BYTES];
    getrandom::fill(&mut random)?;
    let token = Secret::new(format!("{TOKEN_PREFIX}{}", hex::encode(random)).into_bytes());
    Ok(IssuedToken { digest: token.digest(), token: Shown(token) })
}

/// The digest under which a presented token would be stored, if it can be one.
#[must_use]
pub fn presented_token_digest(token: &[u8]) -> Option<Digest> {
    let fits = token.starts_with(TOKEN_PREFIX.as_bytes()) && token.len() <= TOKEN_BYTES_MAX;
    fits.then(|| Digest::of(token))
}

impl Shown {
    /// Writes it to a new file of mode 0600, without a newline: what reads it needs no trimming.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create_file(&self, path: &Path) -> io::Result<()> {
        private_file::create(path, self.0.expose())
    }

    /// Writes it and a newline to a terminal.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    pub fn write_line(&self, out: &mut impl io::Write) -> io::Result<()> {
        out.write_all(self.0.expose())?;
        out.write_all(b"\n")
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0.expose()))
    }
}

#[cfg(test)]
mod tests {
    use mpgate_contract::SecretShape;

    use super::*;

    #[test]
    fn an_issued_key_is_what_the_gate_will_compute() {
        let key = issue_key().expect("random bytes");
        assert_eq!(key.secret.0.shape(), SecretShape::Issued(key.id));
        assert_eq!(key.secret.0.digest(), key.digest);
    }

    #[test]
    fn a_token_is_found_by_its_digest() {
        let issued = issue_token().expect("random bytes");
        assert_eq!(presented_token_digest(issued.token.0.expose()), Some(issued.digest));
        assert_eq!(issued.token.0.expose().len(), 4 + 64);
        assert_eq!(presented_token_digest(b"mpg_abc"), None);
        let long = format!("mpt_{}", "a".repeat(TOKEN_BYTES_MAX));
        assert_eq!(presented_token_digest(long.as_bytes()), None);
    }

    #[test]
    fn entropy_tells_made_up_from_random() {
        for (secret, enough) in [
            ("", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("correcthorse", false),
            ("hunter2hunter2hunter2", false),
            ("Kd9fZ-3nQ_x8WbT1yVr0Lg", true),
            ("abcdefghijklmnopqrstuvwxyz", true),
        ] {
            assert_eq!(entropy_bits(secret.as_bytes()) >= 70.0, enough, "{secret}");
        }
    }

    #[test]
    fn no_two_are_alike() {
        let seen: std::collections::HashSet<_> =
            (0..100).map(|_| issue_key().expect("random bytes").digest).collect();
        assert_eq!(seen.len(), 100);
    }
}
