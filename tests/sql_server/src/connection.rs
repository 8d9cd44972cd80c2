//! A connection until its session begins: hello, encryption, login.

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::error::{Result, SqlError};
use crate::faults::{Fault, error_of};
use crate::server::Shared;
use crate::session::{Attention, Session};
use crate::sql::bind::Facts;
use crate::wire::{
    Agreed, Environment, Kind, Login, Message, PacketWriter, Prelogin, Reply, Wrapped, broken,
    read_message,
};

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}
type Stream = Box<dyn Duplex>;

/// The first byte of a TLS record that holds a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
const FIRST_PACKET_SIZE: usize = 4096;
const TDS_7_3: u32 = 0x730a_0003;
const TDS_7_4: u32 = 0x7400_0004;
const TDS_8: u32 = 0x0800_0000;
const UTF8_SUPPORT: u8 = 0x0a;
/// Messages read before the session has taken them.
const WAITING: usize = 4;

/// Serves one client until it goes.
pub(crate) async fn serve(shared: Arc<Shared>, tcp: TcpStream, spid: u16) -> Result<()> {
    tcp.set_nodelay(true).map_err(|error| broken(&error))?;
    let mut first = [0];
    let strict = tcp.peek(&mut first).await.map_err(|error| broken(&error))? == 1
        && first == [TLS_HANDSHAKE];
    let mut stream: Stream = if strict {
        let acceptor = TlsAcceptor::from(Arc::clone(&shared.tls.strict));
        Box::new(acceptor.accept(tcp).await.map_err(|error| broken(&error))?)
    } else {
        Box::new(tcp)
    };
    let Some(hello) = read_message(&mut stream).await? else {
        return Ok(());
    };
    if hello.kind != Kind::Prelogin || shared.faults.take_exactly(&Fault::DropInHandshake) {
        return Ok(());
    }
    let hello = Prelogin::read(&hello.bytes)?;
    let answer = hello.answer(shared.encryption, strict);
    stream
        .write_all(&answer)
        .await
        .map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))?;
    let agreed = if strict {
        Agreed::Nothing
    } else {
        hello.agree(shared.encryption)
    };
    let Some((login, stream)) = encrypted_login(&shared, stream, agreed).await? else {
        return Ok(());
    };
    if shared.faults.take_exactly(&Fault::DropInLogin) {
        return Ok(());
    }
    let login = Login::read(&login.bytes)?;
    let (reader, writer) = tokio::io::split(stream);
    let mut packets = PacketWriter::new(Box::new(writer), FIRST_PACKET_SIZE, spid);
    packets.delay = shared.faults.delay();
    let Some(session) = begin(shared, login, Reply::new(packets), spid, strict).await? else {
        return Ok(());
    };
    converse(session, reader).await
}

/// The login message, and the stream as it goes on after it.
async fn encrypted_login(
    shared: &Shared,
    mut stream: Stream,
    agreed: Agreed,
) -> Result<Option<(Message, Stream)>> {
    if agreed == Agreed::Nothing {
        let login = read_message(&mut stream).await?;
        return Ok(login
            .filter(|login| login.kind == Kind::Login)
            .map(|login| (login, stream)));
    }
    let acceptor = TlsAcceptor::from(Arc::clone(&shared.tls.wrapped));
    let mut tls = acceptor
        .accept(Wrapped::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    tls.get_mut().0.unwrap_from_now();
    let Some(login) = read_message(&mut tls)
        .await?
        .filter(|login| login.kind == Kind::Login)
    else {
        return Ok(None);
    };
    if agreed == Agreed::Everything {
        return Ok(Some((login, Box::new(tls))));
    }
    // Only the login was to be hidden: what follows it goes in the open.
    let (wrapped, _) = tls.into_inner();
    Ok(Some((login, wrapped.into_inner())))
}

/// Checks the login and answers it. `None` where it was refused.
async fn begin(
    shared: Arc<Shared>,
    login: Login,
    mut reply: Reply,
    spid: u16,
    strict: bool,
) -> Result<Option<Session>> {
    if let Some(refusal) = refusal(&shared, &login) {
        return refuse(&mut reply, &refusal).await;
    }
    match shared.faults.for_login() {
        Some(Fault::RefuseLogin(number)) => return refuse(&mut reply, &error_of(number)).await,
        Some(Fault::Redirect { host, port }) => {
            reply.login_ack(version(&login, strict));
            reply.environment(&Environment::Routing { host, port });
            reply.done(crate::wire::Command::Other, None);
            reply.finish().await?;
            return Ok(None);
        }
        _ => {}
    }
    let mut postgres = PgConnection::connect(&shared.postgres).await?;
    let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut postgres)
        .await?;
    let facts = Facts {
        login: login.user.clone(),
        spid: i64::from(spid),
        lock_timeout: -1,
        database_name: "master".to_owned(),
        ..Facts::default()
    };
    let mut session = Session::new(shared, postgres, process, reply, facts);
    let database = if login.database.is_empty() {
        session.shared.home.clone()
    } else {
        login.database.clone()
    };
    if session.use_database(&database).await.is_err() {
        let refusal = SqlError::new(
            4060,
            11,
            format!(
                "Cannot open database \"{database}\" requested by the login. The login failed."
            ),
        );
        session.reply.error(&refusal);
        let failed = SqlError::new(
            18456,
            14,
            format!("Login failed for user '{}'.", login.user),
        );
        return refuse(&mut session.reply, &failed).await;
    }
    session.home = session.facts.database_name.clone();
    welcome(&mut session.reply, &login, strict).await?;
    Ok(Some(session))
}

