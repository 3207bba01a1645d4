//! Reads request bodies and query strings, member by member, so that a refusal can name the one at
//! fault. Strangers, doubles and wrong types are refused before anything is done.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use mpgate_contract::{ConsumerId, Environment};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::problem::{Problem, Reason};
use crate::model::Slice;
use crate::service::{Filter, Listing};
use crate::text::is_unseen;

/// A name for people.
pub(crate) const DISPLAY_NAME_CHARS_MAX: usize = 200;

/// A key's description.
pub(crate) const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// Items of one list answer.
const PAGE_SIZE_DEFAULT: u32 = 50;
const PAGE_SIZE_MAX: u32 = 1_000;

/// The members of a JSON object.
#[derive(Debug)]
pub(super) struct Members(BTreeMap<String, Value>);

impl Members {
    /// Refuses every member that is not one of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Problem::field(
                &clip(name),
                format!("This member is not known here; known are {}.", known.join(", ")),
            )),
        }
    }

    /// A string that may be absent.
    pub(super) fn text(&self, name: &str) -> Option<Result<String, Problem>> {
        let value = self.0.get(name)?;
        let wrong = || Problem::field(name, "This member is a string.");
        Some(value.as_str().map(str::to_owned).ok_or_else(wrong))
    }

    /// The same members in the same words, whatever their order was.
    pub(super) fn canonical(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// Whether the member is there, be it `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A member that may be absent or `null`.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).map_err(|detail| Problem::field(name, detail)),
        }
    }

    /// A member that must be there.
    pub(super) fn required<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<T, Problem> {
        self.optional(name, read)?
            .ok_or_else(|| Problem::field(name, format!("{name} is required.")))
    }

    /// A list of different strings that may be absent or `null`. It is never empty: an empty list
    /// reads as "nothing", and where lists restrict, no list means "everything".
    pub(super) fn list<T: PartialEq, E: ToString>(
        &self,
        name: &str,
        items_max: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Vec<T>>, Problem> {
        let strings = |value: &Value| {
            let items = value.as_array().ok_or("This member is a list of strings.")?;
            if items.is_empty() || items.len() > items_max {
                return Err(format!("Between 1 and {items_max} items; here are {}.", items.len()));
            }
            Ok(items.clone())
        };
        let Some(items) = self.optional(name, strings)? else { return Ok(None) };
        let mut read = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            let fault = |detail: String| Problem::field(&format!("{name}[{place}]"), detail);
            let item = item.as_str().ok_or_else(|| fault("An item is a string.".to_owned()))?;
            let item = parse(item).map_err(|error| fault(error.to_string()))?;
            if let Some(first) = read.iter().position(|seen| *seen == item) {
                return Err(fault(format!("It is there twice: it equals {name}[{first}].")));
            }
            read.push(item);
        }
        Ok(Some(read))
    }
}

/// Reads a string by the rule of its type.
pub(super) fn text<T, E: ToString>(
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> impl FnOnce(&Value) -> Result<T, String> {
    |value| {
        let text = value.as_str().ok_or("This member is a string.")?;
        parse(text).map_err(|error| error.to_string())
    }
}

/// Reads words for people: of limited length, and without characters that would move a terminal.
pub(super) fn words(chars_max: usize) -> impl FnOnce(&Value) -> Result<String, String> {
    move |value| {
        let text = value.as_str().ok_or("This member is a string.")?;
        expect_words(text, chars_max)?;
        Ok(text.to_owned())
    }
}

/// The rule of [`words`].
pub(crate) fn expect_words(text: &str, chars_max: usize) -> Result<(), String> {
    if text.chars().count() > chars_max {
        return Err(format!("At most {chars_max} characters."));
    }
    if text.chars().any(char::is_control) {
        return Err("No control characters.".to_owned());
    }
    if let Some(unseen) = text.chars().find(|char| is_unseen(*char)) {
        let code = u32::from(unseen);
        return Err(format!("No characters that are not seen: U+{code:04X} is one."));
    }
    Ok(())
}

/// Reads a duration as protobuf's JSON writes it: `604800s`.
pub(super) fn seconds(value: &Value) -> Result<i64, String> {
    const RULE: &str = "a duration is whole seconds and an s, like 604800s";
    let digits = value.as_str().and_then(|text| text.strip_suffix('s')).ok_or(RULE)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RULE.to_owned());
    }
    digits.parse().map_err(|_| RULE.to_owned())
}

/// Reads an environment.
pub(super) fn environment(word: &str) -> Result<Environment, &'static str> {
    crate::store::environment(word).ok_or("An environment is production, staging or development.")
}

