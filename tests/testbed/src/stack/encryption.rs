//! What a configuration that speaks TLS needs around it: certificates, and fronts for what it is to speak TLS
//! to.

use std::path::Path;

use anyhow::Result;

use super::LISTENER_NAME;
use crate::config::{EnvoyConfig, Site, TlsFiles};
use crate::tls::{Authority, TlsFront};

#[derive(Debug)]
pub(super) struct Encryption {
    authority: Authority,
    _fronts: Vec<TlsFront>,
}

impl Encryption {
    /// Certificates for the listener, and fronts for control and the analytics endpoint, where they are
    /// spoken to in TLS.
    pub(super) fn put_around(
        config: &mut EnvoyConfig,
        site: &mut Site,
        directory: &Path,
    ) -> Result<Self> {
        let authority = Authority::new(directory)?;
        let listener = authority.issue(LISTENER_NAME, "listener")?;
        let mut fronts = Vec::new();
        if config.speaks_tls_to("mpgate_control")? {
            let control = authority.issue("control.example.com", "control")?;
            let front = TlsFront::start(&control, site.control, &["h2", "http/1.1"])?;
            site.control = front.address();
            fronts.push(front);
        }
        if config.speaks_tls_to("analytics")? {
            let analytics = authority.issue("www.google-analytics.com", "analytics")?;
            let front = TlsFront::start(&analytics, site.analytics, &[])?;
            site.analytics = front.address();
            fronts.push(front);
        }
        site.tls = Some(TlsFiles {
            certificate: listener.certificate,
            key: listener.key,
            authority: authority.certificate_file(),
        });
        Ok(Self { authority, _fronts: fronts })
    }

    /// Who signed the certificates.
    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }
}
