//! A PostgreSQL of one's own: a cluster in a directory that goes, on a free port, ended with whoever started it.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::hosts::Host;
use crate::toolchain::{Tell, output};
use crate::{debian, poll};

const START: Duration = Duration::from_mins(1);

/// What the server needs where it is not there.
const NEEDED: &str = "PostgreSQL's server (Debian: apt-get and dpkg-deb suffice, it is then unpacked by itself), \
    or set POSTGRES_BIN to the directory of its programs";

/// The user that a server started by root runs as: it refuses root.
const NOBODY: u32 = 65_534;

/// Waits until it is told that the server has ended, or for the end of whoever holds its standard input: then it
/// ends the server and takes its files away.
const KEEPER: &str = r#"directory=$1; shift; "$@" & server=$!
    if read -r _; then wait; else kill -QUIT "$server"; wait; rm -rf "$directory"; fi"#;

/// A database cluster with its server.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    /// A host of its own; else this one.
    host: Option<Host>,
    port: u16,
    is_durable: bool,
    keeper: Option<Child>,
}

impl Cluster {
    /// A new cluster that is running. Durable: what it commits survives the loss of the machine, and takes longer.
    ///
    /// # Errors
    /// There is no PostgreSQL here, or it does not start; the error says what to install.
    pub fn start(is_durable: bool) -> Result<Self> {
        Self::start_in(Self::place(is_durable)?)
    }

    /// The same on a host of its own, whose neighbours may come in.
    ///
    /// # Errors
    /// As above.
    pub fn start_on(host: Host, is_durable: bool) -> Result<Self> {
        let mut cluster = Self::place(is_durable)?;
        cluster.host = Some(host);
        Self::start_in(cluster)
    }

    fn start_in(mut cluster: Self) -> Result<Self> {
        let data = cluster.data();
        let init = ["-U", "mpgate", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
        cluster.tool("initdb", &[&["-D", &data][..], &init].concat())?;
        if cluster.host.is_some() {
            let rules = cluster.directory.join("data/pg_hba.conf");
            fs::File::options()
                .append(true)
                .open(rules)?
                .write_all(b"host all all samenet trust\n")?;
        }
        cluster.run()?;
        Ok(cluster)
    }

    /// A standby that streams from this one.
    ///
    /// # Errors
    /// The copy cannot be made, or does not start.
    pub fn standby(&self) -> Result<Self> {
        let mut standby = Self::place(self.is_durable)?;
        let (data, port) = (standby.data(), self.port.to_string());
        let copy =
            ["-h", "127.0.0.1", "-p", &port, "-U", "mpgate", "-D", &data, "-R", "-c", "fast"];
        standby.tool("pg_basebackup", &copy)?;
        standby.run()?;
        Ok(standby)
    }

    fn place(is_durable: bool) -> Result<Self> {
        // Not in `target`: the server's user may have no way there. Its keeper takes it away.
        let directory = crate::directory()?.keep();
        if is_root() {
            chown(&directory, Some(NOBODY), Some(NOBODY))?;
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self {
            programs: programs(&mut |step| eprintln!("{step}"))?,
            directory,
            host: None,
            port,
            is_durable,
            keeper: None,
        })
    }

    /// Starts the server on what the directory holds.
    ///
    /// # Errors
    /// It does not start; the error holds its log.
    pub fn run(&mut self) -> Result<()> {
        let log = self.directory.join("log");
        let log = fs::File::options().create(true).append(true).open(log)?;
        let mut server = self.command("postgres");
        server.args(["-D", &self.data(), "-p", &self.port.to_string()]);
        let sockets = format!("unix_socket_directories={}", self.directory.display());
        let fsync = format!("fsync={}", if self.is_durable { "on" } else { "off" });
        let listen = format!("listen_addresses={}", self.address());
        for setting in [&*sockets, &fsync, &listen, "max_connections=300"] {
            server.args(["-c", setting]);
        }
        server.args(["-c", "shared_buffers=32MB", "-c", "log_lock_waits=on"]);
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(&self.directory);
        if let Some(host) = &self.host {
            let within = host.command(server.get_program());
            keeper.arg(within.get_program()).args(within.get_args());
        } else {
            keeper.arg(server.get_program());
        }
        keeper.args(server.get_args()).stdin(Stdio::piped());
        keeper.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
        keeper.stdout(log.try_clone()?).stderr(log);
        // A signal to this process's group shall find a keeper that does its work.
        keeper.process_group(0);
        self.keeper = Some(keeper.spawn().context("a shell")?);
        let port = self.port.to_string();
        let host = self.address().to_string();
        let ready = ["-q", "-h", &host, "-p", &port, "-U", "mpgate", "-d", "postgres"];
        poll::until("PostgreSQL's answer", START, || self.tool("pg_isready", &ready).ok())
            .with_context(|| fs::read_to_string(self.directory.join("log")).unwrap_or_default())?;
        Ok(())
    }

    /// Makes an empty database and answers its URL.
    ///
    /// # Errors
    /// The server refuses.
    pub fn database(&self, name: &str) -> Result<String> {
        // Two copies of one template at the same time refuse each other.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE template0"))?;
        Ok(self.url(name))
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        // On the network control asks for TLS, unless it is told otherwise.
        let clear = if self.host.is_some() { "?sslmode=disable" } else { "" };
        format!("postgres://mpgate@{}:{}/{name}{clear}", self.address(), self.port)
    }

    fn address(&self) -> Ipv4Addr {
        self.host.as_ref().map_or(Ipv4Addr::LOCALHOST, Host::address)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL, and answers what it answers, without frames.
    ///
    /// # Errors
    /// The server refuses.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let url = self.url(database);
        self.tool("psql", &["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", sql])
    }

    /// Runs one of PostgreSQL's programs, as the server's user.
    ///
    /// # Errors
    /// It fails.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(name);
        let run = command.args(arguments).output().with_context(|| format!("{name}: {NEEDED}"))?;
        if !run.status.success() {
            bail!("{name}: {}", String::from_utf8_lossy(&run.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&run.stdout).trim().to_owned())
    }

    /// Ends the server, as `pg_ctl stop` does it: `fast`, or `immediate`, which is as a lost machine would.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self, mode: &str) -> Result<()> {
        self.tool("pg_ctl", &["stop", "-w", "-D", &self.data(), "-m", mode])?;
        if let Some(mut keeper) = self.keeper.take() {
            keeper.stdin.take().context("the keeper listens")?.write_all(b"ended\n")?;
            keeper.wait()?;
        }
        Ok(())
    }

