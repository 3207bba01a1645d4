//! `mpgate serve`: opens the database, hands out the first admin token, listens (with TLS when it has a
//! certificate), and ends quickly when told to.

use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api::{App, FailureLimit, Pages, router};
use crate::keys::Shown;
use crate::metrics::{self, Counted, Metrics};
use crate::names::PrincipalId;
use crate::service::{self, Limits, Service};
use crate::store::place::Place;
use crate::store::{OpenError, StoreError};
use crate::tls::{Files, Tls, TlsError};
use crate::{grpc, listener};

/// How long requests under way may take once the process was told to end.
const GRACE: Duration = Duration::from_secs(5);

/// Files that are no connection: the database's, the log, the runtime's own.
const OTHER_FILES: u64 = 128;

/// Connections at once to the metrics: a Prometheus or two, and somebody who looks.
const METRICS_CONNECTIONS_MAX: usize = 16;

/// How often what was heard of gateways and tokens is looked through.
const WRITE_HEARD: Duration = Duration::from_millis(250);

/// How often it is looked for usage that is too old to be kept.
const FORGET_USAGE: Duration = Duration::from_mins(10);

/// What `serve` needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where Prometheus reads; without it nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The database; a file is created if missing.
    pub database: Place,
    /// Where the first admin token goes. `None`: to the terminal, or without one to a file beside
    /// the database.
    pub admin_token_file: Option<PathBuf>,
    /// Certificate and private key; without them it speaks in clear.
    pub tls: Option<Files>,
    /// Tokens may travel in clear to other machines.
    pub allow_plaintext_on_the_network: bool,
    /// This many connections at once; others wait.
    pub connections_max: usize,
    /// How many of each there may be.
    pub limits: Limits,
}

/// Why control does not run.
#[derive(Debug)]
pub enum ServeError {
    /// The address is not loopback, and nobody said that plaintext will do.
    Plaintext(SocketAddr),
    /// Certificate or key will not do.
    Tls(TlsError),
    /// The address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The address of the metrics cannot be listened on.
    Metrics(SocketAddr, io::Error),
    /// The database cannot be used.
    Open(OpenError),
    /// The first admin could not be stored.
    Service(service::Error),
    /// The first admin token could not be written there.
    TokenFile(PathBuf, io::Error),
    /// The services cannot be described.
    Grpc(tonic_reflection::server::Error),
    /// Standard output or the signals failed.
    Io(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plaintext(address) => write!(
                out,
                "{address} can be reached from other machines, and tokens would travel in clear; give a certificate \
                 with --tls-certificate and --tls-private-key, listen on 127.0.0.1, or say \
                 --allow-plaintext-on-the-network"
            ),
            Self::Tls(error) => write!(out, "TLS: {error}"),
            Self::Listen(address, error) => {
                write!(out, "cannot listen on {address}: {error}; choose another with --listen")
            }
            Self::Metrics(address, error) => write!(
                out,
                "cannot listen on {address} for metrics: {error}; choose another with --metrics-listen"
            ),
            Self::Open(error) => error.fmt(out),
            Self::Service(error) => error.fmt(out),
            Self::TokenFile(path, error) => write!(
                out,
                "cannot write the first admin token to {}: {error}; the file must be new, so move it away or name \
                 another with --admin-token-file",
                path.display()
            ),
            Self::Grpc(error) => write!(out, "gRPC reflection: {error}"),
            Self::Io(error) => error.fmt(out),
        }
    }
}

impl core::error::Error for ServeError {}

impl From<service::Error> for ServeError {
    fn from(error: service::Error) -> Self {
        Self::Service(error)
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(settings: Settings) -> Result<(), ServeError> {
    let address = settings.listen;
    let is_private = address.ip().is_loopback() || settings.tls.is_some();
    if !is_private && !settings.allow_plaintext_on_the_network {
        return Err(ServeError::Plaintext(address));
    }
    let metrics = Metrics::default();
    let tls = settings.tls.clone().map(|files| Tls::load(files, metrics.clone()));
    let tls = tls.transpose().map_err(ServeError::Tls)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Io)?;
    // Before the database: a taken port leaves no file behind.
    let listener =
        TcpListener::bind(address).await.map_err(|error| ServeError::Listen(address, error))?;
    let metrics_listener = match settings.metrics_listen {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(|error| ServeError::Metrics(address, error))?,
        ),
        None => None,
    };
    let store = settings.database.open().await.map_err(ServeError::Open)?;
    let counted = Counted { store: Arc::clone(&store), metrics: metrics.clone() };
    let service = Service::new(Arc::new(counted), settings.limits);
    first_admin(&service, &settings).await?;

