//! The certificate and the private key that control shows: read, checked against each other, and read
//! again when the files change.
//!
//! New files that are no good are logged and change nothing: the old certificate stays. No byte of the
//! private key's file is ever repeated, not even of a broken one.

pub(crate) mod end;

use core::fmt;
use core::time::Duration;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mpgate_contract::Digest;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::metrics::Metrics;
use crate::model::Seconds;
use crate::time;

/// A chain and a key have a few kilobytes. What is larger is another file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How often the files are looked at. Renewal is a matter of days; this is for who waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain, PEM, control's own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
}

/// Why the files will not do.
#[derive(Debug)]
pub enum TlsError {
    /// The file is missing or may not be read.
    Read(PathBuf, io::Error),
    /// The file is not one of a certificate or a key.
    TooLarge(PathBuf),
    /// The file is not PEM, in this way.
    NotPem(PathBuf, &'static str),
    /// There is no certificate in the file.
    NoCertificate(PathBuf),
    /// There is no private key in the file.
    NoPrivateKey(PathBuf),
    /// The key is not that of the certificate.
    Mismatch(Files),
    /// rustls takes one of the two for another reason not.
    Unusable(Files, rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(out, "cannot read {}: {error}", path.display()),
            Self::TooLarge(path) => write!(
                out,
                "{} has more than {FILE_BYTES_MAX} bytes; name a PEM file with a certificate chain or a private key",
                path.display()
            ),
            Self::NotPem(path, fault) => write!(out, "{} is not PEM: {fault}", path.display()),
            Self::NoCertificate(path) => write!(
                out,
                "{} holds no certificate: no section 'BEGIN CERTIFICATE'; --tls-certificate names the chain",
                path.display()
            ),
            Self::NoPrivateKey(path) => write!(
                out,
                "{} holds no private key that can be used: no section 'BEGIN PRIVATE KEY', 'BEGIN RSA PRIVATE KEY' or \
                 'BEGIN EC PRIVATE KEY' (an encrypted one must be decrypted first)",
                path.display()
            ),
            Self::Mismatch(files) => write!(
                out,
                "the private key in {} is not that of the first certificate in {}; control's own certificate comes \
                 first in the chain",
                files.private_key.display(),
                files.certificate.display()
            ),
            Self::Unusable(files, error) => write!(
                out,
                "the certificate in {} cannot be used with the private key in {}: {error}",
                files.certificate.display(),
                files.private_key.display()
            ),
        }
    }
}

impl core::error::Error for TlsError {}

/// The certificate in use, for the listener; and what keeps it fresh.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    config: watch::Sender<Arc<ServerConfig>>,
    /// Of the bytes that were last looked at, good or bad: each content is told of once.
    seen: Seen,
    metrics: Metrics,
}

/// Digests of the two files; `None` for one that could not be read.
type Seen = [Option<Digest>; 2];

impl Tls {
    /// Reads the files.
    pub(crate) fn load(files: Files, metrics: Metrics) -> Result<Self, TlsError> {
        let (bytes, seen) = read(&files);
        let (config, end) = bytes.and_then(|bytes| server_config(&files, &bytes))?;
        let tls = Self { files, config: watch::Sender::new(Arc::new(config)), seen, metrics };
        tls.tell(end);
        Ok(tls)
    }

    /// Tells what there is to say of files that are in use from now on.
    fn tell(&self, end: Option<Seconds>) {
        warn_of_readers(&self.files.private_key);
        self.metrics.certificate(end);
        let Some(end) = end.filter(|end| end::is_near(*end)) else { return };
        tracing::warn!(
            file = %self.files.certificate.display(),
            end = time::to_text(end),
            "the certificate ends within 14 days, or has ended; from then on nobody who checks it connects"
        );
    }

    /// What each handshake looks at.
    pub(crate) fn config(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.config.subscribe()
    }

    /// Looks at the files now and then, and at once on this signal. Never ends.
    pub(crate) async fn keep_fresh(mut self, mut hangup: Signal) {
        let start = tokio::time::Instant::now() + LOOK_EVERY;
        let mut ticks = interval_at(start, LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => (),
                _ = hangup.recv() => (),
            }
            // A file system that hangs must not take a worker of the runtime with it.
            let Ok(fresh) = tokio::task::spawn_blocking(move || {
                self.look();
                self
            })
            .await
            else {
                return;
            };
            self = fresh;
        }
    }

    /// Takes up what is new.
    fn look(&mut self) {
        let (bytes, seen) = read(&self.files);
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match bytes.and_then(|bytes| server_config(&self.files, &bytes)) {
            Ok((config, end)) => {
                self.config.send_replace(Arc::new(config));
                self.tell(end);
                tracing::info!(file = %self.files.certificate.display(), "the new certificate is in use");
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate is no good; the old one stays in use");
            }
        }
    }
}

/// The bytes of certificate and key.
type Contents = [Vec<u8>; 2];

