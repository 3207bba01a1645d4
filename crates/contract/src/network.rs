//! Where a key may be used from.

use core::fmt;
use core::net::IpAddr;

use crate::NameError;
use crate::text::serde_as_text;

/// A network in CIDR notation (RFC 4632, RFC 4291): `203.0.113.0/24`, `2001:db8::/32`. A single
/// address is the network of that address. An IPv4-mapped IPv6 address (`::ffff:203.0.113.7`) is the
/// IPv4 address it holds, in a network as in a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    prefix_bits: u8,
}

const MALFORMED: NameError =
    NameError("a network is an address and a prefix length: 203.0.113.0/24 or 2001:db8::/32");
const HOST_BITS: NameError = NameError(
    "a network's address has no bits set behind its prefix: 203.0.113.0/24, not 203.0.113.7/24",
);

impl Network {
    /// Reads a network.
    ///
    /// # Errors
    /// It is none, or has bits set behind its prefix.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let written: IpAddr = address.parse().map_err(|_| MALFORMED)?;
        let first = written.to_canonical();
        let (longest, mapped_bits) = match (written, first) {
            (_, IpAddr::V6(_)) => (128, 0),
            (IpAddr::V6(_), IpAddr::V4(_)) => (32, 96),
            (IpAddr::V4(_), IpAddr::V4(_)) => (32, 0),
        };
        let prefix_bits = match prefix {
            None => longest,
            Some(digits) => decimal(digits)?.checked_sub(mapped_bits).ok_or(MALFORMED)?,
        };
        if prefix_bits > longest {
            return Err(MALFORMED);
        }
        let network = Self { first, prefix_bits };
        if network.behind_prefix(first) == 0 { Ok(network) } else { Err(HOST_BITS) }
    }

    /// Whether this address is in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.first.is_ipv4() == address.is_ipv4()
            && bits(address) ^ self.behind_prefix(address) == bits(self.first)
    }

    /// The bits of an address of this family that the prefix leaves free.
    fn behind_prefix(&self, address: IpAddr) -> u128 {
        let free = if address.is_ipv4() { 32_u32 } else { 128 };
        let free = free.saturating_sub(u32::from(self.prefix_bits));
        let kept = u128::MAX.checked_shl(free).unwrap_or(0);
        bits(address) & !kept
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// One to three digits, no sign, no leading zero.
fn decimal(digits: &str) -> Result<u8, NameError> {
    let canonical =
        digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if canonical { digits.parse().map_err(|_| MALFORMED) } else { Err(MALFORMED) }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.first, self.prefix_bits)
    }
}

serde_as_text!(Network);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_one_canonical_spelling() {
        for (written, canonical) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ] {
            let network = Network::parse(written).expect(written);
            assert_eq!(network.to_string(), canonical);
            assert_eq!(Network::parse(canonical), Ok(network));
        }
    }

    #[test]
    fn what_is_no_network() {
        for bad in [
            "",
            "/",
            "203.0.113.0/",
            "203.0.113.0/33",
            "203.0.113.0/-1",
            "203.0.113.0/+8",
            "203.0.113.0/08",
            "203.0.113/24",
            "203.0.113.0/24/1",
            "2001:db8::/129",
            "::ffff:203.0.113.0/24",
            "localhost",
            "1.2.3.4 /32",
        ] {
            assert_eq!(Network::parse(bad), Err(MALFORMED), "{bad}");
        }
        for bad in ["203.0.113.7/24", "203.0.113.128/24", "2001:db8::1/32", "0.0.0.1/0"] {
            assert_eq!(Network::parse(bad), Err(HOST_BITS), "{bad}");
        }
    }

    #[test]
    fn membership() {
        for (network, address, inside) in [
            ("203.0.113.0/24", "203.0.113.0", true),
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("203.0.113.0/24", "203.0.112.255", false),
            ("203.0.113.0/24", "::ffff:203.0.113.9", true),
            ("203.0.113.0/24", "::203.0.113.9", false),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.6", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("::ffff:10.0.0.0/104", "10.255.0.1", true),
        ] {
            let parsed = Network::parse(network).expect(network);
            assert_eq!(
                parsed.contains(address.parse().expect(address)),
                inside,
                "{network} {address}"
            );
        }
    }
}
