//! What is asked of docker-compose.yml, and what must come back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mpgate_testbed::stack::{CLUB, CONSUMER, SHOP, UPSTREAM_SECRET, purchase};
use mpgate_testbed::{Request, http1, poll};
use serde_json::Value;

use super::project::Project;
use super::{containment, go_on, watch};
use crate::terminal::Terminal;

/// What DESIGN promises for a revocation.
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

/// A secret that was never issued, in the shape of GA4's own.
const STRANGER: &str = "q7Yw2LrTzKc0Vx9NfPd4Hg";

/// The two senders' secrets, and where things are.
struct Site<'a> {
    project: &'a Project<'a>,
    terminal: Terminal,
    gate: SocketAddr,
    collector: SocketAddr,
    billing: String,
    crm: String,
}

/// Genuine, spoofed and revoked requests, and what the containers may do and have told.
pub(super) fn requests(project: &Project<'_>, terminal: Terminal) -> Result<()> {
    let site = Site::of(project, terminal)?;
    site.is_contained()?;
    site.genuine()?;
    site.spoofed()?;
    site.revoked()?;
    site.logs_hold_no_secret()?;
    for told in watch::prometheus(project)? {
        site.tell(&told);
    }
    Ok(())
}

/// After a stop the same keys hold, and what was revoked stays so.
pub(super) fn again(project: &Project<'_>, terminal: Terminal) -> Result<()> {
    let before = Site::of(project, terminal)?;
    project.stop()?;
    project.up()?;
    let after = Site::of(project, terminal)?;
    ensure!(before.billing == after.billing && before.crm == after.crm, "new secrets were issued");
    after.expect("billing's key still holds", SHOP, &after.billing, 204, "")?;
    after.expect("crm's is still revoked", CLUB, &after.crm, 403, "revoked")
}

impl<'a> Site<'a> {
    fn of(project: &'a Project<'a>, terminal: Terminal) -> Result<Self> {
        let secret = |sender| {
            let file = format!("/run/operator/{sender}.secret");
            project.exec("control", &["cat", &file])
        };
        Ok(Self {
            project,
            terminal,
            gate: project.address("gate", "8080")?,
            collector: project.address("collector", "8080")?,
            billing: secret("billing")?,
            crm: secret("crm")?,
        })
    }

    fn genuine(&self) -> Result<()> {
        self.expect("billing's event passes", SHOP, &self.billing, 204, "")?;
        self.expect("crm's event passes", CLUB, &self.crm, 204, "")?;
        let events = self.events()?;
        let [shop, club] = &*events else {
            bail!("the collector has {} events, not 2", events.len())
        };
        let told = [shop, club].map(Value::to_string);
        for secret in [&self.billing, &self.crm] {
            ensure!(
                told.iter().all(|event| !event.contains(secret)),
                "the collector got a sender's secret"
            );
        }
        ensure!(
            told[0].contains(r#"["x-mpgate-sender","billing"]"#),
            "the sender is not named: {shop}"
        );
        ensure!(told[0].contains("T-1001"), "the event's body did not arrive: {shop}");
        ensure!(told[1].contains(UPSTREAM_SECRET), "the upstream's secret was not put in");
        self.tell("the collector has both, and no sender's secret");
        Ok(())
    }

    fn spoofed(&self) -> Result<()> {
        let rows = [
            ("a secret that nobody has", SHOP, STRANGER, 401, "unknown_secret"),
            ("no secret", SHOP, "", 401, "missing_secret"),
            ("somebody else's stream", CLUB, &self.billing, 403, "stream_not_granted"),
        ];
        for (what, stream, secret, status, reason) in rows {
            self.expect(what, stream, secret, status, reason)?;
        }
        ensure!(self.events()?.len() == 2, "a spoofed event reached the collector");
        self.tell("none of them reached the collector");
        Ok(())
    }

    fn revoked(&self) -> Result<()> {
        let mpgate = |words: &[&str]| {
            let command =
                [&["mpgate", "keys"], words, &["--consumer", CONSUMER, "--output", "json"]];
            self.project.exec("control", &command.concat())
        };
        let keys: Value = serde_json::from_str(&mpgate(&["list"])?)?;
        let keys = keys["apiKeys"].as_array().context("a list of keys")?;
        let crm = keys.iter().find(|key| key["sender"] == "crm").context("crm's key")?;
        mpgate(&["delete", crm["name"].as_str().context("its name")?])?;
        let deleted = Instant::now();
        let request = purchase(CLUB, &self.crm);
        let answer = poll::until_ok("the refusal of a revoked key", REVOKED_WITHIN, || {
            go_on()?;
            let answer = http1::send(self.gate, &request)?;
            Ok((answer.status != 204).then_some(answer))
        })?;
        ensure!((answer.status, &*answer.reason()) == (403, "revoked"), "{}", answer.text());
        self.tell(&format!(
            "crm's key, deleted: 403 revoked, {} ms after the command ended",
            deleted.elapsed().as_millis()
        ));
        self.expect("billing's key holds", SHOP, &self.billing, 204, "")
    }

    fn is_contained(&self) -> Result<()> {
        containment::is_hardened(self.project, 5)?;
        let control = ("control", "8081");
        containment::is_reached(self.project, control, "gate", &["collector"])?;
        self.tell("no container is root, can write, or is published beyond this machine");
        Ok(())
    }

    fn logs_hold_no_secret(&self) -> Result<()> {
        let secrets =
            [("billing's", &*self.billing), ("crm's", &self.crm), ("the stranger's", STRANGER)];
        containment::logs_hold_no_secret(self.project, "control", "gate", &secrets)?;
        self.tell("the containers' logs hold no secret");
        Ok(())
    }

    fn expect(
        &self,
        what: &str,
        stream: &str,
        secret: &str,
        status: u16,
        reason: &str,
    ) -> Result<()> {
        let answer = http1::send(self.gate, &purchase(stream, secret))?;
        let came = (answer.status, answer.reason());
        ensure!(
            came == (status, reason.to_owned()),
            "{what}: {status} {reason} expected, {came:?} came"
        );
        self.tell(&format!("{what}: {status} {reason}"));
        Ok(())
    }

    fn events(&self) -> Result<Vec<Value>> {
        let shown = http1::send(self.collector, &Request::get("/events"))?.json()?;
        Ok(shown["events"].as_array().context("no events in the answer")?.clone())
    }

    fn tell(&self, what: &str) {
        println!("  {} {}", self.terminal.good("✓"), what.trim_end());
    }
}
