//! Prometheus in the running project: whom it scrapes, what it makes of it, and whether Grafana would reach it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mpgate_testbed::dashboards::{self, dashboards};
use mpgate_testbed::prometheus::yaml;
use mpgate_testbed::{Prometheus, poll, toolchain};
use serde_json::Value;

use super::go_on;
use super::project::Project;

/// It scrapes every 15 seconds, and evaluates its rules as often.
const SCRAPED_WITHIN: Duration = Duration::from_mins(1);

/// What Grafana would put in the place of its variables.
const VALUES: [(&str, &str); 3] = [("__rate_interval", "1m"), ("gate", ".*"), ("sender", ".*")];

/// Series that are there once it works: the gate's counters, control's, and what the rules make of them.
const SERIES: [&str; 3] = [
    "mpgate_requests_total{sender='billing',outcome='accepted'}>=2",
    "mpgate_control_head_revision>0",
    "mpgate:requests:increase10m{reason='revoked'}>0",
];

/// Looks at all of it, and says what there was.
pub(super) fn prometheus(project: &Project<'_>) -> Result<[String; 4]> {
    let prometheus = Prometheus::at(project.address("prometheus", "9090")?);
    let jobs = within("every target to be up", || targets(&prometheus))?;
    let rules = within("every rule to be evaluated", || rules(&prometheus))?;
    for query in SERIES {
        within(query, || {
            let series = prometheus.query(query)?;
            Ok((!list(&series)?.is_empty()).then_some(()))
        })?;
    }
    let queries = queries(&prometheus)?;
    let url = reached_as_by_grafana(project)?;
    Ok([
        format!("Prometheus scrapes {}", jobs.join(" and ")),
        format!("it evaluates {rules} rules, and has what they make of the gate's counters"),
        format!("it takes the dashboards' {queries} queries"),
        format!("where Grafana looks for it, {url}, it is; Grafana itself is not started"),
    ])
}

fn within<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    poll::until_ok(&format!("Prometheus to have {what}"), SCRAPED_WITHIN, || {
        go_on()?;
        look()
    })
}

/// The jobs of the shipped file, once all that they scrape is up.
fn targets(prometheus: &Prometheus) -> Result<Option<Vec<String>>> {
    let file = yaml(&toolchain::root().join("deploy/prometheus/prometheus.yml"))?;
    let jobs: Vec<&Value> =
        list(&file["scrape_configs"])?.iter().map(|it| &it["job_name"]).collect();
    let told = prometheus.get("/api/v1/targets?state=active")?;
    let targets = list(&told["activeTargets"])?;
    let is_up = |job: &&Value| {
        let mut of_job =
            targets.iter().filter(|target| target["labels"]["job"] == **job).peekable();
        of_job.peek().is_some() && of_job.all(|target| target["health"] == "up")
    };
    let names = || jobs.iter().filter_map(|job| job.as_str().map(str::to_owned)).collect();
    Ok(jobs.iter().all(is_up).then(names))
}

/// How many rules there are, once each was evaluated; they are those of the shipped files.
fn rules(prometheus: &Prometheus) -> Result<Option<usize>> {
    let mut shipped = 0;
    for file in fs::read_dir(toolchain::root().join("deploy/prometheus/rules"))? {
        let groups = yaml(&file?.path())?;
        for group in list(&groups["groups"])? {
            shipped += list(&group["rules"])?.len();
        }
    }
    let told = prometheus.get("/api/v1/rules")?;
    let mut rules = Vec::new();
    for group in list(&told["groups"])? {
        rules.extend(list(&group["rules"])?);
    }
    ensure!(rules.len() == shipped, "{} rules are loaded, and {shipped} shipped", rules.len());
    if let Some(rule) = rules.iter().find(|rule| rule["health"] == "err") {
        bail!("{}: {}", rule["name"], rule["lastError"]);
    }
    Ok(rules.iter().all(|rule| rule["health"] == "ok").then_some(shipped))
}

/// How many queries the dashboards have; each is taken.
fn queries(prometheus: &Prometheus) -> Result<usize> {
    let pages = dashboards()?;
    let panels = pages.iter().flat_map(|page| &page.panels);
    let mut count = 0;
    for query in panels.flat_map(|panel| &panel.queries) {
        prometheus.query(&query.with(&VALUES))?;
        count += 1;
    }
    Ok(count)
}

/// The address in Grafana's provisioning answers on the network that Grafana is on; the gate is there too.
fn reached_as_by_grafana(project: &Project<'_>) -> Result<String> {
    let file = dashboards::directory().join("provisioning/datasources/prometheus.yml");
    let sources = yaml(&file)?;
    let url = sources["datasources"][0]["url"].as_str().context("no address of a data source")?;
    let (host, port) = url
        .strip_prefix("http://")
        .and_then(|authority| authority.split_once(':'))
        .with_context(|| format!("{url} is not of the form http://host:port"))?;
    let ask = format!(
        "exec 3<>/dev/tcp/{host}/{port} && printf 'GET /-/ready HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && echo \"$line\""
    );
    let answer = project.exec("gate", &["bash", "-c", &ask])?;
    ensure!(answer.contains(" 200 "), "{url} answers '{}'", answer.trim());
    Ok(url.to_owned())
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("a list, not {value}"))
}
