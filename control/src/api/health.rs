//! Whether the process is up, and whether it can do its work. Open to all, and says nothing else.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::problem::Problem;

/// The process is up.
pub(super) async fn healthz() -> StatusCode {
    StatusCode::OK
}

/// The database answers, and the process is not about to end.
pub(super) async fn readyz(State(app): State<App>) -> Result<StatusCode, Problem> {
    app.service.ping().await?;
    let stopping = *app.stopping.borrow();
    Ok(if stopping { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
}
