//! What the server or the driver says went wrong, as an [`Error`].
//!
//! Knows the server's error numbers; knows nothing of what was asked.

use mssql_tds::error::Error as DriverError;

use crate::error::{Error, ErrorKind};

/// From this severity on the server ends the connection.
const FATAL: i32 = 20;

/// Turns an error of the driver into one of ours.
pub(super) fn failure(error: DriverError) -> Error {
    match &error {
        DriverError::SqlServerError { diagnostics } => {
            let Some(first) = diagnostics.errors.first() else {
                return protocol("an error without a message").caused_by(error);
            };
            let (kind, retry) = kind_of(first.number, first.class);
            let shown = Error::new(kind, format!("the server says: {}", first.message.trim_end()))
                .with("error", first.number)
                .retry(retry);
            match help(first.number) {
                Some(help) => shown.help(help),
                None => shown,
            }
        }
        DriverError::TimeoutError(_) => {
            Error::new(ErrorKind::Timeout, "the server did not answer in time")
                .help("give it more with `statement_timeout:` or `connect_timeout:`")
        }
        DriverError::TlsError(_)
        | DriverError::TlsHandshakeError { .. }
        | DriverError::CertificateExpired
        | DriverError::CertificateMismatch
        | DriverError::NoServerCertificate => {
            Error::new(ErrorKind::PermissionDenied, "the server's certificate is not trusted")
                .help(
                    "name the certificate with `certificate_file:`, the name that it has with \
                     `host_name_in_certificate:`, or accept any with `trust_server_certificate: true`",
                )
                .caused_by(error)
        }
        DriverError::OperationCancelledError(_) => {
            Error::new(ErrorKind::Cancelled, "the statement was cancelled").caused_by(error)
        }
        DriverError::ProtocolError(_) | DriverError::UnsupportedEncoding { .. } => {
            protocol("the driver").caused_by(error)
        }
        DriverError::Io(_) | DriverError::ConnectionError(_) | DriverError::ConnectionClosed(_) => {
            Error::new(
                ErrorKind::Unavailable,
                "the connection to the server was lost, or could not be made",
            )
            .caused_by(error)
        }
        _ => Error::new(ErrorKind::Internal, "the driver failed").caused_by(error),
    }
}

/// The kind of an error number, and whether trying again can help.
const fn kind_of(number: u32, severity: i32) -> (ErrorKind, bool) {
    match number {
        // No such object, column, database, schema.
        207 | 208 | 911 | 2812 | 4060 | 15_151 => (ErrorKind::NotFound, false),
        // Denied: an object, a statement, the login.
        229 | 230 | 262 | 297 | 300 | 916 | 18_452 | 18_456 | 18_470 | 18_486 | 18_487 | 18_488 => {
            (ErrorKind::PermissionDenied, false)
        }
        // Chosen as the victim of a deadlock; changed, or its table altered, since the snapshot.
        1205 | 3960 | 3961 => (ErrorKind::Conflict, true),
        // Waited too long for a lock.
        1222 => (ErrorKind::Timeout, true),
        // Going down, starting, failing over, throttled.
        976
        | 978
        | 983
        | 6005
        | 10_928
        | 10_929
        | 17_142
        | 18_401
        | 40_197
        | 40_501
        | 40_613
        | 49_918..=49_920 => (ErrorKind::Unavailable, true),
        // Memory, the log, the disk.
        701 | 802 | 1105 | 8645 | 8651 | 9002 => (ErrorKind::LimitExceeded, false),
        // The database keeps no versions of rows.
        // Memory-optimized tables have versions of their own, which no snapshot transaction may mix with others.
        3952 | 41_332 => (ErrorKind::Unsupported, false),
        // Values that do not fit: conversions, arithmetic, constraints.
        220 | 241 | 242 | 245 | 248 | 515 | 547 | 2601 | 2627 | 2628 | 8114 | 8115 | 8134
        | 8152 => (ErrorKind::InvalidData, false),
        _ if severity >= FATAL => (ErrorKind::Unavailable, true),
        _ => (ErrorKind::InvalidInput, false),
    }
}

fn help(number: u32) -> Option<&'static str> {
    Some(match number {
        4060 => {
            "the database is not there, or the login may not use it: look at `database:` and the login's user"
        }
        18_456 => {
            "look at `user:` and `password:`; the server's own log says which of the two it was"
        }
        41_332 => "memory-optimized tables cannot be read in a snapshot: read a copy of it",
        1033 => "a query is read as a table, which has no order: leave `ORDER BY` out",
        _ => return None,
    })
}

/// The server sent something that the protocol does not allow here.
pub(super) fn protocol(what: &'static str) -> Error {
    Error::new(
        ErrorKind::Internal,
        "the server sent something that is not understood",
    )
    .with("in", what)
}

#[cfg(test)]
mod tests {
    use mssql_tds::error::{SqlErrorInfo, SqlServerDiagnostics};

    use super::*;

    fn told(number: u32, class: i32) -> Error {
        let error = SqlErrorInfo {
            message: "no".to_owned(),
            state: 1,
            class,
            number,
            server_name: None,
            proc_name: None,
            line_number: None,
        };
        failure(DriverError::SqlServerError {
            diagnostics: SqlServerDiagnostics::new(vec![error], Vec::new()),
        })
    }

    #[test]
    fn numbers_decide() {
        assert_eq!(told(208, 16).kind(), ErrorKind::NotFound);
        assert_eq!(
            told(208, 16).to_string(),
            "the server says: no (error: 208)"
        );
        assert_eq!(told(18_456, 14).kind(), ErrorKind::PermissionDenied);
        assert!(told(1205, 13).is_retryable());
        assert!(told(99_999, 20).is_retryable());
        assert!(!told(102, 15).is_retryable());
    }
}
