//! A throw-away certificate authority, and a TLS front for servers that speak plain HTTP.
//!
//! The production configuration speaks TLS on every side. With these the tests run it as shipped:
//! only addresses and the files' paths are other ones.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use crate::http1::Http1;

/// Who signs the certificates of one test.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority that keeps its files in `directory`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn new(directory: &Path) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "throw-away authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Self { issuer, directory: directory.to_owned() };
        fs::write(authority.certificate_file(), authority.issuer.pem())?;
        Ok(authority)
    }

    /// The authority's own certificate: what a client is told to trust.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.directory.join("authority.crt")
    }

    /// A certificate for a DNS name, in `{file}.crt` and `{file}.key`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn issue(&self, name: &str, file: &str) -> Result<Certificate> {
        self.issue_for(name, &[name], file)
    }

    /// A certificate with a common name and other names: DNS names, and URIs (`spiffe://…`).
    ///
    /// # Errors
    /// A name is neither, or the files cannot be written.
    pub fn issue_for(&self, name: &str, others: &[&str], file: &str) -> Result<Certificate> {
        let mut params = CertificateParams::new(Vec::new())?;
        for other in others {
            let text = (*other).try_into()?;
            let uri = other.contains("://");
            let other = if uri { SanType::URI(text) } else { SanType::DnsName(text) };
            params.subject_alt_names.push(other);
        }
        self.sign(params, name, file)
    }

    /// A certificate for a DNS name that ends with the beginning of a day: year, month and day.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn issue_until(&self, name: &str, file: &str, end: [u16; 3]) -> Result<Certificate> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        let [year, month, day] = end;
        params.not_after = date_time_ymd(year.into(), month.try_into()?, day.try_into()?);
        self.sign(params, name, file)
    }

    fn sign(&self, mut params: CertificateParams, name: &str, file: &str) -> Result<Certificate> {
        let key = KeyPair::generate()?;
        // Two certificates of one name look like one that signed itself.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let issued = Certificate {
            certificate: self.directory.join(format!("{file}.crt")),
            key: self.directory.join(format!("{file}.key")),
        };
        fs::write(&issued.certificate, certificate.pem())?;
        fs::write(&issued.key, key.serialize_pem())?;
        Ok(issued)
    }

    /// Connects for HTTP/1.1, and checks that the other side is `name`.
    ///
    /// # Errors
    /// Nobody listens, or the certificate is not `name`'s.
    pub fn http1(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> Result<Http1<StreamOwned<ClientConnection, std::net::TcpStream>>> {
        self.http1_as(address, name, None)
    }

    /// As [`Self::http1`], showing a certificate.
    ///
    /// # Errors
    /// As there, or the certificate cannot be read.
    pub fn http1_as(
        &self,
        address: SocketAddr,
        name: &str,
        client: Option<&Certificate>,
    ) -> Result<Http1<StreamOwned<ClientConnection, std::net::TcpStream>>> {
        let server = ServerName::try_from(name.to_owned())?;
        let config = self.client_config(&[b"http/1.1"], client)?;
        let connection = ClientConnection::new(Arc::new(config), server)?;
        let socket = std::net::TcpStream::connect(address)?;
        Ok(Http1::over(StreamOwned::new(connection, socket), name))
    }

    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        protocols: &[&[u8]],
        client: Option<&Certificate>,
    ) -> Result<TlsStream<TcpStream>> {
        let server = ServerName::try_from(name.to_owned())?;
        let connector = TlsConnector::from(Arc::new(self.client_config(protocols, client)?));
        Ok(connector.connect(server, TcpStream::connect(address).await?).await?)
    }

    fn client_config(
        &self,
        protocols: &[&[u8]],
        client: Option<&Certificate>,
    ) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match client {
            None => config.with_no_client_auth(),
            Some(client) => {
                let chain = vec![CertificateDer::from_pem_file(&client.certificate)?];
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&client.key)?)?
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

/// Takes TLS off what comes in and hands it to a plain server. Ends when it is dropped.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl TlsFront {
    /// Starts a front for `backend`, showing `certificate` and offering these protocols, which the backend
    /// has to speak in clear; none for HTTP/1.1.
    ///
    /// # Errors
    /// The certificate cannot be read, or no port is free.
    pub fn start(
        certificate: &Certificate,
        backend: SocketAddr,
        protocols: &[&str],
    ) -> Result<Self> {
        let chain = CertificateDer::from_pem_file(&certificate.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&certificate.key)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            runtime.spawn(serve(listener, acceptor, backend));
            // Returns when the other end is dropped; the runtime takes its tasks with it.
            runtime.block_on(stopped).ok();
        });
        Ok(Self { address, _stop: stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, backend: SocketAddr) {
    while let Ok((socket, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A connection that breaks is the business of its two ends.
            let _broken = relay(socket, acceptor, backend).await;
        });
    }
}

async fn relay(socket: TcpStream, acceptor: TlsAcceptor, backend: SocketAddr) -> Result<()> {
    let mut outside = acceptor.accept(socket).await.context("handshake")?;
    let mut inside = TcpStream::connect(backend).await?;
    copy_bidirectional(&mut outside, &mut inside).await?;
    Ok(())
}
