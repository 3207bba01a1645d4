//! A query is read as a parser reads it that does one thing at a time.

use mpgate_contract::{Digest, Secret, SecretShape};
use mpgate_guard::{Claim, Request, Settings};

/// A name and a value, decoded.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Checks what holds for any query: the secret that is looked up is the one that is there.
///
/// # Panics
/// If it does not hold.
pub fn check(bytes: &[u8]) {
    let settings = Settings::parse(br#"{"gate":"g","control":{"cluster":"c"}}"#).expect("settings");
    let headers = [
        (":method".to_owned(), b"POST".to_vec()),
        (":path".to_owned(), [b"/mp/collect?", bytes].concat()),
    ];
    let claim = Claim::read(Request { headers: &headers }, &settings);
    assert_eq!(claim.digest().copied(), digest_in(bytes));
}

/// The digest of the one secret in a query, if there is one worth looking up.
fn digest_in(query: &[u8]) -> Option<Digest> {
    let pairs = pairs(query)?;
    let mut secrets = pairs.into_iter().filter(|(name, _)| name == b"api_secret");
    let (_, only) = secrets.next()?;
    if secrets.next().is_some() || only.is_empty() {
        return None;
    }
    let secret = Secret::new(only);
    (secret.shape() != SecretShape::Malformed).then(|| secret.digest())
}

/// All parameters; none if a percent sign lacks its digits, or if there are too many.
pub(crate) fn pairs(query: &[u8]) -> Option<Vec<Pair>> {
    let mut pairs = Vec::new();
    let mut pair = Pair::default();
    let mut in_value = false;
    let mut is_empty = true;
    let mut index = 0;
    while index <= query.len() {
        let byte = query.get(index).copied();
        index += 1;
        if byte.is_none() || byte == Some(b'&') {
            if !is_empty {
                pairs.push(core::mem::take(&mut pair));
            }
            in_value = false;
            is_empty = true;
            continue;
        }
        is_empty = false;
        let decoded = match byte {
            Some(b'=') if !in_value => {
                in_value = true;
                continue;
            }
            Some(b'+') => b' ',
            Some(b'%') => {
                let digits = core::str::from_utf8(query.get(index..index + 2)?).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                index += 2;
                u8::from_str_radix(digits, 16).ok()?
            }
            Some(other) => other,
            None => continue,
        };
        if in_value { pair.1.push(decoded) } else { pair.0.push(decoded) }
    }
    (pairs.len() <= 100).then_some(pairs)
}
