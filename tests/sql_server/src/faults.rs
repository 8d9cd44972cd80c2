//! What is to go wrong, by script: connections that break, packets that come late, errors of the server's.
//!
//! Knows when a fault strikes and how often. The parts of the server ask; none strikes by itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::SqlError;

/// Something that goes wrong once, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks within the next result that has more rows than this.
    DropAfterRows(u64),
    /// An error stands in the place of the row after this many.
    ErrorAfterRows {
        /// How many rows come before it.
        rows: u64,
        /// SQL Server's number of it.
        number: i32,
    },
    /// The next batch that has this text in it fails with this error, before anything is run.
    Error {
        /// SQL Server's number of it.
        number: i32,
        /// What the batch contains; an empty text is in every batch.
        text: String,
    },
    /// The next connection breaks when the client has said hello.
    DropInHandshake,
    /// The next connection breaks when the client has sent its login.
    DropInLogin,
    /// The next login is refused with this error.
    RefuseLogin(i32),
    /// The next login is told to go to another server.
    Redirect {
        /// The name or address of the other server.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Every packet of connections that begin from now on comes this much later, until the faults are cleared.
    SlowPackets(Duration),
}

impl Fault {
    /// As `EXEC sp_tds_fault` names it.
    pub(crate) fn named(name: &str, number: u32, text: &str) -> Option<Self> {
        let error = i32::try_from(number).ok()?;
        Some(match name {
            "drop after rows" => Self::DropAfterRows(u64::from(number)),
            "error" => Self::Error {
                number: error,
                text: text.to_owned(),
            },
            "drop in handshake" => Self::DropInHandshake,
            "drop in login" => Self::DropInLogin,
            "refuse login" => Self::RefuseLogin(error),
            "slow packets" => Self::SlowPackets(Duration::from_millis(u64::from(number))),
            _ => return None,
        })
    }
}

/// The script, shared by all connections.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

/// A fault that waits for its row.
#[derive(Debug)]
pub(crate) struct AtRow(Fault);

impl AtRow {
    /// Whether row number `row`, counted from one, is where it strikes.
    pub(crate) fn meets(&self, row: u64) -> bool {
        match self.0 {
            Fault::DropAfterRows(rows) | Fault::ErrorAfterRows { rows, .. } => row == rows + 1,
            _ => false,
        }
    }

    /// `None` where the connection breaks.
    pub(crate) fn error(&self) -> Option<SqlError> {
        match self.0 {
            Fault::ErrorAfterRows { number, .. } => Some(error_of(number)),
            _ => None,
        }
    }
}

impl Faults {
    fn script(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, fault: Fault) {
        self.script().push(fault);
    }

    pub(crate) fn clear(&self) {
        self.script().clear();
    }

    /// Takes the first fault that fits.
    fn take(&self, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut script = self.script();
        let at = script.iter().position(fits)?;
        Some(script.remove(at))
    }

    /// The fault for a query that may be the one; it is spent even where there are fewer rows.
    pub(crate) fn for_rows(&self, sql: &str) -> Option<AtRow> {
        if !sql.starts_with("SELECT") && !sql.starts_with("WITH") {
            return None;
        }
        self.take(|fault| {
            matches!(
                fault,
                Fault::DropAfterRows(_) | Fault::ErrorAfterRows { .. }
            )
        })
        .map(AtRow)
    }

    pub(crate) fn for_batch(&self, batch: &str) -> Option<SqlError> {
        match self.take(
            |fault| matches!(fault, Fault::Error { text, .. } if batch.contains(text.as_str())),
        ) {
            Some(Fault::Error { number, .. }) => Some(error_of(number)),
            _ => None,
        }
    }

    pub(crate) fn take_exactly(&self, wanted: &Fault) -> bool {
        self.take(|fault| fault == wanted).is_some()
    }

    pub(crate) fn for_login(&self) -> Option<Fault> {
        self.take(|fault| matches!(fault, Fault::RefuseLogin(_) | Fault::Redirect { .. }))
    }

    pub(crate) fn delay(&self) -> Duration {
        let script = self.script();
        let delays = script.iter().filter_map(|fault| match fault {
            Fault::SlowPackets(delay) => Some(*delay),
            _ => None,
        });
        delays.sum()
    }
}

/// An error with the words and the severity that SQL Server gives it.
pub(crate) fn error_of(number: i32) -> SqlError {
    let (class, text) = match number {
        1205 => (
            13,
            "Transaction (Process ID 60) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.",
        ),
        3960 => (
            16,
            "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to access the table directly or indirectly in the database to update, delete, or insert the row that has been modified or deleted by another transaction. Retry the transaction or change the isolation level for the update/delete statement.",
        ),
        4060 => (
            11,
            "Cannot open database requested by the login. The login failed.",
        ),
        18456 => (14, "Login failed for user."),
        18401 => (
            14,
            "Login failed for user. Reason: Server is in script upgrade mode. Only administrator can connect at this time.",
        ),
        17142 => (
            14,
            "SQL Server service has been paused. No new connections will be allowed.",
        ),
        983 => (
            14,
            "Unable to access availability database because the database replica is not in the PRIMARY or SECONDARY role. Connections to an availability database is permitted only when the database replica is in the PRIMARY or SECONDARY role. Try the operation again later.",
        ),
        40613 => (
            17,
            "Database is not currently available. Please retry the connection later.",
        ),
        701 => (
            17,
            "There is insufficient system memory in resource pool 'default' to run this query.",
        ),
        6005 => (20, "SHUTDOWN is in progress."),
        _ => (16, "An error that a script asked for."),
    };
    SqlError::new(number, class, text)
}
