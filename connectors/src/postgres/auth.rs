//! Logging in: the start-up message and the ways in which a server asks for a password.
//!
//! Knows SCRAM-SHA-256, MD5 and cleartext; knows nothing of what the session is for.

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;

use super::failure::{lost, protocol, server_error};
use super::sql;
use super::wire::{Session, unsendable};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// Who logs in, where, and with which settings.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) database: String,
    pub(super) password: Option<Secret>,
    /// Settings of the session, beside those that values are read with.
    pub(super) settings: Vec<(&'static str, String)>,
}

/// Settings under which values mean the same on every server. They are set after the login: a pooler between us and
/// the server refuses to pass them on at start-up.
const SETTINGS: &[(&str, &str)] = &[
    ("DateStyle", "ISO"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "3"),
    ("standard_conforming_strings", "on"),
    // A scan that starts where another one is would return other rows for the same LIMIT.
    ("synchronize_seqscans", "off"),
    // The session that holds a snapshot is silent while others read; firewalls forget silent connections.
    ("tcp_keepalives_idle", "60"),
];

/// Lets the server look, while it works on a statement, whether we are still there: a process that has ended can ask it
/// for nothing any more. Servers before 14 do not know the setting, and those on other systems refuse it.
const NOTICE_THE_END: &str = "SELECT set_config(name, '2s', false) FROM pg_catalog.pg_settings \
    WHERE name = 'client_connection_check_interval' AND pg_catalog.version() LIKE '%linux%'";

/// The statements that put the settings in force.
pub(super) fn settings(login: &Login) -> String {
    let own = login
        .settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let calls: Vec<String> = SETTINGS
        .iter()
        .copied()
        .chain(own)
        .map(|(name, value)| {
            format!(
                "set_config({}, {}, false)",
                sql::text(name),
                sql::text(value)
            )
        })
        .collect();
    format!("SELECT {}; {NOTICE_THE_END}", calls.join(", "))
}

/// Starts the session up and proves who we are.
pub(super) async fn log_in(session: &mut Session, login: &Login) -> Result<()> {
    let parameters = [
        ("user", login.user.as_str()),
        ("database", login.database.as_str()),
        ("client_encoding", "UTF8"),
        ("application_name", "lakewright"),
    ];
    let mut output = BytesMut::new();
    frontend::startup_message(parameters, &mut output).map_err(unsendable)?;
    session.send(&output).await?;
    loop {
        match ask(session).await? {
            Ask::Nothing => return Ok(()),
            Ask::Cleartext => answer(session, password(login)?.expose().as_bytes()).await?,
            Ask::Md5(salt) => {
                let hash = md5_hash(
                    login.user.as_bytes(),
                    password(login)?.expose().as_bytes(),
                    salt,
                );
                answer(session, hash.as_bytes()).await?;
            }
            Ask::Scram => scram(session, password(login)?).await?,
            Ask::Continue(_) | Ask::Final(_) => return Err(protocol("the login")),
        }
    }
}

/// What the server asks for.
enum Ask {
    Nothing,
    Cleartext,
    Md5([u8; 4]),
    Scram,
    Continue(Vec<u8>),
    Final(Vec<u8>),
}

async fn ask(session: &mut Session) -> Result<Ask> {
    let message = session.next().await?;
    let body = session.body(&message);
    match message.tag {
        b'R' => {}
        b'E' => return Err(server_error(body)),
        _ => return Err(protocol("the login")),
    }
    let (code, data) = body
        .split_first_chunk::<4>()
        .ok_or_else(|| protocol("the login"))?;
    match u32::from_be_bytes(*code) {
        0 => Ok(Ask::Nothing),
        3 => Ok(Ask::Cleartext),
        5 => Ok(Ask::Md5(
            *data.first_chunk().ok_or_else(|| protocol("the login"))?,
        )),
        10 if data
            .split(|byte| *byte == 0)
            .any(|name| name == SCRAM_SHA_256.as_bytes()) =>
        {
            Ok(Ask::Scram)
        }
        11 => Ok(Ask::Continue(data.to_vec())),
        12 => Ok(Ask::Final(data.to_vec())),
        other => Err(Error::new(
            ErrorKind::Unsupported,
            "the server asks for a login that is not supported",
        )
        .with("method", other)
        .help("allow `scram-sha-256` for this user in the server's pg_hba.conf")),
    }
}

fn password(login: &Login) -> Result<&Secret> {
    login.password.as_ref().ok_or_else(|| {
        Error::new(
            ErrorKind::PermissionDenied,
            "the server asks for a password",
        )
        .with("user", &login.user)
        .help("name one in the connection: `password: { env: NAME }`")
    })
}

async fn answer(session: &mut Session, password: &[u8]) -> Result<()> {
    let mut output = BytesMut::new();
    frontend::password_message(password, &mut output).map_err(unsendable)?;
    session.send(&output).await
}

async fn scram(session: &mut Session, password: &Secret) -> Result<()> {
    let refused = |error| {
        Error::new(
            ErrorKind::PermissionDenied,
            "the server could not prove that it knows the password",
        )
        .caused_by(error)
    };
    let mut scram = ScramSha256::new(password.expose().as_bytes(), ChannelBinding::unsupported());
    let mut output = BytesMut::new();
    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut output)
        .map_err(unsendable)?;
    session.send(&output).await?;
    let Ask::Continue(challenge) = ask(session).await? else {
        return Err(protocol("the login"));
    };
    scram.update(&challenge).map_err(refused)?;
    output.clear();
    frontend::sasl_response(scram.message(), &mut output).map_err(lost)?;
    session.send(&output).await?;
    let Ask::Final(proof) = ask(session).await? else {
        return Err(protocol("the login"));
    };
    scram.finish(&proof).map_err(refused)
}