fn read(files: &Files) -> (Result<Contents, TlsError>, Seen) {
    let certificate = read_file(&files.certificate);
    let key = read_file(&files.private_key);
    let seen = [&certificate, &key].map(|read| read.as_ref().ok().map(|bytes| Digest::of(bytes)));
    (certificate.and_then(|certificate| Ok([certificate, key?])), seen)
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let fault = |error| TlsError::Read(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fault)?;
    let read = file.take(FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes);
    if u64::try_from(read.map_err(fault)?).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(TlsError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// What a handshake needs, and when the certificate ends.
fn server_config(
    files: &Files,
    [certificate, key]: &Contents,
) -> Result<(ServerConfig, Option<Seconds>), TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::NotPem(files.certificate.clone(), fault(&error)))?;
    let Some(own) = chain.first() else {
        return Err(TlsError::NoCertificate(files.certificate.clone()));
    };
    let end = end::of(own);
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoPrivateKey(files.private_key.clone()),
        error => TlsError::NotPem(files.private_key.clone(), fault(&error)),
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch(files.clone()),
            error => TlsError::Unusable(files.clone(), error),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, end))
}

/// What is wrong, in words of our own: the library's repeat the line, and the line may be the key.
fn fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be read",
    }
}

fn warn_of_readers(private_key: &Path) {
    if is_read_by_others(private_key) {
        tracing::warn!(
            file = %private_key.display(),
            "every user of this machine can read the private key: chmod o-rwx"
        );
    }
}

fn is_read_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o007 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use mpgate_testbed::tls::{Authority, Certificate};

    use super::*;

    fn issued(directory: &Path, file: &str) -> Certificate {
        let authority = Authority::new(directory).expect("an authority");
        authority.issue("control.test", file).expect("a certificate")
    }

    fn files(issued: &Certificate) -> Files {
        Files { certificate: issued.certificate.clone(), private_key: issued.key.clone() }
    }

    /// Rows of: what the two files hold, and what the error says and names.
    #[test]
    fn each_fault_is_told_with_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let (one, two) = (issued(directory.path(), "one"), issued(directory.path(), "two"));
        let read = |path: &Path| fs::read_to_string(path).expect("a file");
        let (certificate, key) = (read(&one.certificate), read(&one.key));
        let secret = key.lines().nth(1).expect("base64").to_owned();
        let files = Files {
            certificate: directory.path().join("control.crt"),
            private_key: directory.path().join("control.key"),
        };
        let large = "x".repeat(1024 * 1024 + 1);
        let one_line = key.replace('\n', " ");
        let open = key.replace("-----END", "");
        let broken = key.replace(&secret, &format!("{secret}!"));
        for (certificate, key, told, named) in [
            (None, Some(&key), "cannot read", "control.crt"),
            (Some(&certificate), None, "cannot read", "control.key"),
            (Some(&large), Some(&key), "more than", "control.crt"),
            (Some(&String::new()), Some(&key), "no certificate", "control.crt"),
            (Some(&key), Some(&key), "no certificate", "control.crt"),
            (Some(&certificate), Some(&certificate), "no private key", "control.key"),
            (Some(&certificate), Some(&one_line), "is not PEM", "control.key"),
            (Some(&certificate), Some(&open), "is not PEM", "control.key"),
            (Some(&certificate), Some(&broken), "is not PEM", "control.key"),
            (Some(&certificate), Some(&read(&two.key)), "is not that of", "control.key"),
        ] {
            for (path, content) in [(&files.certificate, certificate), (&files.private_key, key)] {
                fs::remove_file(path).ok();
                if let Some(content) = content {
                    fs::write(path, content).expect("written");
                }
            }
            let error = Tls::load(files.clone(), Metrics::default()).expect_err(told).to_string();
            assert!(error.contains(told) && error.contains(named), "{told}, {named}: {error}");
            assert!(!error.contains(&secret), "the key is repeated");
        }
    }

    #[test]
    fn a_key_that_everybody_can_read_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let key = issued(directory.path(), "one").key;
        for (mode, read) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            fs::set_permissions(&key, Permissions::from_mode(mode)).expect("a mode");
            assert_eq!(is_read_by_others(&key), read, "{mode:o}");
        }
        assert!(!is_read_by_others(&directory.path().join("missing")));
    }

    #[test]
    fn what_is_new_and_good_is_taken_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let (one, two) = (issued(directory.path(), "one"), issued(directory.path(), "two"));
        let mut tls = Tls::load(files(&one), Metrics::default()).expect("good files");
        let mut config = tls.config();
        let mut taken = |tls: &mut Tls| {
            tls.look();
            let taken = config.has_changed().expect("the sender is there");
            config.mark_unchanged();
            taken
        };
        assert!(!taken(&mut tls), "nothing has changed");
        // Renewed one file after the other, as many tools do it: in between they do not fit.
        fs::copy(&two.certificate, &one.certificate).expect("copied");
        assert!(!taken(&mut tls), "the key is missing yet");
        fs::remove_file(&one.key).expect("removed");
        assert!(!taken(&mut tls), "there is no key at all");
        fs::copy(&two.key, &one.key).expect("copied");
        assert!(taken(&mut tls), "both are there");
        assert!(!taken(&mut tls), "and have not changed since");
    }
}
