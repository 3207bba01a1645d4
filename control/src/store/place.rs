//! Where the database is: a file, for SQLite, or a URL, for PostgreSQL.

use core::fmt;
use core::str::FromStr as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{OpenError, Store};

/// A database's place.
#[derive(Clone)]
pub enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// A server of PostgreSQL.
    Server(Box<PgConnectOptions>),
}

/// Why a text names no database. It never repeats the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// A URL of something else.
    Scheme,
    /// A URL that cannot be read, in the driver's words.
    Url(String),
    /// A URL without a database.
    NoDatabase,
}

impl fmt::Display for PlaceError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => out.write_str(
                "has to be a file, for SQLite, or postgres://USER@HOST/DATABASE, for PostgreSQL",
            ),
            Self::Url(error) => write!(out, "is no URL of PostgreSQL: {error}"),
            Self::NoDatabase => {
                out.write_str("names no database: write postgres://USER@HOST/DATABASE")
            }
        }
    }
}

impl core::error::Error for PlaceError {}

impl Place {
    /// Reads a file's name or a URL.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::File(PathBuf::from(text)));
        };
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(PlaceError::Scheme);
        }
        let options = PgConnectOptions::from_str(text).map_err(|error| {
            PlaceError::Url(match error {
                sqlx::Error::Configuration(error) => error.to_string(),
                error => error.to_string(),
            })
        })?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(PlaceError::NoDatabase);
        }
        Ok(Self::Server(Box::new(with_tls(options, text))))
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    /// Opens what is there, and creates or migrates it where needed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(&self) -> Result<Arc<dyn Store>, OpenError> {
        Ok(match self {
            Self::File(path) => Arc::new(SqliteStore::open(path).await?),
            Self::Server(options) => Arc::new(PostgresStore::open(options).await?),
        })
    }
}

/// A server on the network proves who it is, unless somebody says otherwise in words.
fn with_tls(options: PgConnectOptions, url: &str) -> PgConnectOptions {
    let host = options.get_host();
    let is_here = options.get_socket().is_some()
        || host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|ip: core::net::IpAddr| ip.is_loopback());
    let is_said = url.contains("sslmode=")
        || url.contains("ssl-mode=")
        || std::env::var_os("PGSSLMODE").is_some();
    if is_here || is_said { options } else { options.ssl_mode(PgSslMode::VerifyFull) }
}

/// The driver's own would show the password.
impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Place({self})")
    }
}

/// Without the password.
impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(out),
            Self::Server(options) => {
                let host = options.get_socket().map_or_else(
                    || options.get_host().to_owned(),
                    |path| path.display().to_string(),
                );
                write!(
                    out,
                    "{} on PostgreSQL at {host}:{}",
                    options.get_database().unwrap_or_default(),
                    options.get_port()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_a_url_and_its_password_is_never_shown() {
        for (text, shown) in [
            ("mpgate.sqlite", "mpgate.sqlite"),
            ("/var/lib/postgres", "/var/lib/postgres"),
            ("postgres://me:canary@db.example/control", "control on PostgreSQL at db.example:5432"),
            ("postgresql://me@localhost:5433/c", "c on PostgreSQL at localhost:5433"),
            ("postgres://me@h/c?host=/run/postgresql", "c on PostgreSQL at /run/postgresql:5432"),
        ] {
            assert_eq!(Place::parse(text).map(|place| place.to_string()), Ok(shown.to_owned()));
        }
        for (text, word) in [
            ("mysql://me:canary@h/d", "has to be a file"),
            ("sqlite://mpgate.sqlite", "has to be a file"),
            ("postgres://me:canary@h:x/d", "invalid port"),
            ("postgres://me:canary@h/d?sslmode=maybe", "unknown value \"maybe\" for `ssl_mode`"),
            ("postgres://me:canary@h", "names no database"),
        ] {
            let error = Place::parse(text).expect_err(text).to_string();
            assert!(error.contains(word) && !error.contains("canary"), "{text}: {error}");
        }
    }

    #[test]
    fn a_server_on_the_network_proves_who_it_is() {
        for (text, verified) in [
            ("postgres://me@db.example/c", true),
            ("postgres://me@10.0.0.7/c", true),
            ("postgres://me@db.example/c?sslmode=require", false),
            ("postgres://me@127.0.0.1/c", false),
            ("postgres://me@[::1]/c", false),
            ("postgres://me@h/c?host=/run/postgresql", false),
        ] {
            let Ok(Place::Server(options)) = Place::parse(text) else { panic!("{text}") };
            let mode = options.get_ssl_mode();
            assert_eq!(matches!(mode, PgSslMode::VerifyFull), verified, "{text}: {mode:?}");
        }
    }
}
