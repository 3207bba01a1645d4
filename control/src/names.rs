//! Names that only control uses. Those shared with the gate are in `mpgate_contract`.

use core::fmt;

use crate::model::Role;

/// A principal's id, the `{principal}` of `principals/{principal}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrincipalId(String);

/// A text that is no principal's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrincipalIdError;

impl PrincipalId {
    /// A principal is a line in lists and logs, like a consumer's id.
    pub const BYTES_MAX: usize = 63;

    /// Reads an id.
    ///
    /// # Errors
    /// The rule that [`PrincipalIdError`] states is broken.
    pub fn parse(text: &str) -> Result<Self, PrincipalIdError> {
        let bytes = text.as_bytes();
        let fits = bytes.len() <= Self::BYTES_MAX
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.iter().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
            });
        if fits { Ok(Self(text.to_owned())) } else { Err(PrincipalIdError) }
    }

    /// The id of the first principal of a database.
    #[must_use]
    pub fn first_admin() -> Self {
        Self("admin".to_owned())
    }

    /// An id for a principal that nobody named: its role and 48 random bits.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn made_up(role: Role) -> Result<Self, getrandom::Error> {
        let mut random = [0; 6];
        getrandom::fill(&mut random)?;
        Ok(Self(format!("{}-{}", role.label(), hex::encode(random))))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for PrincipalIdError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(
            "a principal id is 1 to 63 characters: lower-case letters, digits, '-' or '_', a letter first",
        )
    }
}

impl core::error::Error for PrincipalIdError {}
