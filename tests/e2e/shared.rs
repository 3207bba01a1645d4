//! The gate in an Envoy that serves others: `deploy/shared-gateway/envoy.yaml`, unchanged but for TLS, which
//! the test of production has, and what a row adds.

mod neighbour;
mod ways;

use std::net::SocketAddr;

use mpgate_testbed::EnvoyConfig;
use serde_json::json;

const FILE: &str = "deploy/shared-gateway/envoy.yaml";

/// Without TLS, so that the very bytes can be seen on both sides, and with a shop.
fn plain(config: &mut EnvoyConfig, shop: SocketAddr) -> anyhow::Result<()> {
    const OPTIONS: &str =
        "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    config.point("shop", shop)?;
    config.remove("/static_resources/listeners/0/filter_chains/0/transport_socket")?;
    for name in ["analytics", "mpgate_control"] {
        let cluster = config.cluster(name)?;
        let members = cluster.as_object_mut().expect("a cluster");
        members.remove("transport_socket").expect("TLS");
        let options = cluster.pointer_mut(OPTIONS).and_then(|options| options.as_object_mut());
        let options = options.expect("options");
        // Needs TLS, to agree on a protocol.
        options.remove("auto_config").expect("a protocol by ALPN");
        options.insert("explicit_http_config".to_owned(), json!({"http_protocol_options": {}}));
    }
    Ok(())
}
