//! Who calls, and what they may: a bearer token to a principal, a principal's role to a permission.
//! Runs before a handler looks at anything, so a refusal says nothing of what exists.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::problem::{Problem, Reason};
use crate::keys;
use crate::store::{Principal, Role};

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Consumers, streams, keys and principals, all of them.
    Administer,
    /// The allowlist's changes.
    ReadChanges,
}

/// The whole table of who may do what.
const fn allowed(role: Role, permission: Permission) -> bool {
    match (role, permission) {
        (Role::Admin, _) | (Role::Gateway, Permission::ReadChanges) => true,
        (Role::Gateway, Permission::Administer) => false,
    }
}

/// Lets a request through if its principal has the permission.
pub(super) async fn require(
    State((app, permission)): State<(App, Permission)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let principal = authenticate(&app, request.headers()).await?;
    expect_allowed(&principal, permission)?;
    Ok(next.run(request).await)
}

pub(crate) fn expect_allowed(principal: &Principal, permission: Permission) -> Result<(), Problem> {
    if allowed(principal.role, permission) {
        return Ok(());
    }
    let detail = format!("The role {} may not do this; use another token.", principal.role.label());
    Err(Problem::new(Reason::PermissionDenied, detail))
}

pub(crate) async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Principal, Problem> {
    let unauthenticated = |detail: &str| Problem::new(Reason::Unauthenticated, detail);
    let token = bearer(headers)
        .ok_or_else(|| unauthenticated("Send one header: authorization: Bearer mpt_..."))?;
    let unknown = || unauthenticated("The token is not known, or it was revoked.");
    let digest = keys::presented_token_digest(token).ok_or_else(unknown)?;
    app.store.principal_by_digest(digest).await?.ok_or_else(unknown)
}

/// The one bearer token, or nothing.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}
