//! Calls control. Knows where it is and the token; follows no redirect and uses no proxy, so that the
//! token reaches nobody else.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::CliError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Where control is and what it is called with.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// Where control is
    #[arg(long, global = true, env = "MPGATE_URL", default_value = "http://127.0.0.1:8430")]
    url: String,
    /// A file that holds the token; else `MPGATE_TOKEN`, else the file that `MPGATE_TOKEN_FILE` names
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A client of one control.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self, CliError> {
        let base = base(&connection.url)?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token(connection)?))
            .map_err(|_| {
                CliError::Usage("the token has characters that no token has".to_owned())
            })?;
        authorization.set_sensitive(true);
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| CliError::Failed(format!("no HTTP client: {error}")))?;
        Ok(Self { http, base, authorization })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::GET, path, &[], None).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::DELETE, path, &[], None).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, CliError> {
        self.call(Method::POST, path, query, Some(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::PATCH, path, &[], Some(body)).await
    }

    /// All pages of a list as one answer: `{member: [...], "nextPageToken": ""}`.
    pub(super) async fn list(
        &self,
        path: &str,
        member: &str,
        show_deleted: bool,
    ) -> Result<Value, CliError> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let deleted = if show_deleted { "true" } else { "false" };
            let query =
                [("pageSize", "1000"), ("pageToken", token.as_str()), ("showDeleted", deleted)];
            let mut page = self.call(Method::GET, path, &query, None).await?;
            match page.get_mut(member).map(Value::take) {
                Some(Value::Array(items)) => all.extend(items),
                _ => return Err(not_control(&self.base)),
            }
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                return Ok(serde_json::json!({member: all, "nextPageToken": ""}));
            }
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request =
            self.http.request(method, url).header(AUTHORIZATION, self.authorization.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| not_control(&self.base))?;
        if status.is_success() { Ok(answer) } else { Err(refused(status, &answer)) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let what = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
        CliError::Unreachable(format!(
            "control at {} {what}; is `mpgate serve` running, and is MPGATE_URL (or --url) right?",
            self.base
        ))
    }
}

fn not_control(base: &Url) -> CliError {
    CliError::Failed(format!("what answers at {base} is not control; check MPGATE_URL (or --url)"))
}

/// A problem in one line: what, where, and what to do.
fn refused(status: StatusCode, problem: &Value) -> CliError {
    let detail = problem["detail"].as_str().unwrap_or("no reason given");
    let reason = problem["reason"].as_str().unwrap_or("refused");
    let place = problem["field"].as_str().map(|field| format!("{field}: ")).unwrap_or_default();
    let next = match status {
        StatusCode::UNAUTHORIZED => " Check MPGATE_TOKEN, or name a file with --token-file.",
        StatusCode::FORBIDDEN => " An admin's token may.",
        _ => "",
    };
    CliError::Failed(format!("{place}{detail}{next} ({} {reason})", status.as_u16()))
}

fn base(text: &str) -> Result<Url, CliError> {
    let url = Url::parse(text)
        .map_err(|error| CliError::Usage(format!("the URL of control cannot be read: {error}")))?;
    let plain = url.path() == "/" && url.query().is_none() && url.username().is_empty();
    if url.scheme() != "http" || !plain {
        let rule = "the URL of control looks like http://127.0.0.1:8430; this version has no https";
        return Err(CliError::Usage(rule.to_owned()));
    }
    Ok(url)
}

fn token(connection: &Connection) -> Result<String, CliError> {
    let from_file = |path: &PathBuf| {
        fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| {
            CliError::Usage(format!("cannot read the token file {}: {error}", path.display()))
        })
    };
    if let Some(path) = &connection.token_file {
        return from_file(path);
    }
    if let Some(token) = set("MPGATE_TOKEN") {
        return Ok(token.trim().to_owned());
    }
    if let Some(path) = set("MPGATE_TOKEN_FILE") {
        return from_file(&path.into());
    }
    Err(CliError::Usage(
        "no token; set MPGATE_TOKEN or MPGATE_TOKEN_FILE, or name a file with --token-file"
            .to_owned(),
    ))
}

/// An environment variable that is there and not empty.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
