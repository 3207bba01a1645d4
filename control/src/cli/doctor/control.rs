//! The way to control, step by step: its name, a connection, TLS, whether it is ready, and the token.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::header::AUTHORIZATION;
use reqwest::tls::TlsInfo;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;

use super::report::Report;
use crate::cli::client::{base, cause, ended, http, is_about_trust};
use crate::cli::credential::Credential;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::time;
use crate::tls::end;

const PATIENCE: Duration = Duration::from_secs(5);

const RENEW: &str =
    "renew it: control takes new files up by itself, and its log says where they are no good";

pub(super) async fn look(settings: &Settings, report: &mut Report) {
    let url = match base(settings) {
        Ok(url) => url,
        Err(error) => {
            return report.fail("control: URL", error.to_string(), "correct --url (or MPGATE_URL)");
        }
    };
    report.ok("control: URL", format!("{url} (from {})", settings.url.origin));
    let Some(addresses) = resolve(&url, report).await else { return };
    if !connects(&addresses, report).await {
        return;
    }
    if !is_ready(&url, settings, report).await {
        return;
    }
    token(&url, settings, report).await;
}

async fn resolve(url: &Url, report: &mut Report) -> Option<Vec<SocketAddr>> {
    let name = "control: name";
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or_default();
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let (failure, addresses) = match found {
        Ok(addresses) => ("it has no address".to_owned(), addresses.collect::<Vec<_>>()),
        Err(error) => (error.to_string(), Vec::new()),
    };
    if addresses.is_empty() {
        let next = "correct the host in --url, or the name server of this machine";
        report.fail(name, format!("{host} is not found: {failure}"), next);
        return None;
    }
    let list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    report.ok(name, format!("{host} is {}", list.join(", ")));
    Some(addresses)
}

async fn connects(addresses: &[SocketAddr], report: &mut Report) -> bool {
    let name = "control: connection";
    let mut failures = Vec::new();
    for address in addresses {
        let connecting = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(Ok(_)) => {
                report.ok(name, format!("{address} accepts connections"));
                return true;
            }
            Ok(Err(error)) => failures.push(format!("{address}: {error}")),
            Err(_) => failures.push(format!("{address} does not answer: a firewall may drop it")),
        }
    }
    let next = "start `mpgate serve` there, correct host and port in --url, or open the way";
    report.fail(name, failures.join("; "), next);
    false
}

async fn is_ready(url: &Url, settings: &Settings, report: &mut Report) -> bool {
    let client = match http(settings, url) {
        Ok(client) => client,
        Err(error) => {
            report.fail("control: TLS", error.to_string(), "correct --ca-file (or MPGATE_CA_FILE)");
            return false;
        }
    };
    let mut ready = url.clone();
    ready.set_path("/readyz");
    let answer = match client.get(ready).timeout(PATIENCE).send().await {
        Ok(answer) => answer,
        Err(error) => {
            if let Some(found) = ended(&error) {
                let next = format!("{RENEW}; or put this machine's clock right");
                report.fail("control: TLS", found, next);
                return false;
            }
            let cause = cause(&error);
            let next = if is_about_trust(&cause) {
                "name the CA that signed its certificate with --ca-file, and call it by the name in it"
            } else if url.scheme() == "http" {
                "control may speak TLS there: try https:// in --url"
            } else {
                "control may speak no TLS there: look at the line that `mpgate serve` prints first"
            };
            let name = if url.scheme() == "https" { "control: TLS" } else { "control: ready" };
            report.fail(name, cause, next);
            return false;
        }
    };
    match url.scheme() {
        "https" => believed(&answer, report),
        _ if settings.allow_plaintext_on_the_network => report.warn(
            "control: TLS",
            "none: the token travels in clear",
            "give control a certificate (`mpgate serve --tls-certificate`) and say https",
        ),
        _ => report.ok("control: TLS", "none is needed on this machine"),
    }
    let name = "control: ready";
    match answer.status() {
        StatusCode::OK => {
            report.ok(name, "it is up, and its database answers");
            return true;
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            report.fail(name, "it is up and not ready (503)", "look at control's log");
        }
        status => {
            let found = format!("something answers {status}, and it is not control");
            report.fail(name, found, "correct host and port in --url");
        }
    }
    false
}

