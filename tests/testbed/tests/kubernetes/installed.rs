//! What is installed fits together: Prometheus finds what the shipped rules are about and is let in, control reaches its
//! database, and no token lies on a volume that lasts.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use mpgate_testbed::toolchain;
use serde_json::{Value, json};

use crate::{OVERLAYS, blocks_of_the_docs, page, parsed, production, rendered};

const COMPONENTS: [&str; 2] = ["pod-monitors", "traces"];

/// The label of Prometheus's namespace.
const SCRAPES: &str = "mpgate.dev/scrapes";

/// What an overlay installs.
struct Installed(Vec<Value>);

impl Installed {
    fn all() -> Option<Vec<(&'static str, Self)>> {
        let each = OVERLAYS.into_iter();
        each.map(|overlay| Some((overlay, Self(parsed(&rendered(overlay, &COMPONENTS)?)))))
            .collect()
    }

    fn get(&self, kind: &str, name: &str) -> &Value {
        self.find(kind, name).unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        let is_it = |one: &&Value| one["kind"] == kind && one["metadata"]["name"] == name;
        self.0.iter().find(is_it)
    }

    fn container(&self, name: &str) -> &Value {
        &self.get("Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    }

    /// A variable of control.
    fn variable(&self, name: &str) -> Option<&Value> {
        named(&self.container("mpgate-control")["env"], name)
    }

    /// The volume that holds this path of control.
    fn volume(&self, path: &str) -> &Value {
        let mounts = self.container("mpgate-control")["volumeMounts"].as_array().expect("mounts");
        let mount = mounts.iter().find(|mount| path.starts_with(text(&mount["mountPath"])));
        let volumes = &self.get("Deployment", "mpgate-control")["spec"]["template"]["spec"];
        named(&volumes["volumes"], text(&mount.expect("a mount")["name"])).expect("a volume")
    }

    /// What the policy of these pods lets in at a port, and what it lets out.
    fn policy(&self, name: &str, way: &str) -> &Vec<Value> {
        let policy = &self.get("NetworkPolicy", name)["spec"];
        let labels = &self.get("Deployment", name)["spec"]["template"]["metadata"]["labels"];
        for (label, value) in policy["podSelector"]["matchLabels"].as_object().expect("labels") {
            assert_eq!(&labels[label], value, "the policy is about other pods");
        }
        policy[way].as_array().expect("rules")
    }
}

fn named<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|one| one["name"] == name)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn leads_to(rule: &Value, port: &Value) -> bool {
    rule["ports"].as_array().expect("ports").iter().any(|one| one["port"] == *port)
}

/// The names in `job="..."` of the shipped rules.
fn jobs_of_the_rules() -> BTreeSet<String> {
    let directory = toolchain::root().join("deploy/prometheus/rules");
    let mut jobs = BTreeSet::new();
    for file in fs::read_dir(directory).expect("the rules") {
        let rules = fs::read_to_string(file.expect("a file").path()).expect("rules");
        let named = rules.split("job=\"").skip(1).filter_map(|rest| rest.split('"').next());
        jobs.extend(named.map(str::to_owned));
    }
    jobs
}

#[test]
fn prometheus_finds_the_jobs_of_the_rules_and_is_let_in() {
    assert!(page().contains(&format!("{SCRAPES}=true")), "the page names another label");
    let prometheus = fs::read_to_string(toolchain::root().join("deploy/prometheus/prometheus.yml"));
    let prometheus: Value = serde_saphyr::from_str(&prometheus.expect("a file")).expect("YAML");
    let mut shipped = production();
    let gate = shipped.metrics_listener().expect("a listener");
    let gate = gate["address"]["socket_address"]["port_value"].clone();
    let Some(all) = Installed::all() else { return };
    for (overlay, installed) in all {
        let control = installed.variable("MPGATE_METRICS_LISTEN").expect("control's metrics");
        let control = text(&control["value"]).strip_prefix("0.0.0.0:").expect("every address");
        let ports = [("mpgate-gate", gate.clone()), ("mpgate-control", parsed(control)[0].clone())];
        let mut jobs = BTreeSet::new();
        for (name, port) in ports {
            let monitor = &installed.get("PodMonitor", name)["spec"];
            let pod = &installed.get("Deployment", name)["spec"]["template"]["metadata"]["labels"];
            let selected = monitor["selector"]["matchLabels"].as_object().expect("labels");
            assert!(selected.iter().all(|(label, value)| pod[label] == *value), "{overlay} {name}");
            let job = text(&pod[text(&monitor["jobLabel"])]);
            jobs.insert(job.to_owned());

            let asked = &monitor["podMetricsEndpoints"][0];
            let opened = named(&installed.container(name)["ports"], text(&asked["port"]));
            assert_eq!(opened.expect("a port of that name")["containerPort"], port, "{name}");
            let scraped = prometheus["scrape_configs"].as_array().expect("jobs");
            let scraped = scraped.iter().find(|one| one["job_name"] == job).expect("the job");
            let path = scraped.get("metrics_path").cloned().unwrap_or("/metrics".into());
            assert_eq!(asked["path"], path, "{name}");
            let kept = |list: &Value, member: &str| list[0][member].clone();
            assert_eq!(
                kept(&asked["metricRelabelings"], "regex"),
                kept(&scraped["metric_relabel_configs"], "regex"),
                "{name}"
            );

            let admitted = installed.policy(name, "ingress").iter();
            let admitted: Vec<_> = admitted.filter(|rule| leads_to(rule, &asked["port"])).collect();
            let theirs = json!([{"namespaceSelector": {"matchLabels": {SCRAPES: "true"}}}]);
            assert_eq!(admitted.len(), 1, "{overlay} {name}");
            assert_eq!(admitted[0]["from"], theirs, "{overlay} {name}");
            assert_eq!(admitted[0]["ports"].as_array().map(Vec::len), Some(1), "metrics alone");
            // The gate's Service is for everybody.
            let service = installed.get("Service", name)["spec"]["ports"].as_array();
            assert!(service.expect("ports").iter().all(|one| one["targetPort"] == "https"));
        }
        assert_eq!(jobs, jobs_of_the_rules(), "{overlay}");
    }
}

#[test]
fn the_rules_become_resources_by_the_command_of_the_page() {
    let [script] = &blocks_of_the_docs("for ")[..] else { panic!("one block") };
    let copy = mpgate_testbed::directory().expect("a directory");
    let script = script.replace("deploy/", &format!("{}/deploy/", toolchain::root().display()));
    let made = Command::new("sh").args(["-ec", &script]).current_dir(&copy).output().expect("sh");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = fs::read_to_string(copy.path().join("prometheus-rules.yaml")).expect("a file");
    let mut files = 0;
    for resource in made.split("---\n").filter(|text| !text.is_empty()) {
        let resource = &parsed(resource)[0];
        assert_eq!(resource["apiVersion"], "monitoring.coreos.com/v1");
        assert_eq!(resource["kind"], "PrometheusRule");
        let name = text(&resource["metadata"]["name"]).strip_prefix("mpgate-").expect("a name");
        let file = toolchain::root().join(format!("deploy/prometheus/rules/{name}.yml"));
        assert_eq!(
            resource["spec"],
            parsed(&fs::read_to_string(file).expect("rules"))[0],
            "{name}"
        );
        files += 1;
    }
    assert_eq!(files, 4);
}

#[test]
fn control_reaches_its_database_and_nothing_else() {
    let Some(all) = Installed::all() else { return };
    for (overlay, installed) in all {
        let deployment = &installed.get("Deployment", "mpgate-control")["spec"];
        let egress = installed.policy("mpgate-control", "egress");
        let calls = |port: u16| egress.iter().any(|rule| leads_to(rule, &port.into()));
        // The component for traces is there.
        assert!(calls(4318) && calls(53), "{overlay}: the collector and its name");
        let service = &installed.get("Service", "mpgate-control")["spec"];
        let envoy = installed.0.iter().find(|one| one["data"]["envoy.yaml"].is_string());
        let envoy = parsed(text(&envoy.expect("the gate's configuration")["data"]["envoy.yaml"]));
        let clusters = envoy[0]["static_resources"]["clusters"].as_array().expect("clusters");
        let cluster = clusters.iter().find(|one| one["name"] == "mpgate_control").expect("control");
        if overlay == "overlays/sqlite" {
            assert_eq!(deployment["replicas"], 1);
            assert_eq!(deployment["strategy"], json!({"type": "Recreate"}));
            let file = installed.variable("MPGATE_DATABASE").expect("a database");
            let claim = &installed.volume(text(&file["value"]))["persistentVolumeClaim"];
            installed.get("PersistentVolumeClaim", text(&claim["claimName"]));
            assert!(!calls(5432) && cluster["health_checks"].is_null(), "PostgreSQL's");
        } else {
            assert!(deployment["replicas"].as_u64() >= Some(2), "several replicas");
            assert_eq!(deployment["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
            installed.get("PodDisruptionBudget", "mpgate-control");
            let secret = &installed.variable("DATABASE_URL").expect("a database")["valueFrom"];
            assert_eq!(secret["secretKeyRef"]["name"], "mpgate-database", "not in clear here");
            assert!(installed.variable("MPGATE_DATABASE").is_none(), "it would count first");
            assert!(installed.find("PersistentVolumeClaim", "mpgate-control").is_none());
            assert!(calls(5432), "PostgreSQL");
            // Envoy asks each replica, as the other page says.
            assert_eq!(service["clusterIP"], "None");
            let other = fs::read_to_string(toolchain::root().join("docs/postgresql.md"));
            let other = other.expect("the page");
            let shown = other.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
            let shown = parsed(shown.expect("YAML")).remove(0);
            assert_eq!(cluster["health_checks"], shown["health_checks"]);
        }
    }
}

/// The first token goes with the pod.
#[test]
fn no_token_lies_on_a_volume_that_lasts() {
    let Some(all) = Installed::all() else { return };
    for (overlay, installed) in all {
        let file = installed.variable("MPGATE_ADMIN_TOKEN_FILE").expect("a place for the token");
        assert!(installed.volume(text(&file["value"]))["emptyDir"].is_object(), "{overlay}");
    }
}
