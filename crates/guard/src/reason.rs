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
    /// Different secrets in different places.
    ConflictingSecrets = "conflicting_secrets", Spoofed, 400, "Secrets in conflict",
        "The query and the headers carry different secrets. Send one.";
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
    /// A live secret that came from a browser: whoever opened the page has it.
    Exposed = "exposed", Spoofed, 403, "Secret exposed",
        "This request came from a web page, so its secret is known to everybody who opened the page. Rotate the key, and send from a backend.";
    /// The key may not be used from this network.
    SourceNotGranted = "source_not_granted", Spoofed, 403, "Source not granted",
        "This key may not be used from this network.";
    /// The client's certificate has none of the names the key asks for.
    CertificateNotGranted = "certificate_not_granted", Spoofed, 403, "Certificate not granted",
        "This key asks for a client certificate with a name that this connection does not have.";
    /// Neither `measurement_id` nor `firebase_app_id`.
    StreamMissing = "stream_missing", Spoofed, 400, "Stream missing",
        "Name the stream in measurement_id (web) or firebase_app_id (app).";
    /// More than one stream named.
    StreamRepeated = "stream_repeated", Spoofed, 400, "Stream repeated",
        "Name exactly one stream: one measurement_id or one firebase_app_id.";
    /// The key may not write this stream.
    StreamNotGranted = "stream_not_granted", Spoofed, 403, "Stream not granted",
        "This key may not write this stream.";
    /// The stream is of another environment than this gate serves.
    WrongEnvironment = "wrong_environment", Spoofed, 403, "Environment not served",
        "This stream belongs to another environment than this gateway serves.";
    /// An event whose name the grant does not cover.
    EventNotGranted = "event_not_granted", Spoofed, 403, "Event not granted",
        "This key may not send this event. Nothing of the request was forwarded.";
    /// A path outside the Measurement Protocol.
    UnknownPath = "unknown_path", Malformed, 404, "Path unknown",
        "This gateway serves /mp/collect and /debug/mp/collect.";
    /// Anything but POST.
    MethodNotAllowed = "method_not_allowed", Malformed, 405, "Method not allowed",
        "The Measurement Protocol takes POST requests only.";
    /// A query that cannot be read in exactly one way.
    BadQuery = "bad_query", Malformed, 400, "Query unreadable",
        "A percent sign in the query must be followed by two hexadecimal digits, and at most 100 parameters may be sent.";
    /// A body that has no single reading.
    BodyUnreadable = "body_unreadable", Malformed, 400, "Body unreadable",
        "The body cannot be read in exactly one way.";
    /// A body over 130 000 bytes.
    BodyTooLarge = "body_too_large", Malformed, 413, "Body too large",
        "A body may have 130000 bytes at most.";
    /// A body whose content is encoded.
    ContentEncoded = "content_encoded", Malformed, 415, "Content encoded",
        "Send the body as it is, without a content-encoding.";
    /// A body that breaks a rule of the protocol.
    ProtocolViolation = "protocol_violation", Malformed, 422, "Protocol rules violated",
        "The body breaks rules of the Measurement Protocol.";
    /// No allowlist has arrived yet.
    NoList = "no_list", Unverified, 503, "Allowlist not loaded",
        "This gateway has no allowlist yet. Try again shortly.";
    /// Control has not been heard of for too long.
    ListStale = "list_stale", Unverified, 503, "Allowlist too old",
        "This gateway has had no news of its allowlist for too long. Try again later; its operator has been told.";
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
                Class::Malformed => matches!(reason.status(), 400 | 404 | 405 | 413 | 415 | 422),
                Class::Unverified => reason.status() == 503,
            };
            assert!(fits, "{}", reason.label());
        }
    }
}
