//! The token that control is called with, and where it comes from. It is never an argument, and no
//! error repeats it.

use std::fs;
use std::path::Path;

use reqwest::header::HeaderValue;

use super::CliError;
use super::settings::{Origin, Settings, variable};

/// What every token of control begins with.
const PREFIX: &str = "mpt_";

/// A token as the header that carries it, and where it came from in words.
pub(super) struct Credential {
    pub(super) authorization: HeaderValue,
    pub(super) origin: String,
}

impl Credential {
    /// The token that flag, environment or configuration names.
    pub(super) fn find(settings: &Settings) -> Result<Self, CliError> {
        let flag = settings.token_file.as_ref().filter(|set| matches!(set.origin, Origin::Flag(_)));
        let of_environment = || {
            let token = variable("MPGATE_TOKEN")?;
            Some(Self::new(token.trim(), "MPGATE_TOKEN".to_owned()))
        };
        if flag.is_none()
            && let Some(found) = of_environment()
        {
            return found;
        }
        let Some(named) = &settings.token_file else {
            return Err(CliError::Usage(
                "no token; set MPGATE_TOKEN or MPGATE_TOKEN_FILE, name a file with --token-file, or write \
                 token_file into the configuration"
                    .to_owned(),
            ));
        };
        let origin = format!("{} ({})", named.value.display(), named.origin);
        Self::new(&read(&named.value, &origin)?, origin)
    }

    fn new(token: &str, origin: String) -> Result<Self, CliError> {
        let wrong = |what: &str| CliError::Usage(format!("the token of {origin} {what}"));
        if token.starts_with("mpg_") {
            // Not sent anywhere: it belongs to a sender, not to whoever answers here.
            return Err(wrong("is a sender's secret (mpg_...); control takes tokens (mpt_...)"));
        }
        if !token.starts_with(PREFIX) {
            return Err(wrong("is none: a token begins with mpt_"));
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| wrong("has characters that no token has"))?;
        authorization.set_sensitive(true);
        Ok(Self { authorization, origin })
    }
}

fn read(path: &Path, origin: &str) -> Result<String, CliError> {
    let text = fs::read_to_string(path).map_err(|error| {
        CliError::Usage(format!(
            "cannot read the token file {origin}: {error}; name another with --token-file"
        ))
    })?;
    match text.trim() {
        "" => Err(CliError::Usage(format!(
            "the token file {origin} is empty; was the command that wrote it interrupted? Name another with \
             --token-file"
        ))),
        token => Ok(token.to_owned()),
    }
}
