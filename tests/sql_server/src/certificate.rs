//! The server's certificate: signed by itself, good or expired.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

/// What a client finds when it looks at the certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// It is good for `localhost` and `127.0.0.1`, for whoever trusts it.
    #[default]
    SelfSigned,
    /// It was, years ago.
    Expired,
}

/// The two ways in which TDS has TLS, with one certificate.
pub(crate) struct Tls {
    /// Within PRELOGIN: TDS 7.4, which knows TLS 1.2 and no tickets after a handshake.
    pub(crate) wrapped: Arc<ServerConfig>,
    /// From the first byte: TDS 8.0.
    pub(crate) strict: Arc<ServerConfig>,
    pub(crate) certificate: Vec<u8>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Tls {
    pub(crate) fn new(kind: Certificate) -> Result<Self, Failure> {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.not_before = date_time_ymd(2015, 1, 1);
        params.not_after = match kind {
            Certificate::SelfSigned => date_time_ymd(2099, 1, 1),
            Certificate::Expired => date_time_ymd(2016, 1, 1),
        };
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        let mut strict = config(&[&TLS13, &TLS12], certificate.clone(), &key)?;
        strict.alpn_protocols = vec![b"tds/8.0".to_vec()];
        Ok(Self {
            wrapped: Arc::new(config(&[&TLS12], certificate.clone(), &key)?),
            strict: Arc::new(strict),
            certificate: certificate.to_vec(),
        })
    }
}

fn config(
    versions: &[&'static SupportedProtocolVersion],
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> Result<ServerConfig, Failure> {
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    Ok(
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?,
    )
}
