//! `sql-server-testserver`: the test server as a process, for clients by hand. Prints where it listens.

use std::io::Write as _;
use std::net::SocketAddr;

use clap::Parser;
use sql_server_testserver::{Certificate, Encryption, Failure, Options, Server};

/// A server that speaks TDS in front of a PostgreSQL.
#[derive(Parser)]
struct Arguments {
    /// The URL of the PostgreSQL database that answers
    #[arg(long)]
    postgres: String,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A database that is there from the beginning
    #[arg(long = "database", default_value = "shop")]
    databases: Vec<String>,
    /// The one user
    #[arg(long, default_value = "sa")]
    user: String,
    /// The password of the user
    #[arg(long, default_value = "Lakewright-1")]
    password: String,
    /// Encrypt everything, whatever a client asks for
    #[arg(long)]
    require_encryption: bool,
    /// Say that nothing can be encrypted
    #[arg(long)]
    no_encryption: bool,
    /// Have a certificate that has expired
    #[arg(long)]
    expired: bool,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let mut options = Options::new(arguments.postgres);
    options.listen = arguments.listen;
    options.databases = arguments.databases;
    options.login = (arguments.user, arguments.password);
    if arguments.require_encryption {
        options.encryption = Encryption::Required;
    } else if arguments.no_encryption {
        options.encryption = Encryption::NotSupported;
    }
    if arguments.expired {
        options.certificate = Certificate::Expired;
    }
    let server = Server::start(options).await?;
    writeln!(std::io::stdout(), "{}", server.address())?;
    server.serve().await;
    Ok(())
}
