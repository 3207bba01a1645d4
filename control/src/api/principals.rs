//! `/v1/principals`. The token is in the answer that creates the principal, and in no other.

use axum::extract::{Path, State};
use serde::Serialize;

use super::input::{DISPLAY_NAME_CHARS_MAX, Members, Parameters, page_token, text, words};
use super::problem::Problem;
use super::{Answer, App, json, state_label};
use crate::keys::{Shown, issue_token};
use crate::names::PrincipalId;
use crate::store::{Principal, Refusal, Role};
use crate::time;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    name: String,
    display_name: String,
    role: &'static str,
    state: &'static str,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Shown>,
}

impl Resource {
    fn new(principal: Principal, token: Option<Shown>) -> Self {
        Self {
            name: format!("principals/{}", principal.id),
            display_name: principal.display_name,
            role: principal.role.label(),
            state: state_label(principal.revoke_time.is_none()),
            create_time: time::to_text(principal.create_time),
            revoke_time: principal.revoke_time.map(time::to_text),
            token,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    principals: Vec<Resource>,
    next_page_token: String,
}

fn principal_id(id: &str) -> Result<PrincipalId, Problem> {
    PrincipalId::parse(id).map_err(|_| Refusal::NoPrincipal.into())
}

fn role(word: &str) -> Result<Role, &'static str> {
    Role::parse(word).ok_or("A role is admin or gateway.")
}

/// An id for a principal that nobody named: its role and 48 random bits.
fn made_up_id(role: Role) -> Result<PrincipalId, Problem> {
    let mut random = [0; 6];
    getrandom::fill(&mut random)?;
    PrincipalId::parse(&format!("{}-{}", role.label(), hex::encode(random)))
        .map_err(|error| Problem::field("principalId", error.to_string()))
}

pub(super) async fn create(
    State(app): State<App>,
    parameters: Parameters,
    members: Members,
) -> Answer {
    parameters.only(&[])?;
    members.only(&["principalId", "displayName", "role"])?;
    let role = members.required("role", text(role))?;
    let id = match members.optional("principalId", text(PrincipalId::parse))? {
        Some(id) => id,
        None => made_up_id(role)?,
    };
    let display_name =
        members.optional("displayName", words(DISPLAY_NAME_CHARS_MAX))?.unwrap_or_default();
    let issued = issue_token()?;
    let principal =
        app.store.create_principal(&id, &display_name, role, issued.digest, time::now()).await?;
    json(&Resource::new(principal, Some(issued.token)))
}

pub(super) async fn list(State(app): State<App>, parameters: Parameters) -> Answer {
    let part = app.store.principals(parameters.slice()?).await?;
    json(&List {
        principals: part.items.into_iter().map(|item| Resource::new(item, None)).collect(),
        next_page_token: page_token(part.next),
    })
}

pub(super) async fn get(
    State(app): State<App>,
    Path(principal): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    json(&Resource::new(app.store.principal(&principal_id(&principal)?).await?, None))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(principal): Path<String>,
    parameters: Parameters,
) -> Answer {
    parameters.only(&[])?;
    let id = principal_id(&principal)?;
    json(&Resource::new(app.store.revoke_principal(&id, time::now()).await?, None))
}
