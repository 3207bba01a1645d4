//! Certificates of clients: a key's `certificate_names` are worth what Envoy checked of them.

use saphyr::MarkedYaml;

use super::finding::Finding;
use super::node::Node;

/// Checks every listener's TLS.
pub(super) fn check(document: &MarkedYaml<'_>, findings: &mut Vec<Finding>) {
    document.each(&mut |context| {
        if !context.is_of("tls.v3.DownstreamTlsContext") {
            return;
        }
        context.each(&mut |node| {
            if node.text("trust_chain_verification") == Some("ACCEPT_UNTRUSTED") {
                let what = "anybody's own certificate is taken, with any name in it: a key's certificate_names hold \
                            nobody up";
                let line = node.at("trust_chain_verification").map_or(node.line(), Node::line);
                findings.push(
                    Finding::warning(line, "client certificate", what)
                        .next("leave trust_chain_verification out, and name your CA in trusted_ca"),
                );
            }
        });
    });
}
