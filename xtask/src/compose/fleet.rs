//! What is asked of docker-compose.fleet.yml: what is changed at one control holds at both gates at once, and goes on
//! while either control, or either gate, is away.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use mpgate_testbed::stack::{CONSUMER, SHOP, purchase};
use mpgate_testbed::{Request, http1};
use serde_json::Value;

use super::containment;
use super::project::{FLEET, Project};
use crate::terminal::Terminal;

const CONTROLS: [&str; 2] = ["control-1", "control-2"];

/// More than the balancer has gates: each gets some.
const TRIES: usize = 10;

/// A key of a sender of its own, with the secret that was issued.
struct Key {
    name: String,
    secret: String,
}

/// The project, where its one address is, and what was issued and accepted so far.
struct Fleet<'a> {
    project: &'a Project<'a>,
    terminal: Terminal,
    balancer: SocketAddr,
    issued: Vec<String>,
    accepted: usize,
}

/// Keys come and go by either control, at both gates, with all there and with one killed.
pub(super) fn requests(project: &Project<'_>, terminal: Terminal) -> Result<()> {
    let balancer = project.address("balancer", "8080")?;
    let mut fleet = Fleet { project, terminal, balancer, issued: Vec::new(), accepted: 0 };
    fleet.is_contained()?;
    fleet.both_controls_know_both_gates()?;
    let [one, two] = CONTROLS;
    fleet.a_key_comes_and_goes(one, two)?;
    for (killed, other) in [(one, two), (two, one)] {
        project.kill(killed)?;
        fleet.tell(&format!("{killed} is killed"));
        fleet.a_key_comes_and_goes(other, other)?;
        project.start(killed)?;
    }
    fleet.a_key_comes_and_goes(two, one)?;
    fleet.one_gate_is_enough()?;
    fleet.the_collector_has_what_was_accepted()?;
    fleet.logs_hold_no_secret()
}

impl Fleet<'_> {
    fn is_contained(&self) -> Result<()> {
        containment::is_hardened(self.project, 8)?;
        let [control, _] = CONTROLS;
        let rest = ["gate-1", "collector", "balancer"];
        containment::is_reached(self.project, ("database", "5432"), control, &rest)?;
        let rest = ["collector", "balancer"];
        containment::is_reached(self.project, ("control", "8081"), "gate-1", &rest)?;
        self.tell("no container is root, can write, or is published beyond this machine");
        self.tell("the database is reached by the controls only");
        Ok(())
    }

    /// Or `--wait` would wait for less than the test says.
    fn both_controls_know_both_gates(&self) -> Result<()> {
        for control in CONTROLS {
            let told = self.mpgate(control, &["gateways", "list"])?;
            let gates = told["gateways"].as_array().context("a list of gateways")?;
            let live = gates.iter().filter(|gate| gate["state"] != "SILENT").count();
            ensure!(live == 2, "{control} knows {live} gates that are alive, not 2: {told}");
        }
        self.tell("both controls know both gates");
        Ok(())
    }

    /// With `--wait` a change is in force at every gate when the command ends, so nothing here is tried twice.
    fn a_key_comes_and_goes(&mut self, from: &str, to: &str) -> Result<()> {
        let key = self.create(from)?;
        self.expect(&format!("created at {from}"), &key.secret, 204, "")?;
        self.mpgate(to, &["keys", "delete", &key.name, "--consumer", CONSUMER, "--wait"])?;
        self.expect(&format!("deleted at {to}"), &key.secret, 403, "revoked")
    }

    fn create(&mut self, control: &str) -> Result<Key> {
        let sender = format!("sender-{}", self.issued.len() + 1);
        let wanted = ["--consumer", CONSUMER, "--sender", &sender, "--stream", SHOP];
        let create = [&["keys", "create"], &wanted[..], &["--show-secret", "--wait"]].concat();
        let told = self.mpgate(control, &create)?;
        let text = |member: &str| told[member].as_str().map(str::to_owned);
        let key = Key {
            name: text("name").context("a key's name")?,
            secret: text("authenticationKey").context("a key's secret")?,
        };
        self.issued.push(key.secret.clone());
        Ok(key)
    }

    /// At each gate, and by way of the one address.
    fn expect(&mut self, what: &str, secret: &str, status: u16, reason: &str) -> Result<()> {
        let request = purchase(SHOP, secret);
        for gate in FLEET.gates {
            let answer = self.project.ask(gate, "8080", &request)?;
            let came = (answer.status, answer.reason());
            ensure!(
                came == (status, reason.to_owned()),
                "{what}: {status} {reason} expected of {gate}, {came:?} came"
            );
            self.accepted += usize::from(status == 204);
        }
        self.by_the_balancer(what, &request, status)?;
        let came = format!("{status} {reason}");
        self.tell(&format!("{what}: {} at both gates", came.trim_end()));
        Ok(())
    }

    fn by_the_balancer(&mut self, what: &str, request: &Request, status: u16) -> Result<()> {
        for _ in 0..TRIES {
            let answer = http1::send(self.balancer, request);
            let came = answer.with_context(|| format!("{what}: by way of the balancer"))?.status;
            ensure!(came == status, "{what}: {status} expected of the balancer, {came} came");
            self.accepted += usize::from(status == 204);
        }
        Ok(())
    }

    /// Last: a gate that comes back is another one to control, which waits a minute for the one that went.
    fn one_gate_is_enough(&mut self) -> Result<()> {
        let key = self.create(CONTROLS[0])?;
        let request = purchase(SHOP, &key.secret);
        for gate in FLEET.gates {
            self.project.kill(gate)?;
            self.by_the_balancer(&format!("{gate} killed"), &request, 204)?;
            self.tell(&format!("{gate} is killed: 204, {TRIES} times of {TRIES}"));
            self.project.start(gate)?;
        }
        self.by_the_balancer("both gates are back", &request, 204)
    }

    fn the_collector_has_what_was_accepted(&self) -> Result<()> {
        let collector = self.project.address("collector", "8080")?;
        let shown = http1::send(collector, &Request::get("/events"))?.json()?;
        let events = shown["events"].as_array().context("no events in the answer")?.len();
        ensure!(events == self.accepted, "{} were accepted, {events} came", self.accepted);
        let told = shown.to_string();
        ensure!(
            !self.issued.iter().any(|secret| told.contains(secret)),
            "the collector got a sender's secret"
        );
        self.tell(&format!("the collector has all {events}, and no sender's secret"));
        Ok(())
    }

    fn logs_hold_no_secret(&self) -> Result<()> {
        let secrets: Vec<_> = self.issued.iter().map(|it| ("a sender's", it.as_str())).collect();
        containment::logs_hold_no_secret(self.project, CONTROLS[0], FLEET.gates[0], &secrets)?;
        self.tell("the containers' logs hold no secret");
        Ok(())
    }

    fn mpgate(&self, control: &str, words: &[&str]) -> Result<Value> {
        let command = [&["mpgate"], words, &["--output", "json"]].concat();
        Ok(serde_json::from_str(&self.project.exec(control, &command)?)?)
    }

    fn tell(&self, what: &str) {
        println!("  {} {what}", self.terminal.good("✓"));
    }
}
