//! What a denied request was about, in names: the route's template, and the ids of the path that can be ids. People paste
//! tokens into paths, and what is written here is never erased.

use axum::extract::{MatchedPath, RawPathParams, Request};
use mpgate_contract::{ConsumerId, KeyId, StreamId};

use super::observe::{known_method, route};
use crate::model::TokenId;
use crate::names::PrincipalId;

/// In the place of an id that cannot be one (AIP-159).
const ANY: &str = "-";

/// The method and the resource of a request.
pub(super) struct Asked {
    /// `POST /v1/principals/{principal}:rotate`.
    pub(super) method: String,
    /// `principals/edge-1`.
    pub(super) resource: String,
}

impl Asked {
    pub(super) fn of(request: &Request, parameters: &RawPathParams) -> Self {
        let template = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let method = format!("{} {}", known_method(request.method()), route(request));
        Self { method, resource: resource(template, |name| value_of(parameters, name)) }
    }
}

fn value_of<'a>(parameters: &'a RawPathParams, name: &str) -> Option<&'a str> {
    parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn resource<'a>(template: &'a str, given: impl Fn(&str) -> Option<&'a str>) -> String {
    let path = template.strip_prefix("/v1/").unwrap_or(template);
    let parts = path.split('/').map(|part| {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let Some(name) = name else { return before_verb(part) };
        given(name).and_then(|value| id(name, value)).unwrap_or(ANY)
    });
    parts.collect::<Vec<_>>().join("/")
}

/// A custom method stands behind a colon.
fn before_verb(part: &str) -> &str {
    part.split_once(':').map_or(part, |(resource, _)| resource)
}

/// The value of a parameter, if it can be an id of that kind.
fn id<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    let (value, is_id) = match name {
        // An id of a stream has colons of its own, and no custom method.
        "stream" => (value, StreamId::parse(value).is_ok()),
        "token" => (value, TokenId::parse(value).is_some()),
        _ => {
            let value = before_verb(value);
            let is_id = match name {
                "mc" => ConsumerId::parse(value).is_ok(),
                "key" => KeyId::parse(value).is_ok(),
                "principal" => PrincipalId::parse(value).is_ok(),
                _ => false,
            };
            (value, is_id)
        }
    };
    is_id.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_an_id_is_named() {
        let token = format!("mpt_{}", "a".repeat(64));
        let secret = format!("mpg_000000000000_{}", "b".repeat(49));
        let key = "measurementConsumers/acme/apiKeys/4fGk2mTQx9Za";
        for (template, given, expected) in [
            ("/v1/principals", vec![], "principals"),
            (
                "/v1/principals/{principal}",
                vec![("principal", "edge-1:rotate")],
                "principals/edge-1",
            ),
            ("/v1/principals/{principal}", vec![("principal", &*token)], "principals/-"),
            (
                "/v1/measurementConsumers/{mc}",
                vec![("mc", "acme:usage")],
                "measurementConsumers/acme",
            ),
            (
                "/v1/measurementConsumers/{mc}/apiKeys/{key}",
                vec![("mc", "acme"), ("key", "4fGk2mTQx9Za:disable")],
                key,
            ),
            (
                "/v1/measurementConsumers/{mc}/apiKeys/{key}",
                vec![("mc", "acme"), ("key", &*secret)],
                "measurementConsumers/acme/apiKeys/-",
            ),
            (
                "/v1/measurementConsumers/{mc}/dataStreams/{stream}",
                vec![("mc", "A"), ("stream", "1:23:web:aB4")],
                "measurementConsumers/-/dataStreams/1:23:web:aB4",
            ),
            (
                "/v1/measurementConsumers/{mc}/apiKeys:adopt",
                vec![("mc", "acme")],
                "measurementConsumers/acme/apiKeys",
            ),
            ("/v1/gateways/{gateway}", vec![("gateway", &*token)], "gateways/-"),
        ] {
            let value = |name: &str| {
                given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
            };
            assert_eq!(resource(template, value), expected);
        }
    }
}
