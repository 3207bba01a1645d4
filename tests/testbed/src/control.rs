//! The control service as a child process, and its HTTP API as the tests and the demo use it.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::artifacts;
use crate::collector::announced;
use crate::hosts::Host;
use crate::http1;
use crate::message::{Request, Response};
use crate::process::Process;

const START: Duration = Duration::from_secs(30);

/// A running `mpgate serve`.
pub struct Control {
    address: SocketAddr,
    directory: PathBuf,
    place: Place,
    token: String,
    process: Option<Process>,
}

/// Where a control runs, and on what.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// A host of its own; else this one.
    pub host: Option<Host>,
    /// PostgreSQL's URL; else a file in the control's directory.
    pub database_url: Option<String>,
    /// The token of an administrator that the database has already.
    pub admin_token: Option<String>,
}

/// A key as it was issued. The secret is shown this once.
#[derive(Clone)]
pub struct IssuedKey {
    /// `measurementConsumers/{mc}/apiKeys/{key}`.
    pub name: String,
    /// What the sender presents as `api_secret`.
    pub secret: String,
    /// The revision that brought it.
    pub revision: u64,
}

impl IssuedKey {
    /// The key's id: the last part of its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Debug for IssuedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "IssuedKey({})", self.name)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Control({})", self.address)
    }
}

