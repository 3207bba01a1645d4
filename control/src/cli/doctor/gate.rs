//! Whether a gate stands in the way of events, and what its status page says.

use core::time::Duration;

use reqwest::{Response, Url};
use serde_json::Value;

use super::report::Report;
use crate::cli::client::{cause, http};
use crate::cli::settings::Settings;

const PATIENCE: Duration = Duration::from_secs(10);

/// What begins the type of every refusal of a gate.
const REASON: &str = "urn:x-mpgate:reason:";

/// An answer, as far as it matters here.
struct Told {
    status: u16,
    /// The gate's word, if a gate answered.
    reason: Option<String>,
    body: String,
}

/// Posts what a gate has to refuse, and looks who answers.
pub(super) async fn look(url: &Url, settings: &Settings, report: &mut Report) {
    let name = "gate";
    let told = match post(url, "/debug/mp/collect", settings).await {
        Ok(told) => told,
        Err(error) => {
            let next = "start Envoy, or correct host and port in --gate";
            return report.fail(name, format!("there is no gate at {url}: {error}"), next);
        }
    };
    match told.reason.as_deref() {
        Some("missing_secret") => {
            return report
                .ok(name, "it is in the way: it refused a request without a secret (401)");
        }
        Some("no_list") => {
            let next = "see the gate's log (wasm log mpgate): its way to control, its token, control itself";
            return report.fail(name, "it is there and has no list yet: all is answered 503", next);
        }
        Some("rate_limited") => {
            let next = "try again later, or from another address";
            return report.warn(name, "it is there, and its limit of rate answered (429)", next);
        }
        Some(reason) => {
            let found =
                format!("it refused a request without a secret, as {reason} ({})", told.status);
            return report.warn(name, found, "docs/reasons.md says what that means");
        }
        None => (),
    }
    if told.body.starts_with("RBAC: access denied") {
        let next = "find out what leaves the gate out: a route that disables it, a module that did not load";
        let found = "the tripwire answered: the gate did not judge the request (403)";
        return report.fail(name, found, next);
    }
    let status = told.status;
    // A gate refuses this path in every mode, silent or not, whatever passes it otherwise.
    let other = post(url, "/MP/collect", settings).await.ok().and_then(|told| told.reason);
    if other.is_some() {
        let found = format!("it is there, and let a request without a secret have {status}");
        let next = "right for a gate that is off, in dry_run or silent; else set mode: enforce";
        report.warn(name, found, next);
    } else if status == 503 {
        let found = "Envoy answers 503 and no gate does";
        let next = "see Envoy's log: the module may not load, or allow_on_headers_stop_iteration is missing";
        report.fail(name, found, next);
    } else if matches!(status, 200..=299) {
        let found = format!("the upstream answered ({status}): the gate is NOT in the way");
        let next =
            "put the gate into http_filters, and the tripwire behind it; mpgate check shows how";
        report.fail(name, found, next);
    } else {
        let found = format!("what answers there ({status}) is no gate");
        report.fail(name, found, "correct host and port in --gate; it is the listener for events");
    }
}

async fn post(url: &Url, path: &str, settings: &Settings) -> Result<Told, String> {
    let client = http(settings, url).map_err(|error| error.to_string())?;
    let mut url = url.clone();
    url.set_path(path);
    let body = r#"{"client_id":"mpgate.doctor","events":[]}"#;
    let request = client.post(url).header("content-type", "application/json").body(body);
    let answer = request.timeout(PATIENCE).send().await.map_err(|error| cause(&error))?;
    told(answer).await
}

async fn told(answer: Response) -> Result<Told, String> {
    let status = answer.status().as_u16();
    let body = answer.text().await.map_err(|error| cause(&error))?;
    let problem: Value = serde_json::from_str(&body).unwrap_or_default();
    let reason = problem["type"].as_str().and_then(|kind| kind.strip_prefix(REASON));
    Ok(Told { status, reason: reason.map(str::to_owned), body })
}

/// Reads the status page.
pub(super) async fn look_at_status(url: &Url, settings: &Settings, report: &mut Report) {
    let name = "gate: status";
    let mut url = url.clone();
    if url.path() == "/" {
        url.set_path("/mpgate/status");
    }
    let asked = async {
        let client = http(settings, &url).map_err(|error| error.to_string())?;
        let answer = client.get(url.clone()).timeout(PATIENCE).send().await;
        told(answer.map_err(|error| cause(&error))?).await
    };
    let page = match asked.await {
        Ok(told) if told.status == 200 => serde_json::from_str::<Value>(&told.body).ok(),
        Ok(_) => None,
        Err(error) => {
            let next = "correct --status: the status page has a listener of its own, on loopback";
            return report.fail(name, format!("nothing answers at {url}: {error}"), next);
        }
    };
    let Some(page) = page.filter(|page| page["gate"].is_string()) else {
        let next = "correct --status: it ends in /mpgate/status";
        return report.fail(name, format!("what answers at {url} is no status page"), next);
    };
    let word = |member: &str| page[member].as_str().unwrap_or("-").to_owned();
    let (keys, streams) = (&page["entries"]["keys"], &page["entries"]["streams"]);
    let list = format!("revision {}, {keys} keys, {streams} streams", page["revision"]);
    let found = format!("gate {}, version {}: {list}", word("gate"), word("version"));
    if page["ready"] != true {
        let next = "see the gate's log (wasm log mpgate) for the way to control";
        report.fail(name, format!("{found}; it has no list yet ({})", word("last_result")), next);
    } else if page["stale"] == true {
        let next = "its last questions to control failed: see control and the way to it";
        report.warn(name, format!("{found}; the list is stale ({})", word("last_result")), next);
    } else {
        report.ok(name, found);
    }
}
