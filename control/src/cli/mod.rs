//! The command line: what may be typed, and the exit status of each way to end.
//!
//! A token is never an argument: arguments are seen by every user of the machine.

mod admin;
mod allowlist;
mod audit;
mod backup;
mod check;
mod client;
mod completion;
mod consumers;
mod credential;
mod database;
mod doctor;
mod end;
mod gateways;
mod keys;
mod limits;
mod mutation;
mod output;
mod principals;
mod reconcile;
mod restore;
mod secret;
mod session;
mod settings;
mod streams;
mod target;
mod top;
mod usage;
mod wait;
mod words;

use core::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt as log, registry};

use self::database::DatabaseArgs;
use self::limits::LimitArgs;
use self::session::Session;
use self::settings::Options;
use crate::serve::{ServeError, Settings, serve};
use crate::tls::Files;
use crate::traces::Traces;

const AFTER_HELP: &str = "\
Settings, by flag (behind the command), else by environment, else from ~/.config/mpgate/config.toml:
  --url         MPGATE_URL         url         where control is (default http://127.0.0.1:8430)
                MPGATE_TOKEN                   the token to call it with
  --token-file  MPGATE_TOKEN_FILE  token_file  a file that holds the token, if MPGATE_TOKEN is not set
  --ca-file     MPGATE_CA_FILE     ca_file     certificates to trust beside the system's
  --consumer    MPGATE_CONSUMER    consumer    whose streams and keys are meant
  --output      MPGATE_OUTPUT      output      table or json
  --config      MPGATE_CONFIG                  another file of settings
Colour is for terminals; NO_COLOR switches it off.

Exit status:
  0  done
  1  control refused the request, a check found a fault, or something failed here
  2  the command line or a setting is wrong
  3  done, but not confirmed by every gateway (--wait)
  4  control cannot be reached
  5  done, and more is missing than --max-gap allows (reconcile)

Examples:
  mpgate serve --database mpgate.sqlite --admin-token-file admin-token
  export MPGATE_TOKEN_FILE=admin-token
  mpgate consumers create acme
  mpgate streams create G-ABC123 --consumer acme --environment production --upstream-secret none
  mpgate keys create --consumer acme --sender billing --stream G-ABC123";

/// Control of mpgate, a gate for Measurement Protocol traffic: the service and its command line.
#[derive(Debug, Parser)]
#[command(name = "mpgate", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control service
    Serve(ServeArgs),
    /// Measurement consumers: the tenants that own streams and keys
    Consumers(Remote<consumers::Verb>),
    /// Data streams: what events are written to, with their mode and upstream secret policy
    Streams(Remote<streams::Verb>),
    /// API keys: the secrets that senders send with
    Keys(Remote<keys::Verb>),
    /// Principals: who may call control
    Principals(Remote<principals::Verb>),
    /// Gateways: who has which revision of the list
    Gateways(Remote<gateways::Verb>),
    /// Who changed what, and when
    Audit(audit::AuditArgs),
    /// What the gates counted of each sender's keys
    Usage(usage::UsageArgs),
    /// Senders live: how much each sends, what is refused and why, and when its next key ends
    Top(top::TopArgs),
    /// Hold a backend's own totals against what the gates counted
    Reconcile(reconcile::ReconcileArgs),
    /// The list that the gates get
    Allowlist(Remote<allowlist::Verb>),
    /// Write what control holds to a new file, while it runs
    Backup(backup::BackupArgs),
    /// Take over what a backup holds, while control runs
    Restore(restore::RestoreArgs),
    /// Recover administration, on control's own machine
    Admin {
        #[command(subcommand)]
        verb: admin::Verb,
    },
    /// Check a gate's, an Envoy's or control's configuration, offline
    Check(check::CheckArgs),
    /// Find out whether control, gate and upstream work, from here; what is wrong, and what to do next
    Doctor(doctor::DoctorArgs),
    /// Print what makes a shell complete this command line
    Completion(completion::CompletionArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mpgate serve
  mpgate serve --listen 127.0.0.1:0 --database /var/lib/mpgate/mpgate.sqlite
  mpgate serve --database postgres://mpgate@db.example/mpgate --admin-token-file admin-token
  mpgate serve --listen 0.0.0.0:8430 --tls-certificate control.crt --tls-private-key control.key
  mpgate serve --metrics-listen 127.0.0.1:9430
  mpgate serve --listen 0.0.0.0:8430 --allow-plaintext-on-the-network --admin-token-file admin-token

The address it listens on is printed on standard output; log lines go to standard error.")]
struct ServeArgs {
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, env = "MPGATE_LISTEN", default_value = "127.0.0.1:8430", value_name = "ADDRESS")]
    listen: core::net::SocketAddr,
    /// Serve Prometheus at /metrics of this address, in clear and to everybody who reaches it; without this
    /// nowhere. It names senders, streams, keys and gateways, and holds no secret
    #[arg(long, env = "MPGATE_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<core::net::SocketAddr>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Where a new database's first admin token goes: a new file of mode 0600. Without this it goes to
    /// the terminal, or without a terminal to `<database>.admin-token`, or mpgate.admin-token where the
    /// database is no file
    #[arg(long, env = "MPGATE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Speak TLS with this certificate: a PEM file, control's own first, then those between it and the
    /// authority. Read again when it changes, and at once on SIGHUP
    #[arg(long, env = "MPGATE_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_private_key")]
    tls_certificate: Option<PathBuf>,
    /// The private key of that certificate: a PEM file that only this user can read
    #[arg(long, env = "MPGATE_TLS_PRIVATE_KEY", value_name = "FILE", requires = "tls_certificate")]
    tls_private_key: Option<PathBuf>,
    /// Listen on more than loopback although there is no TLS: tokens travel in clear
    #[arg(long, env = "MPGATE_ALLOW_PLAINTEXT_ON_THE_NETWORK")]
    allow_plaintext_on_the_network: bool,
    /// This many connections at once; others wait until one ends
    #[arg(long, env = "MPGATE_CONNECTIONS_MAX", default_value_t = 10_000, value_name = "COUNT")]
    connections_max: usize,
    #[command(flatten)]
    limits: LimitArgs,
    /// How much is logged: error, warn, info or debug
    #[arg(long, env = "MPGATE_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    log_level: LevelFilter,
    /// How log lines look
    #[arg(
        long,
        env = "MPGATE_LOG_FORMAT",
        value_enum,
        default_value = "json",
        value_name = "FORMAT"
    )]
    log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// One JSON object a line, for programs.
    Json,
    /// For people.
    Text,
}

