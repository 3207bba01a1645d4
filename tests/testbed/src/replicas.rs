//! Several replicas of control behind one cluster of Envoy, as docs/postgresql.md has it.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::config::{EnvoyConfig, socket_address};
use crate::toolchain;

/// Lets a cluster lead to all of these, with the health checks that the page shows.
///
/// # Errors
/// There is no such cluster, or the page shows none.
pub fn balance(config: &mut EnvoyConfig, cluster: &str, replicas: &[SocketAddr]) -> Result<()> {
    let page = fs::read_to_string(toolchain::root().join("docs/postgresql.md"))?;
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let shown: Value = serde_saphyr::from_str(block.context("the page shows no YAML")?)?;
    let cluster = config.cluster(cluster)?;
    for (name, value) in shown.as_object().context("the page shows no members")? {
        cluster[name.as_str()] = value.clone();
    }
    let endpoint = |at: &SocketAddr| json!({"endpoint": {"address": socket_address(*at)}});
    let endpoints: Vec<_> = replicas.iter().map(endpoint).collect();
    cluster["load_assignment"]["endpoints"] = json!([{ "lb_endpoints": endpoints }]);
    Ok(())
}