/// Until when the certificate will do that was shown.
fn believed(answer: &Response, report: &mut Report) {
    let name = "control: TLS";
    let shown = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
    let Some(end) = shown.and_then(end::of) else {
        return report.ok(name, "its certificate is believed");
    };
    let when = time::to_text(end);
    if end::is_near(end) {
        let found = format!("its certificate is believed until {when}: it ends within 14 days");
        report.warn(name, found, RENEW);
    } else {
        report.ok(name, format!("its certificate is believed until {when}"));
    }
}

async fn token(url: &Url, settings: &Settings, report: &mut Report) {
    let name = "control: token";
    let credential = match Credential::find(settings) {
        Ok(credential) => credential,
        Err(error) => {
            let next = "name a file that holds a token with --token-file";
            return report.fail(name, error.to_string(), next);
        }
    };
    private(settings, &credential, report);
    let mut question = url.clone();
    question.set_path("/v1/measurementConsumers");
    question.set_query(Some("pageSize=1"));
    let Ok(client) = http(settings, url) else { return };
    let asked = client.get(question).header(AUTHORIZATION, credential.authorization.clone());
    let answer = match asked.timeout(PATIENCE).send().await {
        Ok(answer) => answer,
        Err(error) => return report.fail(name, cause(&error), "look at control's log"),
    };
    let status = answer.status();
    let problem: Value = answer.json().await.unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or_default();
    let origin = &credential.origin;
    match status {
        StatusCode::OK => report.ok(name, format!("control knows the token of {origin}")),
        StatusCode::FORBIDDEN => report.warn(
            name,
            format!(
                "control knows the token of {origin}, and it may not look at consumers: {detail}"
            ),
            "for an operator's work, use an operator's token",
        ),
        StatusCode::UNAUTHORIZED => report.fail(
            name,
            format!("control does not know the token of {origin}: {detail}"),
            "use one of this control; if none is left, `mpgate admin reset` on its machine makes one",
        ),
        status => {
            report.fail(name, format!("control answers {status}: {detail}"), "look at its log");
        }
    }
    if matches!(status, StatusCode::OK | StatusCode::FORBIDDEN) {
        token_end(&client, url, &credential, report).await;
    }
}

/// Until when the token will do, if it ends by itself. A control that cannot tell is an older one, and its tokens have no
/// end but a rotation's.
async fn token_end(client: &Client, url: &Url, credential: &Credential, report: &mut Report) {
    let name = "control: token end";
    let mut question = url.clone();
    question.set_path("/v1/tokens:self");
    let asked = client.get(question).header(AUTHORIZATION, credential.authorization.clone());
    let Ok(answer) = asked.timeout(PATIENCE).send().await else { return };
    let token: Value = answer.json().await.unwrap_or_default();
    let Some(when) = token["expireTime"].as_str() else { return };
    let Ok(end) = time::parse(when) else { return };
    if !end::is_near(end) {
        return report.ok(name, format!("it is in force until {when}"));
    }
    let found = format!("it is in force until {when}: it ends within 14 days");
    let principal = token["name"].as_str().and_then(|name| name.split('/').nth(1));
    let principal = output::printable(principal.unwrap_or_default());
    let next = format!(
        "have an administrator issue another, `mpgate principals rotate {principal}`, and put it in this one's place"
    );
    report.warn(name, found, next);
}

/// A token is its owner's.
fn private(settings: &Settings, credential: &Credential, report: &mut Report) {
    let Some(file) = &settings.token_file else { return };
    let named = file.value.display().to_string();
    let is_used = credential.origin.starts_with(&named);
    let mode = fs::metadata(&file.value).map_or(0, |file| file.permissions().mode());
    if is_used && mode & 0o077 != 0 {
        let found = format!("{named} can be read by others (mode {:03o})", mode & 0o777);
        report.warn("control: token file", found, format!("chmod 600 {named}"));
    }
}
