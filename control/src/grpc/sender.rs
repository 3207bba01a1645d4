//! The two things that a key of ours has and a request of the Cross-Media Measurement API does not name:
//! who sends with it, and in which environment.

use axum::http::HeaderMap;
use mpgate_contract::{Environment, SenderName};

use crate::problem::Problem;

/// The metadata that name them.
pub(super) const SENDER: &str = "x-mpgate-sender";
pub(super) const ENVIRONMENT: &str = "x-mpgate-environment";

/// The sender: the one that the metadata name, else one made of the nickname.
pub(super) fn sender(metadata: &HeaderMap, nickname: &str) -> Result<SenderName, Problem> {
    match single(metadata, SENDER)? {
        Some(name) => {
            SenderName::parse(name).map_err(|error| Problem::field(SENDER, error.to_string()))
        }
        None => SenderName::parse(&of_nickname(nickname)).map_err(|_| {
            let detail = format!(
                "No sender can be made of this nickname: it needs a letter of a to z, and at most 63 characters. \
                 Choose another, or name the sender in the metadata {SENDER}."
            );
            Problem::field("api_key.nickname", detail)
        }),
    }
}

/// The environment whose streams the key may write.
pub(super) fn environment(metadata: &HeaderMap) -> Result<Environment, Problem> {
    const ALL: [Environment; 3] =
        [Environment::Production, Environment::Staging, Environment::Development];
    let Some(word) = single(metadata, ENVIRONMENT)? else { return Ok(Environment::Production) };
    ALL.into_iter().find(|environment| environment.label() == word).ok_or_else(|| {
        Problem::field(ENVIRONMENT, "An environment is production, staging or development.")
    })
}

/// Lower case, runs of other characters as one hyphen, and no hyphen or digit before the first letter.
fn of_nickname(nickname: &str) -> String {
    let mut name = String::new();
    let mut gap = false;
    for char in nickname.chars().map(|char| char.to_ascii_lowercase()) {
        let fits = char.is_ascii_lowercase() || (char.is_ascii_digit() && !name.is_empty());
        if !fits {
            gap = true;
            continue;
        }
        if gap && !name.is_empty() {
            name.push('-');
        }
        gap = false;
        name.push(char);
    }
    name
}

fn single<'a>(metadata: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = metadata.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| Problem::field(name, "The value is no text."))
        }
        (Some(_), Some(_)) => Err(Problem::field(name, "It is there twice.")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_nickname_becomes_a_sender() {
        for (nickname, name) in [
            ("billing", Some("billing")),
            ("Billing & CRM (EU)", Some("billing-crm-eu")),
            ("  CRM  ", Some("crm")),
            ("crm_2", Some("crm-2")),
            ("2026 crm 7", Some("crm-7")),
            ("2026-", None),
            ("\u{e9}\u{e8}", None),
            ("Caf\u{e9} Z\u{fc}rich", Some("caf-z-rich")),
            ("", None),
        ] {
            let made = sender(&HeaderMap::new(), nickname).ok();
            assert_eq!(made.as_ref().map(SenderName::as_str), name, "{nickname}");
        }
        assert!(sender(&HeaderMap::new(), &"x".repeat(63)).is_ok());
        assert!(sender(&HeaderMap::new(), &"x".repeat(64)).is_err());
    }

    #[test]
    fn the_metadata_go_before_the_nickname() {
        let mut metadata = HeaderMap::new();
        metadata.insert(SENDER, HeaderValue::from_static("crm"));
        assert_eq!(sender(&metadata, "Billing").expect("a sender").as_str(), "crm");
        metadata.insert(SENDER, HeaderValue::from_static("CRM"));
        assert!(sender(&metadata, "Billing").is_err());
        metadata.insert(SENDER, HeaderValue::from_static("crm"));
        metadata.append(SENDER, HeaderValue::from_static("crm"));
        assert!(sender(&metadata, "Billing").is_err());
    }

    #[test]
    fn the_environment_is_production_unless_it_is_named() {
        let mut metadata = HeaderMap::new();
        assert_eq!(environment(&metadata).ok(), Some(Environment::Production));
        for (word, expected) in [
            ("production", Some(Environment::Production)),
            ("staging", Some(Environment::Staging)),
            ("development", Some(Environment::Development)),
            ("Staging", None),
            ("", None),
        ] {
            metadata.insert(ENVIRONMENT, HeaderValue::from_static(word));
            assert_eq!(environment(&metadata).ok(), expected, "{word}");
        }
    }
}