    /// Makes a standby the one that writes.
    ///
    /// # Errors
    /// It is none.
    pub fn promote(&self) -> Result<()> {
        self.tool("pg_ctl", &["promote", "-w", "-D", &self.data()])?;
        Ok(())
    }

    /// A directory that the server's user can write to.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn data(&self) -> String {
        self.directory.join("data").display().to_string()
    }

    fn command(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let user = NOBODY.to_string();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        if let Some(root) = self.programs.ancestors().nth(5).filter(|root| root.parent().is_some())
        {
            // Unpacked, not installed: its libraries are beside it.
            let machine = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
            command.env("LD_LIBRARY_PATH", root.join(machine));
        }
        command.current_dir(&self.directory).stdin(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut keeper) = self.keeper.take() else {
            fs::remove_dir_all(&self.directory).ok();
            return;
        };
        drop(keeper.stdin.take());
        keeper.wait().ok();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where PostgreSQL's programs are: `$POSTGRES_BIN`, else Debian's newest, else those on PATH, else Debian's
/// packages, unpacked for this only.
///
/// # Errors
/// There are none and none can be got; the error says what to install.
pub fn programs(tell: Tell<'_>) -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("POSTGRES_BIN") {
        let chosen = PathBuf::from(chosen);
        ensure!(has_server(&chosen), "POSTGRES_BIN={} holds no server", chosen.display());
        return Ok(chosen);
    }
    if let Some(newest) = newest(Path::new("/")) {
        return Ok(newest);
    }
    let on_path = output("pg_config", &["--bindir"], NEEDED).map(|told| PathBuf::from(told.trim()));
    if let Ok(found) = on_path.as_deref()
        && has_server(found)
    {
        return Ok(found.to_owned());
    }
    let place = debian::unpacked("postgresql-debian", NEEDED, tell, packages)?;
    newest(&place).with_context(|| format!("no server in {}; {NEEDED}", place.display()))
}

fn newest(root: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(root.join("usr/lib/postgresql")).ok()?;
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let newest =
        found.filter(|path| has_server(&path.join("bin"))).max_by_key(|path| version(path));
    newest.map(|path| path.join("bin"))
}

fn has_server(programs: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl", "psql"].iter().all(|name| programs.join(name).is_file())
}

/// Server, client, and the libraries that this machine lacks.
fn packages(options: &[String]) -> Result<Vec<String>> {
    let depends = "depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances postgresql";
    let asked: Vec<_> = options.iter().map(String::as_str).chain(depends.split(' ')).collect();
    let asked: Vec<_> = asked.into_iter().filter(|word| !word.is_empty()).collect();
    let known = output("apt-cache", &asked, NEEDED)?;
    let installed = output("dpkg-query", &["--show", "--showformat=${Package}\n"], NEEDED)?;
    let is_server = |name: &str| {
        let version = name.trim_start_matches("postgresql-").trim_start_matches("client-");
        name.starts_with("postgresql-") && version.parse::<u32>().is_ok()
    };
    // Its compiler of queries (LLVM) is loaded only for large ones.
    let is_library = |name: &str| {
        let is_left_out = name.starts_with("libllvm") || name.contains("perl");
        name.starts_with("lib") && !is_left_out && !installed.lines().any(|there| there == name)
    };
    let names = known.lines().map(str::trim_end).filter(|name| is_server(name) || is_library(name));
    Ok(names.map(str::to_owned).collect())
}