/// Reads a consumer by its full name.
pub(super) fn consumer_name(text: &str) -> Result<ConsumerId, String> {
    let id = text.strip_prefix("measurementConsumers/");
    let id = id.ok_or("A consumer is named like measurementConsumers/acme.")?;
    ConsumerId::parse(id).map_err(|error| error.to_string())
}

/// Reads a truth.
pub(super) fn truth(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "This member is true or false.".to_owned())
}

/// Somebody else's text, short enough to be repeated in an answer.
fn clip(text: &str) -> String {
    text.chars().filter(|char| !is_unseen(*char)).take(64).collect()
}

impl<S: Send + Sync> FromRequest<S> for Members {
    type Rejection = axum::response::Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        if !is_json(request.headers()) {
            let detail = "Send the body as content-type: application/json.";
            return Err(Problem::new(Reason::UnsupportedMediaType, detail).into_response());
        }
        let body =
            Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        serde_json::from_slice(&body).map_err(|error: serde_json::Error| {
            // Where, and not the parser's own words: they repeat what was sent, and it may be a secret.
            let detail = format!(
                "The body is not one JSON object without repeated members (line {}, column {}).",
                error.line(),
                error.column()
            );
            Problem::new(Reason::InvalidArgument, detail).into_response()
        })
    }
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                out.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(de::Error::custom("a member is there twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The parameters of a query string.
#[derive(Debug)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Refuses every parameter that is not one of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) if known.is_empty() => {
                Err(Problem::field(&clip(name), "This method has no query parameters."))
            }
            Some(name) => Err(Problem::field(
                &clip(name),
                format!("This query parameter is not known here; known are {}.", known.join(", ")),
            )),
        }
    }

    /// The same parameters in the same words, whatever their order was; without the id that tells
    /// repeated requests.
    pub(super) fn canonical(&self) -> String {
        let told = self.0.iter().filter(|(name, _)| *name != "requestId");
        told.map(|(name, value)| format!("{name:?}={value:?}")).collect::<Vec<_>>().join("&")
    }

    /// A parameter as it came.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter by the rule of its type.
    pub(super) fn parse<T, E: ToString>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        self.get(name)
            .map(|text| parse(text).map_err(|error| Problem::field(name, error.to_string())))
            .transpose()
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.parse(name, |text| {
            // `u64::from_str` would take a plus sign.
            if text.bytes().all(|byte| byte.is_ascii_digit()) {
                text.parse().map_err(|_| "a whole number below 2^64")
            } else {
                Err("a whole number")
            }
        })
    }

    /// What every list takes (AIP-158, AIP-160): `pageSize`, `pageToken`, `showDeleted`, and `filter` over
    /// these members; and what this list takes beside.
    pub(super) fn listing(&self, members: &[&str], beside: &[&str]) -> Result<Listing, Problem> {
        self.only(&[&["pageSize", "pageToken", "showDeleted", "filter"], beside].concat())?;
        let size = match self.number("pageSize")? {
            None | Some(0) => PAGE_SIZE_DEFAULT,
            Some(size) => u32::try_from(size).unwrap_or(PAGE_SIZE_MAX).min(PAGE_SIZE_MAX),
        };
        let after = self.parse("pageToken", |text| match text {
            "" => Ok(0),
            _ if text.len() == 16 => u64::from_str_radix(text, 16).map_err(|_| PAGE_TOKEN_RULE),
            _ => Err(PAGE_TOKEN_RULE),
        })?;
        let show_deleted = self.parse("showDeleted", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("showDeleted is true or false"),
        })?;
        let filter = self.parse("filter", |text| Filter::parse(text, members))?;
        let slice = Slice {
            after: after.unwrap_or(0),
            limit: size,
            show_deleted: show_deleted.unwrap_or(false),
        };
        Ok(Listing { slice, filter: filter.unwrap_or_default() })
    }
}

const PAGE_TOKEN_RULE: &str = "pageToken is the nextPageToken of the page before";

/// The token that [`Parameters::listing`] reads; empty when there is no next page.
pub(super) fn page_token(next: Option<u64>) -> String {
    next.map(|after| format!("{after:016x}")).unwrap_or_default()
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(pairs) =
            Query::<Vec<(String, String)>>::from_request_parts(parts, state).await.map_err(
                |_| Problem::new(Reason::InvalidArgument, "The query string cannot be read."),
            )?;
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if parameters.contains_key(&name) {
                return Err(Problem::field(&clip(&name), "This query parameter is there twice."));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }
}