fn start_log(format: LogFormat, level: LevelFilter, traces: Option<&Traces>) {
    // Spans are for the collector; a line says by itself what it has to say.
    let lines = filter_fn(move |it| it.is_event() && *it.level() <= level);
    let lines = lines.with_max_level_hint(level);
    let log = log::layer()
        .with_writer(io::stderr)
        // A log that cannot be written (its disk is full) must not end the request that it tells of.
        .log_internal_errors(false);
    let log = match format {
        LogFormat::Json => {
            let json = log.json().flatten_event(true);
            json.with_current_span(false).with_span_list(false).with_filter(lines).boxed()
        }
        LogFormat::Text => log.with_ansi(false).with_filter(lines).boxed(),
    };
    registry().with(log).with(traces.map(Traces::layer)).init();
}

#[derive(Debug, Args)]
struct Remote<V: Subcommand> {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: V,
}

/// Why a command did not do as told.
#[derive(Debug)]
enum CliError {
    /// The command line is wrong in a way that clap cannot see.
    Usage(String),
    /// Control refused, or something failed here.
    Failed(String),
    /// It is done, and not in force everywhere yet.
    NotYet(String),
    /// Control cannot be reached.
    Unreachable(String),
    /// It is done, and what a backend says and what the gates counted are too far apart.
    Gap(String),
}

impl CliError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotYet(_) => 3,
            Self::Unreachable(_) => 4,
            Self::Gap(_) => 5,
        })
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(text)
        | Self::Failed(text)
        | Self::NotYet(text)
        | Self::Unreachable(text)
        | Self::Gap(text)) = self;
        out.write_str(text)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Reads the process's arguments and runs the command they name.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return end(&CliError::from(error)),
    };
    let result = runtime.block_on(run_command(cli.command));
    // A task that does not end in time must not keep the process alive.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(&error),
    }
}

fn end(error: &CliError) -> ExitCode {
    // If standard error is gone there is nobody left to tell.
    let style = output::style_of("fail").bold();
    writeln!(anstream::stderr(), "{style}error:{style:#} {error}").ok();
    error.exit_code()
}

async fn run_command(command: Command) -> Result<(), CliError> {
    match command {
        Command::Serve(arguments) => run_serve(arguments).await,
        Command::Consumers(remote) => {
            consumers::run(remote.verb, &Session::open(&remote.options)?).await
        }
        Command::Streams(remote) => {
            streams::run(remote.verb, &Session::open(&remote.options)?).await
        }
        Command::Keys(remote) => keys::run(remote.verb, &Session::open(&remote.options)?).await,
        Command::Principals(remote) => {
            principals::run(remote.verb, &Session::open(&remote.options)?).await
        }
        Command::Gateways(remote) => {
            gateways::run(remote.verb, &Session::open(&remote.options)?).await
        }
        Command::Audit(arguments) => audit::run(arguments).await,
        Command::Usage(arguments) => usage::run(arguments).await,
        Command::Top(arguments) => top::run(arguments).await,
        Command::Reconcile(arguments) => reconcile::run(arguments).await,
        Command::Allowlist(remote) => {
            allowlist::run(remote.verb, &Session::open(&remote.options)?).await
        }
        Command::Backup(arguments) => backup::run(&arguments).await,
        Command::Restore(arguments) => restore::run(&arguments).await,
        Command::Admin { verb } => admin::run(&verb).await,
        Command::Check(arguments) => {
            let serve = ServeArgs::augment_args(clap::Command::new("serve"));
            check::run(&arguments, &serve)
        }
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Completion(arguments) => completion::run(&arguments, &mut Cli::command()),
    }
}

async fn run_serve(arguments: ServeArgs) -> Result<(), CliError> {
    let traces = Traces::start().map_err(CliError::Failed)?;
    start_log(arguments.log_format, arguments.log_level, traces.as_ref());
    let settings = Settings {
        listen: arguments.listen,
        metrics_listen: arguments.metrics_listen,
        database: arguments.database.place()?,
        admin_token_file: arguments.admin_token_file,
        tls: arguments
            .tls_certificate
            .zip(arguments.tls_private_key)
            .map(|(certificate, private_key)| Files { certificate, private_key }),
        allow_plaintext_on_the_network: arguments.allow_plaintext_on_the_network,
        connections_max: arguments.connections_max,
        limits: arguments.limits.limits(),
    };
    let database = settings.database.clone();
    let ended = serve(settings).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    ended.map_err(|error| match error {
        ServeError::Open(_) | ServeError::Service(_) => {
            CliError::Failed(format!("the database {database}: {error}"))
        }
        error => CliError::Failed(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn look(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let has_verbs = command.get_subcommands().next().is_some();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(has_verbs || help.contains("mpgate "), "no example in the help of{path}");
            for verb in command.get_subcommands() {
                look(verb, &path);
            }
        }
        look(&Cli::command(), "");
    }
}
