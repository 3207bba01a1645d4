//! `/v1/principals`. A token is in the answer that makes it, and in no other.

use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::input::{
    DISPLAY_NAME_CHARS_MAX, Members, Parameters, consumer_name, environment, seconds, text, words,
};
use super::mutation::{Call, MUTATION_PARAMETERS, answer};
use super::problem::Problem;
use super::{Answer, App, changed, json, list as list_of};
use crate::model::{Refusal, Role, Seconds, TokenId};
use crate::names::PrincipalId;
use crate::service::{Caller, NewPrincipal, PRINCIPAL_CONSUMERS_MAX, TokenEnd, TokenRotation};
use crate::time;

/// The member that shows the token.
const TOKEN: &str = "token";

/// How long the other tokens go on, where the request does not say: a day, in seconds.
const OVERLAP_DEFAULT: Seconds = 24 * 60 * 60;

const CHANGEABLE: [&str; 3] = ["displayName", "measurementConsumers", "environment"];

const FILTERED: &[&str] = &[
    "name",
    "displayName",
    "role",
    "measurementConsumers",
    "environment",
    "state",
    "createTime",
    "expireTime",
    "revokeTime",
];

fn principal_id(id: &str) -> Result<PrincipalId, Problem> {
    PrincipalId::parse(id).map_err(|_| Refusal::NoPrincipal.into())
}

fn role(word: &str) -> Result<Role, &'static str> {
    Role::parse(word).ok_or("A role is admin, owner, viewer or gateway.")
}

pub(super) async fn create(
    State(app): State<App>,
    call: Call,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["requestId"])?;
    members.only(&[&["principalId", "role", "expireTime"], &CHANGEABLE[..]].concat())?;
    let role = members.required("role", text(role))?;
    let id = match members.optional("principalId", text(PrincipalId::parse))? {
        Some(id) => id,
        None => PrincipalId::made_up(role)?,
    };
    let consumers = members.list("measurementConsumers", PRINCIPAL_CONSUMERS_MAX, consumer_name)?;
    let new = NewPrincipal {
        id,
        display_name: members
            .optional("displayName", words(DISPLAY_NAME_CHARS_MAX))?
            .unwrap_or_default(),
        role,
        consumers: consumers.unwrap_or_default(),
        environment: members.optional("environment", text(environment))?,
        expire_time: members.optional("expireTime", text(time::parse))?,
    };
    let mutation = call.mutation(&parameters, Some(&members))?;
    answer(app.service.create_principal(&mutation, new).await?, TOKEN)
}

pub(super) async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Answer {
    let listing = parameters.listing(FILTERED, &[])?;
    list_of("principals", app.service.principals(&caller, listing).await?)
}

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(principal): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    json(&app.service.principal(&caller, &principal_id(&principal)?).await?)
}

pub(super) async fn patch(
    State(app): State<App>,
    call: Call,
    Path(principal): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["updateMask", "requestId", "etag"])?;
    let id = principal_id(&principal)?;
    if members.has("role") {
        let rule = "A principal keeps its role; create another one, then delete this one.";
        return Err(Problem::field("role", rule));
    }
    members.only(&[&["etag"], &CHANGEABLE[..]].concat())?;
    let changes = changed(&parameters, &members, &CHANGEABLE)?;
    let display_name = members.optional("displayName", words(DISPLAY_NAME_CHARS_MAX))?;
    let consumers = members.list("measurementConsumers", PRINCIPAL_CONSUMERS_MAX, consumer_name)?;
    let environment = members.optional("environment", text(environment))?;
    let mutation = call.mutation(&parameters, Some(&members))?;
    let outcome = app.service.patch_principal(
        &mutation,
        &id,
        changes("displayName").then_some(display_name.unwrap_or_default()),
        changes("measurementConsumers").then_some(consumers.unwrap_or_default()),
        changes("environment").then_some(environment),
    );
    answer(outcome.await?, TOKEN)
}

/// The custom method of a principal (AIP-136): `:rotate`.
pub(super) async fn turn(
    State(app): State<App>,
    call: Call,
    Path(principal): Path<String>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&["requestId"])?;
    let Some(id) = principal.strip_suffix(":rotate") else {
        return Err(Problem::of_status(StatusCode::NOT_FOUND));
    };
    let id = principal_id(id)?;
    members.only(&["overlap", "expireTime", "etag"])?;
    let end = match members.optional("expireTime", text(time::parse))? {
        Some(end) => TokenEnd::At(end),
        None if members.has("expireTime") => TokenEnd::Never,
        None => TokenEnd::AsBefore,
    };
    let overlap = members.optional("overlap", seconds)?.unwrap_or(OVERLAP_DEFAULT);
    let mutation = call.mutation(&parameters, Some(&members))?;
    let rotation = TokenRotation { overlap, end };
    answer(app.service.rotate_principal(&mutation, &id, rotation).await?, TOKEN)
}

pub(super) async fn delete(
    State(app): State<App>,
    call: Call,
    Path(principal): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&MUTATION_PARAMETERS)?;
    let id = principal_id(&principal)?;
    let mutation = call.mutation(&parameters, None)?;
    answer(app.service.revoke_principal(&mutation, &id).await?, TOKEN)
}

/// All of a principal's tokens; there are few.
pub(super) async fn tokens(
    State(app): State<App>,
    caller: Caller,
    Path(principal): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    let tokens = app.service.tokens(&caller, &principal_id(&principal)?).await?;
    json(&serde_json::json!({"tokens": tokens}))
}

/// The token of the request itself.
pub(super) async fn own_token(
    State(app): State<App>,
    caller: Caller,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    json(&app.service.own_token(&caller).await?)
}

pub(super) async fn revoke_token(
    State(app): State<App>,
    call: Call,
    Path((principal, token)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&["requestId"])?;
    let id = principal_id(&principal)?;
    let token = TokenId::parse(&token).ok_or(Refusal::NoToken)?;
    let mutation = call.mutation(&parameters, None)?;
    answer(app.service.revoke_token(&mutation, &id, &token).await?, TOKEN)
}
