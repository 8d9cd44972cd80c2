//! TLS towards a server: which certificates are trusted, and whether the server must prove its name.
//!
//! Knows rustls; knows nothing of the PostgreSQL protocol.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::{Error, ErrorKind, Result};

/// A configuration that accepts only a server whose certificate is valid for its name.
pub(super) fn verified(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let roots = match ca_file {
        Some(path) => roots_of(path)?,
        None => native_roots()?,
    };
    let config = builder()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A configuration that encrypts and does not ask who is there: what `prefer` means to every PostgreSQL client.
pub(super) fn unverified() -> Result<Arc<ClientConfig>> {
    let verifier = Arc::new(AnyServer(Arc::new(ring::default_provider())));
    let config = builder()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Internal, "TLS cannot be set up").caused_by(error))
}

fn roots_of(path: &Path) -> Result<RootCertStore> {
    let unreadable = |error: rustls_pki_types::pem::Error| {
        Error::new(
            ErrorKind::InvalidInput,
            "the certificates in `ca_file` cannot be read",
        )
        .with("file", path.display())
        .caused_by(error)
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|error| {
                Error::new(
                    ErrorKind::InvalidInput,
                    "a certificate in `ca_file` cannot be used",
                )
                .with("file", path.display())
                .caused_by(error)
            })?;
    }
    if roots.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "there is no certificate in `ca_file`",
        )
        .with("file", path.display())
        .help("it must hold PEM blocks that begin with `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(roots)
}

fn native_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let error = Error::new(
            ErrorKind::NotFound,
            "this machine has no trusted certificates",
        )
        .help("install the system's CA certificates, or name a file in `ca_file`");
        return Err(match found.errors.into_iter().next() {
            Some(cause) => error.caused_by(cause),
            None => error,
        });
    }
    Ok(roots)
}

/// Takes any certificate; the handshake still proves that the server holds its key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
