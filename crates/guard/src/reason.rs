//! Every way to fail, one word each: metric label, log word, problem `type` and row in the docs.

/// What kind of failure a reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Not who it claims to be, or not allowed to.
    Spoofed,
    /// Not what the protocol allows.
    Malformed,
    /// The gate cannot know, or cannot do what is right; the sender is not at fault.
    Unverified,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $class:ident, $status:literal, $title:literal, $detail:literal;)*) => {
        /// Why a request is not genuine.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word for it.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// Its class.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// The HTTP status a refusal answers (RFC 9110).
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The problem's `title` (RFC 9457).
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The problem's `detail`: what was wrong and what to do.
            #[must_use]
            pub const fn detail(self) -> &'static str {
                match self { $(Self::$name => $detail,)* }
            }
        }
    };
}

reasons! {
    /// No `api_secret`, or an empty one.
    MissingSecret = "missing_secret", Spoofed, 401, "Secret missing",
        "Send the sender's own secret in the query parameter api_secret.";
    /// More than one `api_secret`.
    RepeatedSecret = "repeated_secret", Spoofed, 400, "Secret repeated",
        "Send api_secret exactly once.";
    /// It looks like one of ours and is not: a typing error, a cut copy.
    MalformedSecret = "malformed_secret", Spoofed, 401, "Secret malformed",
        "The secret is damaged: its length, alphabet or checksum is wrong. Copy it again, whole.";
    /// No key has this digest.
    UnknownSecret = "unknown_secret", Spoofed, 401, "Secret unknown",
        "No key has this secret. Ask the stream's owner for one.";
    /// The key was taken back.
    Revoked = "revoked", Spoofed, 403, "Key revoked",
        "This key was revoked. Ask the stream's owner for a new one.";
    /// The key is past its end.
    Expired = "expired", Spoofed, 403, "Key expired",
        "This key has expired. Ask the stream's owner for a new one.";
    /// The key's time has not come.
    NotYetValid = "not_yet_valid", Spoofed, 403, "Key not yet valid",
        "This key becomes valid later. Check the clock of this gateway if it should be valid now.";
    /// The grant needs a capability this gateway lacks.
    UnsupportedGrant = "unsupported_grant", Spoofed, 403, "Grant unsupported",
        "This gateway is too old to check all that this key's grant restricts. Its operator has to upgrade it.";
    /// Neither `measurement_id` nor `firebase_app_id`.
    StreamMissing = "stream_missing", Spoofed, 400, "Stream missing",
        "Name the stream in measurement_id (web) or firebase_app_id (app).";
    /// More than one stream named.
    StreamRepeated = "stream_repeated", Spoofed, 400, "Stream repeated",
        "Name exactly one stream: one measurement_id or one firebase_app_id.";
    /// The key may not write this stream.
    StreamNotGranted = "stream_not_granted", Spoofed, 403, "Stream not granted",
        "This key may not write this stream.";
    /// A path outside the Measurement Protocol.
    UnknownPath = "unknown_path", Malformed, 404, "Path unknown",
        "This gateway serves /mp/collect and /debug/mp/collect.";
    /// Anything but POST.
    MethodNotAllowed = "method_not_allowed", Malformed, 405, "Method not allowed",
        "The Measurement Protocol takes POST requests only.";
    /// A query that cannot be read in exactly one way.
    BadQuery = "bad_query", Malformed, 400, "Query unreadable",
        "A percent sign in the query must be followed by two hexadecimal digits, and at most 100 parameters may be sent.";
    /// No allowlist has arrived yet.
    NoList = "no_list", Unverified, 503, "Allowlist not loaded",
        "This gateway has no allowlist yet. Try again shortly.";
    /// The allowlist's own data is damaged.
    ListUnreadable = "list_unreadable", Unverified, 503, "Allowlist unreadable",
        "This gateway cannot read its allowlist. Its operator has to restart it.";
    /// The stream needs a capability this gateway lacks.
    UnsupportedStream = "unsupported_stream", Unverified, 503, "Stream unsupported",
        "This gateway is too old to serve this stream. Its operator has to upgrade it.";
    /// The gate does not hold the secret that this stream's upstream needs.
    UpstreamSecretMissing = "upstream_secret_missing", Unverified, 503, "Upstream secret missing",
        "This gateway does not hold the secret of this stream's upstream. Its operator has to set it.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_words_and_unique() {
        let mut seen = std::collections::HashSet::new();
        for reason in Reason::ALL {
            let label = reason.label();
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{label}");
            assert!(seen.insert(label), "{label} twice");
        }
    }

    #[test]
    fn statuses_fit_the_class() {
        for reason in Reason::ALL {
            let fits = match reason.class() {
                Class::Spoofed => matches!(reason.status(), 400 | 401 | 403),
                Class::Malformed => matches!(reason.status(), 400 | 404 | 405),
                Class::Unverified => reason.status() == 503,
            };
            assert!(fits, "{}", reason.label());
        }
    }
}
