//! Child processes that never outlive whoever started them.
//!
//! Each runs in a process group of its own and is ended by its own id: when its [`Process`] is
//! dropped, when [`end_all`] is called, and, on Linux, by the kernel when this process dies without
//! doing either. No process is ever looked up by name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::poll;

/// How much of an output is shown when something fails. Envoy's first lines list all it was built with.
const TAIL_LINES: usize = 40;
const LINE_CHARS_MAX: usize = 300;

/// What a process is given to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A child process with its output in files.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    exited: Option<ExitStatus>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a command. Its output goes to `{name}.stdout` and `{name}.stderr` in `directory`.
    ///
    /// # Errors
    /// The files cannot be made, or the command cannot be started.
    pub fn start(name: &str, command: Command, directory: &Path) -> Result<Self> {
        let stdout = directory.join(format!("{name}.stdout"));
        let stderr = directory.join(format!("{name}.stderr"));
        let program = command.get_program().to_string_lossy().into_owned();
        let mut command = dying_with_parent(command);
        command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).with_context(|| stdout.display().to_string())?)
            .stderr(File::create(&stderr).with_context(|| stderr.display().to_string())?);
        let child = spawn(command).with_context(|| format!("cannot start {program}"))?;
        living().insert(child.id());
        Ok(Self { name: name.to_owned(), child, exited: None, stdout, stderr })
    }

    /// The process's id, which is its group's too.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Asks until there is an answer, as long as the process lives.
    ///
    /// # Errors
    /// The process ends or `limit` passes first; the error holds the end of its output.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ask: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T> {
        let waited = poll::until_ok(what, limit, || {
            let status = self.exit_status()?;
            match (ask(self), status) {
                (None, Some(status)) => bail!("{} ended with {}", self.name, told(status)),
                (answer, _) => Ok(answer),
            }
        });
        waited.with_context(|| self.account())
    }

    /// How it ended; nothing while it lives.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait()?;
            if self.exited.is_some() {
                living().remove(&self.child.id());
            }
        }
        Ok(self.exited)
    }

    /// Asks it to end (SIGTERM), and kills it if it does not.
    ///
    /// # Errors
    /// The operating system does not say how it ended.
    pub fn end(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        if let Ok(status) = poll::until_ok("its end", GRACE, || self.exit_status()) {
            return Ok(status);
        }
        self.kill();
        self.exited.context("it was killed, but its status is not known")
    }

    /// Kills it and everything it started.
    pub fn kill(&mut self) {
        if matches!(self.exit_status(), Ok(None)) {
            self.signal(Signal::KILL);
            // A killed process is gone at once; waiting for it keeps no zombie.
            self.exited = self.child.wait().ok();
            living().remove(&self.child.id());
        }
    }

    /// Stops and resumes it, to stand in for a machine that hangs.
    pub fn signal(&mut self, signal: Signal) {
        // The child has not been waited for, so the id is still its own.
        if matches!(self.exit_status(), Ok(None)) {
            end_group(self.child.id(), signal);
        }
    }

    fn account(&self) -> String {
        format!(
            "{}\n--- {} ---\n{}\n--- {} ---\n{}",
            self.name,
            self.stdout.display(),
            tail(&self.stdout()),
            self.stderr.display(),
            tail(&self.stderr())
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.account());
        }
        self.kill();
    }
}

/// Runs a command with this process's own terminal and waits for its end; Ctrl-C ends it too.
///
/// # Errors
/// It cannot be started.
pub fn run(command: Command) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child =
        spawn(dying_with_parent(command)).with_context(|| format!("cannot start {program}"))?;
    living().insert(child.id());
    let status = child.wait();
    living().remove(&child.id());
    Ok(status?)
}

/// Kills every process that was started here and still lives: for a handler of Ctrl-C, which has no
/// way to drop what others own.
pub fn end_all() {
    for id in std::mem::take(&mut *living()) {
        end_group(id, Signal::KILL);
    }
}

fn living() -> MutexGuard<'static, BTreeSet<u32>> {
    static LIVING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end_group(id: u32, signal: Signal) {
    if let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // It may have ended between the question and the signal; then there is nothing to do.
        let _ended = kill_process_group(group, signal);
    }
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a command from the one thread that lives as long as this process.
///
/// The kernel's parent-death signal is sent when the *thread* that started a child ends. A test's
/// thread ends with the test, and may have started something that others use.
fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _unread = reply.send(command.process_group(0).spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = channel();
    let order = (command, reply);
    let sent = STARTER.lock().unwrap_or_else(PoisonError::into_inner).send(order);
    sent.map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

/// The same command behind util-linux's `setpriv`, which asks the kernel for SIGKILL when the parent
/// dies and then becomes the command. Where there is none, only an orderly end cleans up. Redirections
/// are set on what this returns; they cannot be read back from a command.
fn dying_with_parent(command: Command) -> Command {
    static SETPRIV: LazyLock<bool> = LazyLock::new(|| {
        let asked = Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).output();
        asked.is_ok_and(|output| output.status.success())
    });
    if *SETPRIV { behind_setpriv(&command) } else { command }
}

fn behind_setpriv(command: &Command) -> Command {
    let mut guarded = Command::new("setpriv");
    guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
    guarded.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(name, value),
            None => guarded.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        guarded.current_dir(directory);
    }
    guarded
}

fn told(status: ExitStatus) -> String {
    status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"))
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default();
    let cut = |line: &&str| line.chars().take(LINE_CHARS_MAX).collect::<String>();
    last.iter().map(cut).collect::<Vec<_>>().join("\n")
}
