//! Bytes to and from a server, with and without TLS.
//!
//! Knows how a connection is made and encrypted; knows nothing of messages beyond the request for TLS.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure;
use crate::error::{Error, ErrorKind, Result};

/// How long a server may take to accept a connection and to agree on TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// Where a server listens, and how it is spoken to.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Whether a server without TLS is refused.
    pub(super) tls_required: bool,
}

/// A connection to a server.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Endpoint {
    /// Connects, and encrypts where both sides want it.
    pub(super) async fn connect(&self) -> Result<Transport> {
        match tokio::time::timeout(CONNECT_LIMIT, self.connect_unbounded()).await {
            Ok(transport) => transport,
            Err(_) => Err(
                Error::new(ErrorKind::Timeout, "the server did not answer in time")
                    .with("limit", format!("{}s", CONNECT_LIMIT.as_secs())),
            ),
        }
        .map_err(|error| error.with("server", format!("{}:{}", self.host, self.port)))
    }

    async fn connect_unbounded(&self) -> Result<Transport> {
        let unreachable = |error| {
            Error::new(ErrorKind::Unavailable, "the server cannot be reached").caused_by(error)
        };
        let mut tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let Some(config) = &self.tls else {
            return Ok(Transport::Plain(tcp));
        };

        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        tcp.write_all(&request).await.map_err(failure::lost)?;
        match tcp.read_u8().await.map_err(failure::lost)? {
            b'S' => {}
            b'N' if self.tls_required => {
                return Err(Error::new(ErrorKind::PermissionDenied, "the server does not offer TLS")
                    .help("turn on TLS at the server, or write `tls: prefer` and send everything in the clear"));
            }
            b'N' => return Ok(Transport::Plain(tcp)),
            _ => return Err(failure::protocol("the answer to the request for TLS")),
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                "`host` cannot be a name in a certificate",
            )
            .caused_by(error)
        })?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "no TLS connection could be agreed on")
                .help("`ca_file` names the certificates that vouch for the server; the host must be as they say it")
                .caused_by(error)
        })?;
        Ok(Transport::Tls(Box::new(stream)))
    }
}

impl Transport {
    /// Reads what is there, waiting for at least one byte; zero at the end.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(stream) => stream.read(buffer).await,
        }
    }

    /// Writes all of it.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// How the connection is encrypted, for people.
    pub(super) fn tls(&self) -> &'static str {
        let Self::Tls(stream) = self else {
            return "TLS off";
        };
        match stream.get_ref().1.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        }
    }
}
