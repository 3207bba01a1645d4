//! The path and query for the upstream, from what was judged and nothing else.

use core::fmt;

use crate::claim::{Endpoint, Part, SecretClaim, contains, is_lax_name};
use crate::policy::{CompiledStream, Upstream};
use crate::query::push_pair;

/// What a request is sent on to. It is written where it is used, as a request pays for each copy.
pub struct Target<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) stream: &'a CompiledStream,
    pub(crate) secret: &'a SecretClaim<'a>,
    /// What becomes of it: the stream's own rule, or less.
    pub(crate) upstream: &'a Upstream,
    /// The query whose other parameters go on too.
    pub(crate) others: Option<&'a [u8]>,
}

impl Target<'_> {
    /// Writes it, instead of what is there.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend(self.endpoint.path());
        let mut push = |name: &[u8], value: &[u8]| push_pair(out, name, value);
        push(self.stream.parameter.as_bytes(), self.stream.id.as_bytes());
        let SecretClaim::Presented(presented, _) = self.secret else {
            return;
        };
        match self.upstream {
            Upstream::Replace(Some(secret)) => push(b"api_secret", secret.expose()),
            Upstream::Keep => push(b"api_secret", presented.expose()),
            Upstream::Replace(None) | Upstream::None => {}
        }
        let repeats_the_secret = |text: &[u8]| contains(text, presented.expose());
        for part in Part::all(self.others.unwrap_or_default()).flatten() {
            if let Part::Other(pair) = part
                && !is_lax_name(&pair.name)
                && !repeats_the_secret(&pair.name)
                && !repeats_the_secret(&pair.value)
            {
                push(&pair.name, &pair.value);
            }
        }
    }

    /// It, in bytes of its own.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }
}

/// Without the secret that may be in it.
impl fmt::Debug for Target<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Target({})", self.stream.id)
    }
}
