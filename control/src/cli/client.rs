//! Calls control. Knows where it is and the token; follows no redirect and uses no proxy, so that the
//! token reaches nobody else, and speaks plain HTTP to this machine only.

use core::time::Duration;
use std::error::Error as _;
use std::fs;
use std::io::{self, Write as _};

use reqwest::header::AUTHORIZATION;
use reqwest::{Certificate, Method, StatusCode, Url};
use rustls::CertificateError;
use serde_json::Value;

use super::CliError;
use super::credential::Credential;
use super::settings::Settings;
use crate::time;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The header that says that a request with this id was done before.
const REPLAYED: &str = "idempotent-replayed";

/// A client of one control.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    url_origin: String,
    credential: Credential,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self, CliError> {
        let base = base(settings)?;
        let credential = Credential::find(settings)?;
        let http = http(settings, &base)?;
        Ok(Self { http, base, url_origin: settings.url.origin.to_string(), credential })
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, CliError> {
        self.call(Method::GET, path, query, None).await
    }

    pub(super) async fn delete(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Value, CliError> {
        self.call(Method::DELETE, path, query, None).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, CliError> {
        self.call(Method::POST, path, query, Some(body)).await
    }

    pub(super) async fn patch(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, CliError> {
        self.call(Method::PATCH, path, query, Some(body)).await
    }

    /// All pages of a list as one answer: `{member: [...], "nextPageToken": ""}`.
    pub(super) async fn list(
        &self,
        path: &str,
        member: &str,
        query: &[(&str, &str)],
    ) -> Result<Value, CliError> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let paging = [("pageSize", "1000"), ("pageToken", token.as_str())];
            let query = [query, &paging].concat();
            let mut page = self.call(Method::GET, path, &query, None).await?;
            match page.get_mut(member).map(Value::take) {
                Some(Value::Array(items)) => all.extend(items),
                _ => return Err(self.not_control()),
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
        let (status, answer) = self.exchange(method, path, query, body).await?;
        if status.is_success() { Ok(answer) } else { Err(self.refused(status, &answer)) }
    }

    /// What control answers, be it a refusal.
    pub(super) async fn exchange(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), CliError> {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let authorization = self.credential.authorization.clone();
        let mut request = self.http.request(method, url).header(AUTHORIZATION, authorization);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if response.headers().contains_key(REPLAYED) {
            writeln!(
                io::stderr(),
                "note: this request was done before; this is what came of it then"
            )?;
        }
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| self.not_control())?;
        Ok((status, answer))
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let (base, origin) = (&self.base, &self.url_origin);
        let cause = cause(error);
        CliError::Unreachable(if error.is_timeout() {
            format!("control at {base} (from {origin}) does not answer in time")
        } else if let Some(ended) = ended(error) {
            format!(
                "control at {base} (from {origin}) cannot be trusted: {ended}; renew it, or put this machine's clock \
                 right. `mpgate doctor` looks step by step"
            )
        } else if is_about_trust(&cause) {
            format!(
                "control at {base} (from {origin}) cannot be trusted: {cause}; name the CA that signed its \
                 certificate with --ca-file, and call it by the name that is in the certificate"
            )
        } else {
            format!(
                "control at {base} (from {origin}) cannot be reached: {cause}; is `mpgate serve` running, and \
                 is MPGATE_URL (or --url) right, https or http too? `mpgate doctor` looks step by step"
            )
        })
    }

    fn not_control(&self) -> CliError {
        CliError::Failed(format!(
            "what answers at {} (from {}) is not control; check MPGATE_URL (or --url)",
            self.base, self.url_origin
        ))
    }

    /// A problem in one line: what, where, and what to do.
    pub(super) fn refused(&self, status: StatusCode, problem: &Value) -> CliError {
        let detail = problem["detail"].as_str().unwrap_or("no reason given");
        let reason = problem["reason"].as_str().unwrap_or("refused");
        let place = problem["field"].as_str().map(|field| format!("{field}: ")).unwrap_or_default();
        let next = match status {
            StatusCode::UNAUTHORIZED => format!(
                " The token came from {}. Is it one of this control ({})? Name a file that holds another with \
                 --token-file.",
                self.credential.origin, self.base
            ),
            StatusCode::FORBIDDEN => format!(" The token came from {}.", self.credential.origin),
            _ => String::new(),
        };
        CliError::Failed(format!("{place}{detail}{next} ({} {reason})", status.as_u16()))
    }
}

/// An HTTP client that trusts what the settings say, and follows nobody.
pub(super) fn http(settings: &Settings, base: &Url) -> Result<reqwest::Client, CliError> {
    // The one provider that is compiled in. It is installed already if this is not the first client.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .tls_info(true)
        .no_proxy();
    if base.scheme() == "http" {
        // The system's certificates take a while to read, and a small container has none.
        builder = builder.tls_certs_only([]);
    } else if let Some(file) = &settings.ca_file {
        let wrong = |what: String| {
            let (path, origin) = (file.value.display(), &file.origin);
            CliError::Usage(format!("the CA file {path} ({origin}) {what}"))
        };
        let pem =
            fs::read(&file.value).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let certificates = Certificate::from_pem_bundle(&pem)
            .map_err(|error| wrong(format!("is not PEM: {}", cause(&error))))?;
        if certificates.is_empty() {
            return Err(wrong("has no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| CliError::Failed(format!("no HTTP client: {}", cause(&error))))
}

/// The URL of control, if a token may be sent there.
pub(super) fn base(settings: &Settings) -> Result<Url, CliError> {
    let origin = &settings.url.origin;
    let wrong =
        |what: String| CliError::Usage(format!("the URL of control (from {origin}) {what}"));
    let url = Url::parse(&settings.url.value).map_err(|error| {
        wrong(format!("cannot be read: {error}; it looks like https://control.example.com:8430"))
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!(
            "has the scheme {}, but has to begin with https:// or http://",
            url.scheme()
        )));
    }
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "has more than a scheme, a host and a port: it looks like https://control.example.com:8430"
                .to_owned(),
        ));
    }
    if url.scheme() == "http" && !is_loopback(&url) && !settings.allow_plaintext_on_the_network {
        return Err(wrong(format!(
            "is {url}: the token would travel in clear; use https, or say --allow-plaintext-on-the-network"
        )));
    }
    Ok(url)
}

/// Whether what is sent there stays on this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<core::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// What lies at the bottom of an error; the layers above only say that something went wrong.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut text = error.to_string();
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    // What `openssl req -x509` makes unless told otherwise; rustls has no words for it.
    text.replace(
        "Other(OtherError(CaUsedAsEndEntity))",
        "it is a CA's own, and control needs one that is not (basicConstraints CA:FALSE)",
    )
}

/// That the certificate has ended, and when, where it is not believed for that.
pub(super) fn ended(error: &reqwest::Error) -> Option<String> {
    let mut layer = error.source();
    while let Some(error) = layer {
        if let Some(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) = error.downcast_ref::<rustls::Error>()
        {
            let end = time::to_text(not_after.as_secs().try_into().ok()?);
            return Some(format!("its certificate, or one of its chain, ended at {end}"));
        }
        layer = match error.downcast_ref::<io::Error>() {
            // Its source is that of the error in it.
            Some(error) => error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// Whether the cause is a certificate that is not believed.
pub(super) fn is_about_trust(cause: &str) -> bool {
    cause.contains("certificate")
}
