//! The names both sides use. Each is parsed once; what holds one is known to be well formed.

use core::fmt;

use crate::text::serde_as_text;
use crate::{OTHER, limits};

/// What metrics call the sender of a request that presents no known key, and a stream that is not on the list.
pub const UNKNOWN: &str = "unknown";

/// Why a text is not a name: says the rule, so that it can be shown to the person who typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError(pub(crate) &'static str);

impl fmt::Display for NameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl core::error::Error for NameError {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Reads a name.
            ///
            /// # Errors
            /// The text breaks the rule that the error states.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let check: fn(&[u8]) -> bool = $check;
                if check(text.as_bytes()) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError($rule))
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        serde_as_text!($name);
    };
}

name!(
    /// A sender (`billing`, `crm`): the label that metrics carry and the value of `x-mpgate-sender`.
    ///
    /// Control refuses new senders of the names that metrics use for others ([`Self::is_reserved`]). One that
    /// is there already stays, and shares their series.
    SenderName,
    "a sender is 1 to 63 characters: lower-case letters, digits, '-' or '_', a letter first",
    |text| label(text, limits::SENDER_BYTES_MAX)
);

name!(
    /// A measurement consumer's id, the `{mc}` of `measurementConsumers/{mc}`.
    ConsumerId,
    "a consumer id is 1 to 63 characters: lower-case letters, digits, '-' or '_', a letter first",
    |text| label(text, limits::CONSUMER_BYTES_MAX)
);

name!(
    /// A stream: a GA4 `measurement_id` (`G-…`) or a `firebase_app_id` (`1:123:web:abc`).
    StreamId,
    "a stream is a measurement_id (G- and upper-case letters or digits) or a firebase_app_id (1:123:web:abc)",
    |text| text.len() <= limits::STREAM_ID_BYTES_MAX && (is_measurement_id(text) || is_app_id(text))
);

name!(
    /// The id of an API key, 12 base62 characters.
    KeyId,
    "a key id is 12 letters or digits",
    |text| text.len() == 12 && text.iter().copied().all(crate::base62::is_symbol)
);

name!(
    /// The environment variable of the gate that holds an upstream's secret.
    EnvName,
    "an environment variable is 1 to 64 upper-case letters, digits or '_', a letter first",
    |text| text.len() <= limits::ENV_NAME_BYTES_MAX
        && text.first().is_some_and(u8::is_ascii_uppercase)
        && text
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
);

name!(
    /// A subject alternative name of a client's certificate: a URI (`spiffe://…`) or a DNS name,
    /// compared as it stands.
    CertificateName,
    "a certificate name is 1 to 255 printable ASCII characters without spaces",
    |text| (1..=limits::CERTIFICATE_NAME_BYTES_MAX).contains(&text.len())
        && text.iter().all(u8::is_ascii_graphic)
);

impl SenderName {
    /// Whether metrics use this name for others: [`UNKNOWN`] and [`OTHER`].
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        matches!(self.as_str(), OTHER | UNKNOWN)
    }
}

impl StreamId {
    /// The query parameter that names this stream.
    #[must_use]
    pub fn parameter(&self) -> &'static str {
        if self.0.starts_with("G-") { "measurement_id" } else { "firebase_app_id" }
    }
}

fn label(text: &[u8], bytes_max: usize) -> bool {
    text.len() <= bytes_max
        && text.first().is_some_and(u8::is_ascii_lowercase)
        && text.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        })
}

fn is_measurement_id(text: &[u8]) -> bool {
    text.strip_prefix(b"G-").is_some_and(|rest| {
        !rest.is_empty()
            && rest.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

/// The shape that Google's Event Builder checks: `[0-9]:[0-9]+:[a-zA-Z]+:[a-zA-Z0-9]+`.
fn is_app_id(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b':');
    let mut part = |check: fn(&u8) -> bool| {
        parts.next().is_some_and(|part| !part.is_empty() && part.iter().all(check))
    };
    part(u8::is_ascii_digit)
        && part(u8::is_ascii_digit)
        && part(u8::is_ascii_alphabetic)
        && part(u8::is_ascii_alphanumeric)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_short_lower_case_labels() {
        let longest = "a".repeat(63);
        for good in ["billing", "crm-2", "a", "a_b", &longest] {
            assert!(SenderName::parse(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", "Billing", "2crm", "-a", "a b", "a;b", "ä", &too_long] {
            assert!(SenderName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_names_that_metrics_use_for_others_are_reserved() {
        for (name, is_reserved) in
            [("other", true), ("unknown", true), ("others", false), ("other-2", false)]
        {
            let sender = SenderName::parse(name).expect("a sender");
            assert_eq!(sender.is_reserved(), is_reserved, "{name}");
        }
    }

    #[test]
    fn an_error_says_the_rule() {
        let error = SenderName::parse("Billing").expect_err("upper case");
        assert!(error.to_string().contains("lower-case letters"), "{error}");
    }

    #[test]
    fn streams_are_ga4_ids() {
        for good in ["G-ABC123", "1:1234567890:web:abc123DEF", "1:1:android:a"] {
            assert!(StreamId::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "G-",
            "g-ABC",
            "G-abc",
            "UA-1-1",
            "1:1:web",
            "1:1:web:a:b",
            "1::web:a",
            "1:1:w3b:a",
        ] {
            assert!(StreamId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stream_knows_its_parameter() {
        assert_eq!(StreamId::parse("G-A").map(|id| id.parameter()), Ok("measurement_id"));
        assert_eq!(StreamId::parse("1:1:web:a").map(|id| id.parameter()), Ok("firebase_app_id"));
    }

    #[test]
    fn certificate_names_are_printable() {
        let longest = "a".repeat(255);
        for good in ["spiffe://acme/billing", "billing.acme.example", &longest] {
            assert!(CertificateName::parse(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(256);
        for bad in ["", "a b", "ä", "a\n", &too_long] {
            assert!(CertificateName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn key_ids_and_environment_variables() {
        assert!(KeyId::parse("0Az0Az0Az0Az").is_ok());
        assert!(KeyId::parse("0Az0Az0Az0A").is_err());
        assert!(KeyId::parse("0Az0Az0Az0A_").is_err());
        assert!(EnvName::parse("GA4_SECRET").is_ok());
        for bad in ["", "ga4", "1A", "_A", "A-B", "PATH=1"] {
            assert!(EnvName::parse(bad).is_err(), "{bad}");
        }
    }
}
