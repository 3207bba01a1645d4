//! An Envoy configuration, or a part of one: finds every filter that is a gate of ours, wherever it sits,
//! and what surrounds it. A document may be a Kubernetes resource that carries such a part.

use saphyr::{LoadableYamlNode as _, MarkedYaml};

use super::client_certificates;
use super::connection_manager;
use super::filter::{self, is_gate, is_status_page};
use super::finding::Finding;
use super::kubernetes;
use super::node::Node;
use super::{logs, stats, told};

/// Checks all documents of the file.
pub(super) fn check(text: &str) -> Vec<Finding> {
    let documents = match MarkedYaml::load_from_str(text) {
        Ok(documents) => documents,
        Err(error) => {
            let fault = Finding::fault(error.marker().line(), "YAML", error.info());
            return vec![fault.next("Envoy could not read this file either; correct it there")];
        }
    };
    let mut findings = Vec::new();
    let (resources, parts): (Vec<_>, Vec<_>) =
        documents.iter().partition(|document| kubernetes::is_resource(document));
    let gates: usize = parts.into_iter().map(|document| part(document, &mut findings)).sum();
    kubernetes::check(&resources, &mut findings);
    if gates == 0 && resources.is_empty() {
        let what =
            "there is no gate in this file: no Wasm filter is called mpgate or has a \"gate\"";
        let fault = Finding::fault(1, "file", what);
        // The rest may be somebody else's business, and nothing of ours was checked.
        return vec![fault.next("name the file that holds the filter")];
    }
    findings
}

/// Checks a configuration or a part of one; answers how many gates stand in it.
pub(super) fn part(document: &MarkedYaml<'_>, findings: &mut Vec<Finding>) -> usize {
    let mut gates = 0;
    document.each(&mut |node| {
        if is_gate(node) {
            gates += 1;
            filter::check(node, document, findings);
        }
        if node.is_of("http_connection_manager.v3.HttpConnectionManager") {
            connection_manager::check(node, document, findings);
        }
    });
    logs::check(document, findings);
    status_listener(document, findings);
    admin(document, findings);
    client_certificates::check(document, findings);
    stats::check(document, findings);
    told::check(document, findings);
    gates
}

/// The status page tells of every sender's list.
fn status_listener(document: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    for listener in document.items("static_resources/listeners") {
        let mut has_it = false;
        listener.each(&mut |node| has_it |= is_gate(node) && is_status_page(node));
        let address = listener.text("address/socket_address/address");
        if has_it && address.is_some_and(|address| !is_loopback(address)) {
            let what = "other machines reach the gate's status page";
            let line = listener.at("address").map_or(listener.line(), Node::line);
            findings.push(
                Finding::warning(line, "status page", what).next("let it listen on 127.0.0.1"),
            );
        }
    }
}

fn is_loopback(address: &str) -> bool {
    matches!(address, "127.0.0.1" | "::1" | "localhost")
}

/// The admin listener reads everything and can end Envoy.
fn admin(document: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    let Some(admin) = document.at("admin") else { return };
    let path = "address/socket_address/address";
    let address = admin.text(path);
    if address.is_some_and(|address| !is_loopback(address)) {
        let what = "other machines reach it: whoever does reads every counter and can end Envoy";
        let line = admin.at(path).map_or(0, Node::line);
        findings.push(Finding::warning(line, "admin", what).next("let it listen on 127.0.0.1"));
    }
    if address.is_some() && admin.items("allow_paths").is_empty() {
        let what = "it answers all paths: /config_dump, /logging and /quitquitquit among them";
        findings.push(
            Finding::warning(admin.line(), "admin", what)
                .next("name /ready and /stats in allow_paths, as envoy/production.yaml does"),
        );
    }
}
