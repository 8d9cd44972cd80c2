//! The server: where it listens, and what its connections share.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::certificate::{Certificate, Tls};
use crate::error::Result;
use crate::faults::{Fault, Faults};
use crate::wire::Encryption;
use crate::{catalog, connection};

/// Why a server did not start, or did not stop well.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The URL of the PostgreSQL database that answers.
    pub postgres: String,
    /// Where to listen; port 0 is any that is free.
    pub listen: SocketAddr,
    /// The databases there are from the beginning; the first one is where a login without a database arrives.
    pub databases: Vec<String>,
    /// The one user, and the password.
    pub login: (String, String),
    /// What is encrypted.
    pub encryption: Encryption,
    /// What a client finds when it looks at the certificate.
    pub certificate: Certificate,
}

impl Options {
    /// A server in front of this PostgreSQL, on a port that is free.
    pub fn new(postgres: impl Into<String>) -> Self {
        Self {
            postgres: postgres.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            databases: vec!["shop".to_owned()],
            login: ("sa".to_owned(), "Lakewright-1".to_owned()),
            encryption: Encryption::default(),
            certificate: Certificate::default(),
        }
    }
}

/// What all connections of a server know.
pub(crate) struct Shared {
    pub(crate) postgres: String,
    pub(crate) login: (String, String),
    pub(crate) home: String,
    pub(crate) encryption: Encryption,
    pub(crate) tls: Tls,
    pub(crate) faults: Faults,
}

impl Shared {
    /// Lets PostgreSQL give up what this process of it does.
    pub(crate) async fn cancel(&self, process: i32) -> Result<()> {
        let mut postgres = PgConnection::connect(&self.postgres).await?;
        postgres
            .execute(format!("SELECT pg_cancel_backend({process})").as_str())
            .await?;
        postgres.close().await?;
        Ok(())
    }
}

/// A server that runs. Dropping it closes every connection.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    /// The database of PostgreSQL that goes with the server.
    own: Option<Own>,
}

struct Own {
    maintenance: String,
    database: String,
}

impl Server {
    /// Listens. What PostgreSQL keeps for it is made, unless it is there.
    pub async fn start(options: Options) -> std::result::Result<Self, Failure> {
        catalog::prepare(&options.postgres, &options.databases)
            .await
            .map_err(|error| error.message)?;
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            postgres: options.postgres,
            login: options.login,
            home: options
                .databases
                .first()
                .cloned()
                .unwrap_or_else(|| "master".to_owned()),
            encryption: options.encryption,
            tls: Tls::new(options.certificate)?,
            faults: Faults::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            tasks,
            own: None,
        })
    }

    /// A server with a database of its own in the PostgreSQL of `options`, which [`stop`](Self::stop) drops.
    pub async fn start_apart(mut options: Options) -> std::result::Result<Self, Failure> {
        let maintenance = options.postgres.clone();
        let database = format!("tds_{}", uuid::Uuid::new_v4().simple());
        let mut postgres = PgConnection::connect(&maintenance).await?;
        postgres
            .execute(format!("CREATE DATABASE {database}").as_str())
            .await?;
        postgres.close().await?;
        let (server, query) = maintenance.split_once('?').unwrap_or((&maintenance, ""));
        let (server, _) = server
            .rsplit_once('/')
            .ok_or("the URL of PostgreSQL names no database")?;
        let query = if query.is_empty() {
            String::new()
        } else {
            format!("?{query}")
        };
        options.postgres = format!("{server}/{database}{query}");
        let mut started = Self::start(options).await?;
        started.own = Some(Own {
            maintenance,
            database,
        });
        Ok(started)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate, in DER: what a client that checks names may trust.
    pub fn certificate(&self) -> &[u8] {
        &self.shared.tls.certificate
    }

    /// Lets something go wrong.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Nothing is to go wrong any more.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Serves until the listener fails: what the binary does.
    pub async fn serve(mut self) {
        self.tasks.join_next().await;
    }

    /// Closes every connection, and drops a database that was its own.
    pub async fn stop(mut self) -> std::result::Result<(), Failure> {
        self.tasks.shutdown().await;
        if let Some(own) = self.own {
            let mut postgres = PgConnection::connect(&own.maintenance).await?;
            postgres
                .execute(format!("DROP DATABASE {} WITH (FORCE)", own.database).as_str())
                .await?;
            postgres.close().await?;
        }
        Ok(())
    }
}

/// One task a connection, all of which end with the server. A connection that fails ends alone.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut spid = 50_u16;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else { return };
                spid = spid.checked_add(1).unwrap_or(51);
                connections.spawn(connection::serve(Arc::clone(&shared), tcp, spid));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