/// Tells a client that it is in, and what it has to know.
async fn welcome(reply: &mut Reply, login: &Login, strict: bool) -> Result<()> {
    let size = if login.packet_size == 0 {
        FIRST_PACKET_SIZE
    } else {
        login.packet_size.clamp(512, 32_767)
    };
    reply.environment(&Environment::Collation);
    reply.environment(&Environment::Language);
    reply.info(5703, "Changed language setting to us_english.");
    reply.login_ack(version(login, strict));
    reply.environment(&Environment::PacketSize {
        new: size,
        old: FIRST_PACKET_SIZE,
    });
    let known = login
        .features
        .iter()
        .filter(|feature| **feature == UTF8_SUPPORT);
    reply.features(&known.map(|feature| (*feature, vec![1])).collect::<Vec<_>>());
    reply.done(crate::wire::Command::Other, None);
    reply.finish().await?;
    reply.packets().set_size(size);
    Ok(())
}

fn version(login: &Login, strict: bool) -> u32 {
    if strict {
        TDS_8
    } else {
        login.tds_version.min(TDS_7_4)
    }
}

fn refusal(shared: &Shared, login: &Login) -> Option<SqlError> {
    if login.tds_version < TDS_7_3 && login.tds_version != TDS_8 {
        return Some(SqlError::new(
            17_828,
            20,
            "The version of TDS is too old: 7.3 is the first that is spoken here.",
        ));
    }
    let known =
        !login.integrated && login.user == shared.login.0 && login.password == shared.login.1;
    (!known).then(|| {
        SqlError::new(
            18456,
            14,
            format!("Login failed for user '{}'.", login.user),
        )
    })
}

async fn refuse(reply: &mut Reply, error: &SqlError) -> Result<Option<Session>> {
    reply.error(error);
    reply.done_with_error();
    reply.finish().await?;
    Ok(None)
}

/// Reads messages beside the session, so that an attention is seen while it works.
async fn converse(mut session: Session, mut reader: impl AsyncRead + Unpin) -> Result<()> {
    let attention = Arc::clone(&session.attention);
    let (sender, mut messages) = mpsc::channel(WAITING);
    let reading = read(&mut reader, sender, attention);
    let serving = session.serve(&mut messages);
    tokio::pin!(reading, serving);
    let mut read = false;
    loop {
        tokio::select! {
            served = &mut serving => return served,
            () = &mut reading, if !read => read = true,
        }
    }
}

async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    sender: mpsc::Sender<Message>,
    attention: Arc<Attention>,
) {
    while let Ok(Some(message)) = read_message(reader).await {
        if message.kind == Kind::Attention {
            attention.ask();
        } else if sender.send(message).await.is_err() {
            return;
        }
    }
    // Nobody waits for an answer any more.
    attention.ask();
}
