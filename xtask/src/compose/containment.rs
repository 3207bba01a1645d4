//! What containers may do, and what they have written: that the engine does what the file says.

use std::time::Duration;

use anyhow::{Result, ensure};
use mpgate_testbed::poll;
use mpgate_testbed::stack::UPSTREAM_SECRET;

use super::go_on;
use super::project::Project;

/// Envoy writes its access log in intervals.
const LOGGED_WITHIN: Duration = Duration::from_secs(20);

/// No container is root, can write, or is published beyond this machine.
pub(super) fn is_hardened(project: &Project<'_>, count: usize) -> Result<()> {
    let containers = project.containers(&[])?;
    ensure!(containers.len() == count, "there are {} containers, not {count}", containers.len());
    for container in &containers {
        let name = container["Name"].as_str().unwrap_or_default();
        let host = &container["HostConfig"];
        // The database's image has a user of its own, whose its volume is.
        let service = &container["Config"]["Labels"]["com.docker.compose.service"];
        let user = if service == "database" { "999:999" } else { "10001:10001" };
        ensure!(container["Config"]["User"] == user, "{name} has another user");
        ensure!(host["ReadonlyRootfs"] == true, "{name} can write to its file system");
        ensure!(host["CapDrop"][0] == "ALL", "{name} has capabilities");
        let options = host["SecurityOpt"].to_string();
        ensure!(options.contains("no-new-privileges"), "{name} may gain privileges");
        let published = host["PortBindings"].as_object().into_iter().flatten();
        for binding in published.flat_map(|(_, bindings)| bindings.as_array().into_iter().flatten())
        {
            ensure!(binding["HostIp"] == "127.0.0.1", "{name} is published beyond this machine");
        }
    }
    Ok(())
}

/// Of one service's neighbours, who reaches it and who does not.
pub(super) fn is_reached(
    project: &Project<'_>,
    (service, port): (&str, &str),
    by: &str,
    not_by: &[&str],
) -> Result<()> {
    let knock = format!("exec 3<>/dev/tcp/{service}/{port}");
    let reaches = |from: &str| project.exec(from, &["bash", "-c", &knock]).is_ok();
    ensure!(reaches(by), "{by} does not reach {service}");
    for other in not_by {
        ensure!(!reaches(other), "{other} reaches {service}");
    }
    Ok(())
}

/// The containers' logs hold none of these secrets, nor the project's own. `control` and `gate` are services that have
/// its files.
pub(super) fn logs_hold_no_secret(
    project: &Project<'_>,
    control: &str,
    gate: &str,
    secrets: &[(&str, &str)],
) -> Result<()> {
    let admin = project.exec(control, &["cat", "/run/operator/admin-token"])?;
    let gateway = project.exec(gate, &["cat", "/run/mpgate/gateway-token"])?;
    // Only a log that has the last requests can show that it has none of their secrets.
    let logs = poll::until_ok("the access log", LOGGED_WITHIN, || {
        go_on()?;
        let logs = project.logs()?;
        Ok(logs.contains(r#""reason":"revoked""#).then_some(logs))
    })?;
    let own = [
        ("the upstream's", UPSTREAM_SECRET),
        ("the admin's", admin.trim()),
        ("the gateway's", gateway.trim()),
    ];
    for (whose, secret) in secrets.iter().chain(&own) {
        ensure!(secret.len() > 8, "{whose} secret is none");
        ensure!(!logs.contains(secret), "{whose} secret is in the logs");
    }
    Ok(())
}
