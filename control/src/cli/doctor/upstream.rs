//! Whether the upstream can be reached from here. It is asked nothing: any answer will do.

use core::time::Duration;

use reqwest::Url;

use super::report::Report;
use crate::cli::client::{cause, http, is_about_trust};
use crate::cli::settings::Settings;

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn look(url: &Url, settings: &Settings, report: &mut Report) {
    let name = "upstream";
    let client = match http(settings, url) {
        Ok(client) => client,
        Err(error) => return report.fail(name, error.to_string(), "correct --ca-file"),
    };
    match client.get(url.clone()).timeout(PATIENCE).send().await {
        Ok(answer) => report.ok(name, format!("{url} answers ({})", answer.status().as_u16())),
        Err(error) => {
            let cause = cause(&error);
            let next = if is_about_trust(&cause) {
                "check the certificate's name, and the authorities that Envoy's cluster trusts"
            } else {
                "correct --upstream, or open the way: name server, firewall, egress proxy"
            };
            report.fail(name, format!("{url} cannot be reached: {cause}"), next);
        }
    }
}