impl Control {
    /// Starts a control service on a free port, with its database in `directory`.
    ///
    /// # Errors
    /// It was not built, or does not start.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), directory)
    }

    /// Starts it on this address.
    ///
    /// # Errors
    /// It was not built, or does not start; the address may be taken.
    pub fn start_at(listen: SocketAddr, directory: &Path) -> Result<Self> {
        Self::start_in(Place::default(), listen, directory)
    }

    /// Starts it in another place than beside this process, on a file.
    ///
    /// # Errors
    /// As above.
    pub fn start_in(place: Place, listen: SocketAddr, directory: &Path) -> Result<Self> {
        let (process, address) = serve(&place, listen, directory, &[])?;
        let token = match &place.admin_token {
            Some(token) => token.clone(),
            None => fs::read_to_string(admin_token_file(directory))
                .context("the first admin token")?
                .trim()
                .to_owned(),
        };
        let directory = directory.to_owned();
        Ok(Self { address, directory, place, token, process: Some(process) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it shows its metrics.
    ///
    /// # Errors
    /// Its log does not say.
    pub fn metrics_address(&self) -> Result<SocketAddr> {
        let output = self.output();
        let mut lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.rfind(|line| line["message"] == "metrics");
        let line = line.context("control's log names no address for metrics")?;
        Ok(line["address"].as_str().context("no address")?.parse()?)
    }

    /// The token of the first admin.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.token
    }

    /// The file that holds it.
    #[must_use]
    pub fn admin_token_file(&self) -> PathBuf {
        admin_token_file(&self.directory)
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        database(&self.directory)
    }

    /// Kills the service, as a lost machine would. The database stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Brings a killed service back, on the same address and the same database.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.restart_with(&[])
    }

    /// The same with more variables in its environment.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart_with(&mut self, environment: &[(String, String)]) -> Result<()> {
        self.kill();
        let (process, _) = serve(&self.place, self.address, &self.directory, environment)?;
        self.process = Some(process);
        Ok(())
    }

    /// Asks the service to end (SIGTERM), as an update does, and waits for that.
    ///
    /// # Errors
    /// It was not running, or did not end by itself and with success.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.process.take().context("control is not running")?.end()?;
        ensure!(status.success(), "control was asked to end, and ended with {status}");
        Ok(())
    }

    /// Stops its process where it stands (SIGSTOP), or lets it go on.
    pub fn freeze(&mut self, is_frozen: bool) {
        if let Some(process) = &mut self.process {
            process.signal(if is_frozen { Signal::STOP } else { Signal::CONT });
        }
    }

    /// How it ended; nothing while it lives, or was killed by [`Self::kill`].
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), Process::exit_status)
    }

    /// What the service has written: its log.
    #[must_use]
    pub fn output(&self) -> String {
        let process = self.process.as_ref();
        process.map(|process| process.stdout() + &process.stderr()).unwrap_or_default()
    }

    /// Any call, as the first admin. A status over 299 is an answer too.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        let bearer = format!("Bearer {}", self.token);
        let request = Request::new(method, path).header("authorization", bearer);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        http1::send(self.address, &request)
    }

    /// Creates a consumer.
    ///
    /// # Errors
    /// The service refuses.
    pub fn create_consumer(&self, consumer: &str) -> Result<()> {
        let path = format!("/v1/measurementConsumers?measurementConsumerId={consumer}");
        self.done("POST", &path, Some(&json!({})))?;
        Ok(())
    }

    /// Creates a stream; returns the revision that brought it. Without a mode the gate's holds.
    ///
    /// # Errors
    /// The service refuses.
    pub fn create_stream(
        &self,
        consumer: &str,
        stream: &str,
        mode: Option<&str>,
        upstream_secret: &str,
    ) -> Result<u64> {
        let mut body = json!({
            "streamId": stream,
            "environment": "production",
            "upstreamSecret": upstream_secret,
        });
        if let Some(mode) = mode {
            body["mode"] = mode.into();
        }
        let path = format!("/v1/measurementConsumers/{consumer}/dataStreams");
        revision(&self.done("POST", &path, Some(&body))?)
    }

    /// Changes members of a stream, `{"mode": "dry_run"}` for example; returns the new revision.
    ///
    /// # Errors
    /// The service refuses.
    pub fn change_stream(&self, consumer: &str, stream: &str, change: &Value) -> Result<u64> {
        let path = format!("/v1/measurementConsumers/{consumer}/dataStreams/{stream}");
        revision(&self.done("PATCH", &path, Some(change))?)
    }

    /// Issues a key for a sender.
    ///
    /// # Errors
    /// The service refuses.
    pub fn create_key(&self, consumer: &str, sender: &str, streams: &[&str]) -> Result<IssuedKey> {
        self.create_key_with(consumer, &json!({"sender": sender, "dataStreams": streams}))
    }

    /// Issues a key from a whole body, for `notBefore` and `expireTime`.
    ///
    /// # Errors
    /// The service refuses.
    pub fn create_key_with(&self, consumer: &str, body: &Value) -> Result<IssuedKey> {
        let path = format!("/v1/measurementConsumers/{consumer}/apiKeys");
        let key = self.done("POST", &path, Some(body))?;
        let text = |name: &str| key[name].as_str().map(str::to_owned);
        Ok(IssuedKey {
            name: text("name").context("a key without a name")?,
            secret: text("authenticationKey").context("a key without its secret")?,
            revision: revision(&key)?,
        })
    }

    /// Deletes a key; returns the revision that revoked it.
    ///
    /// # Errors
    /// The service refuses.
    pub fn delete_key(&self, name: &str) -> Result<u64> {
        revision(&self.done("DELETE", &format!("/v1/{name}"), None)?)
    }

    /// Makes a principal with the role of a gateway and returns its token.
    ///
    /// # Errors
    /// The service refuses.
    pub fn create_gateway_token(&self) -> Result<String> {
        let principal = self.done("POST", "/v1/principals", Some(&json!({"role": "gateway"})))?;
        let token = principal["token"].as_str();
        token.map(str::to_owned).context("a principal without a token")
    }

    /// The nodes of the gateways that have not come as far as the list, by what each said last.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn gateways_behind(&self) -> Result<Vec<String>> {
        let list = self.done("GET", "/v1/gateways", None)?;
        let gateways = list["gateways"].as_array().context("no gateways in the answer")?;
        let behind = gateways.iter().filter(|gateway| gateway["lag"] != 0);
        Ok(behind.map(|gateway| gateway["node"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// The newest revision there is.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn head(&self) -> Result<u64> {
        let path = "/v1/allowlist/changes?epoch=&since=0&limit=1&wait=0";
        let page = self.done("GET", path, None)?;
        page["head"].as_u64().context("a page without a head")
    }

    fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.call(method, path, body)?;
        if answer.status != 200 {
            bail!("{method} {path}: {} {}", answer.status, answer.text());
        }
        answer.json()
    }
}

fn serve(
    place: &Place,
    listen: SocketAddr,
    directory: &Path,
    environment: &[(String, String)],
) -> Result<(Process, SocketAddr)> {
    let program = artifacts::control()?;
    let mut command = match &place.host {
        None => Command::new(program),
        Some(host) => host.command(program),
    };
    command.envs(environment.iter().cloned());
    command.arg("serve").arg("--listen").arg(listen.to_string());
    if !listen.ip().is_loopback() {
        command.arg("--allow-plaintext-on-the-network");
    }
    command.arg("--metrics-listen").arg(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string());
    match &place.database_url {
        None => command.arg("--database").arg(database(directory)),
        Some(url) => command.env("DATABASE_URL", url),
    };
    command.arg("--admin-token-file").arg(admin_token_file(directory));
    let mut process = Process::start("control", command, directory)?;
    let address = process.wait_for("control's address", START, announced)?;
    Ok((process, address))
}

fn database(directory: &Path) -> PathBuf {
    directory.join("control.sqlite")
}

fn admin_token_file(directory: &Path) -> PathBuf {
    directory.join("admin-token")
}

fn revision(resource: &Value) -> Result<u64> {
    resource["revision"].as_u64().context("a resource without a revision")
}
