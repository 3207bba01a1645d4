//! What every change may carry beside its own members: `requestId`, `etag`; and what it answers.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use mpgate_contract::Digest;
use serde_json::Value;

use super::input::{Members, Parameters};
use super::problem::Problem;
use super::{Answer, json};
use crate::service::{Caller, Mutation, Once, Outcome};

/// The query parameters of a change.
pub(super) const MUTATION_PARAMETERS: [&str; 2] = ["requestId", "etag"];

/// Says that a request was done before; the name is the one that payment interfaces use.
const REPLAYED: &str = "idempotent-replayed";

/// A request that wants to change something: who calls, and what for.
pub(super) struct Call {
    caller: Caller,
    method: Method,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self { caller, method: parts.method.clone(), path: parts.uri.path().to_owned() })
    }
}

impl Call {
    /// The conditions of the change, from the query and from the body.
    pub(super) fn mutation(
        &self,
        parameters: &Parameters,
        members: Option<&Members>,
    ) -> Result<Mutation<'_>, Problem> {
        let of_body = members.and_then(|members| members.text("etag")).transpose()?;
        let of_query = parameters.get("etag").map(str::to_owned);
        if of_body.is_some() && of_query.is_some() {
            let rule = "The etag is in the query and in the body; send it once.";
            return Err(Problem::field("etag", rule));
        }
        let etag = of_body.or(of_query);
        let once = parameters.parse("requestId", request_id)?.map(|request_id| {
            let body = members.map(Members::canonical).unwrap_or_default();
            let asked = [self.method.as_str(), &self.path, &parameters.canonical(), &body];
            Once { request_id, fingerprint: Digest::of(asked.join("\n").as_bytes()) }
        });
        Ok(Mutation { caller: &self.caller, once, etag })
    }
}

/// A UUID in its usual spelling.
fn request_id(text: &str) -> Result<String, &'static str> {
    let good = text.len() == 36
        && text.char_indices().all(|(at, char)| match at {
            8 | 13 | 18 | 23 => char == '-',
            _ => char.is_ascii_hexdigit(),
        });
    if good { Ok(text.to_ascii_lowercase()) } else { Err("a requestId is a UUID (AIP-155)") }
}

/// The resource, with its secret in `secret_member` if there is one to show.
pub(super) fn answer(outcome: Outcome, secret_member: &str) -> Answer {
    let Outcome { mut resource, secret, replayed } = outcome;
    if let (Value::Object(members), Some(secret)) = (&mut resource, &secret) {
        let shown = serde_json::to_value(secret).unwrap_or_default();
        members.insert(secret_member.to_owned(), shown);
    }
    let mut response: Response = json(&resource)?;
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