    make_room_for_connections(settings.connections_max);
    let (stop, stopping) = watch::channel(false);
    let heard = tokio::spawn(write_heard(service.clone(), stopping.clone()));
    tokio::spawn(forget_usage(service.clone(), stopping.clone()));
    if let Some(listener) = metrics_listener {
        let address = listener.local_addr().map_err(ServeError::Io)?;
        tracing::info!(%address, "metrics");
        let page = metrics::router(service.clone(), metrics.clone());
        let readers =
            listener::run(listener, METRICS_CONNECTIONS_MAX, None, page, stopping.clone());
        tokio::spawn(readers);
    }
    let app = App {
        service,
        metrics,
        failures: FailureLimit::default(),
        pages: Pages::default(),
        stopping: stopping.clone(),
    };
    let services = grpc::router(app.clone()).await.map_err(ServeError::Grpc)?;
    let app = router(app).merge(services);
    let local = listener.local_addr().map_err(ServeError::Io)?;
    let config = tls.as_ref().map(Tls::config);
    let scheme = if config.is_some() { "https" } else { "http" };
    if let Some(tls) = tls {
        // Without a certificate the signal keeps its meaning: the terminal is gone.
        let hangup = signal(SignalKind::hangup()).map_err(ServeError::Io)?;
        tokio::spawn(tls.keep_fresh(hangup));
    }
    writeln!(io::stdout(), "listening on {scheme}://{local}").map_err(ServeError::Io)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %local, scheme, "listening");

    let server = listener::run(listener, settings.connections_max, config, app, stopping);
    let mut server = tokio::spawn(server);
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
        ended = &mut server => {
            return ended.map_err(|error| ServeError::Io(io::Error::other(error)));
        }
    }
    stop.send_replace(true);
    if tokio::time::timeout(GRACE, server).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    heard.await.ok();
    // Closing waits for transactions under way; beyond the grace the log of SQLite does as well.
    tokio::time::timeout(GRACE, store.close()).await.ok();
    tracing::info!("ended");
    Ok(())
}

/// Writes what was heard of gateways and tokens, and who was denied what, until the process ends, and once more then.
async fn write_heard(service: Service, mut stopping: watch::Receiver<bool>) {
    loop {
        let ends = tokio::time::timeout(WRITE_HEARD, stopping.changed()).await.is_ok();
        if let Err(error) = service.write_heard(ends).await {
            tracing::warn!(%error, "what was heard of gateways could not be written");
        }
        if let Err(error) = service.write_denied(ends).await {
            tracing::warn!(%error, "attempts that were denied could not be written to the trail");
        }
        if ends {
            return;
        }
    }
}

/// Forgets what is too old of what gates counted, a little at a time, until the process ends.
async fn forget_usage(service: Service, mut stopping: watch::Receiver<bool>) {
    loop {
        let more = service.forget_usage().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "old usage could not be forgotten");
            false
        });
        let pause = if more { WRITE_HEARD } else { FORGET_USAGE };
        if tokio::time::timeout(pause, stopping.changed()).await.is_ok() {
            return;
        }
    }
}

/// Asks the system for as many open files as this many connections take, and says so where it will not
/// give them. An accepted connection is a file; the database needs a few more.
fn make_room_for_connections(connections_max: usize) {
    let wanted = u64::try_from(connections_max).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let granted = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let limit = Rlimit { current: Some(granted), maximum };
    if setrlimit(Resource::Nofile, limit).is_err() || granted < wanted {
        tracing::warn!(
            connections_max,
            open_files_max = granted,
            "the system allows fewer open files than connections_max takes: raise the limit (ulimit -n, LimitNOFILE)"
        );
    }
}

/// A database that never had a principal gets one, and its token goes where only its owner looks.
async fn first_admin(service: &Service, settings: &Settings) -> Result<(), ServeError> {
    let file = match &settings.admin_token_file {
        Some(path) => Some(path.clone()),
        None if io::stdout().is_terminal() => None,
        None => Some(beside(&settings.database)),
    };
    let file = file.as_deref();
    let Some((token, principal)) =
        admin(file, async |keep| service.first_admin(keep).await).await?
    else {
        return Ok(());
    };
    let Some(path) = file else {
        let mut out = io::stdout().lock();
        return writeln!(out, "the admin token of {principal}, shown this once:")
            .and_then(|()| token.write_line(&mut out))
            .map_err(ServeError::Io);
    };
    tracing::info!(file = %path.display(), "the admin token is in this file");
    Ok(())
}

/// Makes an administrator's token anew.
pub(crate) async fn new_admin(
    service: &Service,
    file: Option<&Path>,
) -> Result<(Shown, PrincipalId), ServeError> {
    admin(file, async |keep| service.reset_admin(keep).await).await
}

/// Makes an administrator's token. It is in the file, if there is one, before it is stored.
async fn admin<T>(
    file: Option<&Path>,
    make: impl AsyncFnOnce(&dyn Fn(&Shown) -> Result<(), ServeError>) -> Result<T, ServeError>,
) -> Result<T, ServeError> {
    let is_made = Cell::new(false);
    let keep = |token: &Shown| {
        if let Some(path) = file {
            let created = token.create_file(path);
            created.map_err(|error| ServeError::TokenFile(path.to_owned(), error))?;
            is_made.set(true);
        }
        Ok(())
    };
    let done = make(&keep).await;
    if let (Some(path), Err(error)) = (file, &done) {
        let is_uncertain =
            matches!(error, ServeError::Service(service::Error::Store(StoreError::Uncertain(_))));
        // A token that was not stored is of no use; a file that was there before is not ours.
        if is_made.get() && !is_uncertain {
            std::fs::remove_file(path).ok();
        }
    }
    done
}

/// `mpgate.sqlite` -> `mpgate.sqlite.admin-token`.
fn beside(database: &Place) -> PathBuf {
    let mut path = database.file().unwrap_or(Path::new("mpgate")).as_os_str().to_owned();
    path.push(".admin-token");
    path.into()
}
