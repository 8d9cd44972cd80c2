//! What went wrong, in SQL Server's numbers: what a client is told in an ERROR token.
//!
//! Knows the numbers that clients react to, and which of them stand for a PostgreSQL error. Knows no statement.

use sqlx::postgres::PgDatabaseError;

/// The severity of what a statement did wrong.
pub(crate) const STATEMENT: u8 = 16;
/// The severity of what ends the connection.
pub(crate) const FATAL: u8 = 20;

/// An error of the server's own making, or of PostgreSQL's in SQL Server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqlError {
    pub(crate) number: i32,
    pub(crate) state: u8,
    pub(crate) class: u8,
    pub(crate) message: String,
    pub(crate) line: u32,
}

pub(crate) type Result<T> = std::result::Result<T, SqlError>;

impl SqlError {
    pub(crate) fn new(number: i32, class: u8, message: impl Into<String>) -> Self {
        Self {
            number,
            state: 1,
            class,
            message: message.into(),
            line: 1,
        }
    }

    /// The one answer to everything the server does not know.
    pub(crate) fn syntax(near: &str, line: u32) -> Self {
        Self {
            line,
            ..Self::new(102, 15, format!("Incorrect syntax near '{near}'."))
        }
    }

    /// A form that parses and means something in SQL Server, but not here.
    pub(crate) fn unknown(what: &str) -> Self {
        Self::syntax(what, 1)
    }

    pub(crate) fn no_object(name: &str) -> Self {
        Self::new(208, STATEMENT, format!("Invalid object name '{name}'."))
    }

    pub(crate) fn no_column(name: &str) -> Self {
        Self::new(207, STATEMENT, format!("Invalid column name '{name}'."))
    }

    pub(crate) fn protocol(message: &str) -> Self {
        Self::new(4002, FATAL, message)
    }

    /// Whether the connection cannot go on after it.
    pub(crate) fn is_fatal(&self) -> bool {
        self.class >= FATAL
    }

    /// Whether it takes the whole transaction back, and not only its statement.
    pub(crate) fn ends_transaction(&self) -> bool {
        matches!(self.number, 1205 | 3960 | 3952)
    }
}

impl From<sqlx::Error> for SqlError {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return Self::new(
                596,
                FATAL,
                format!("Cannot continue the execution: {error}"),
            );
        };
        let code = database.code().unwrap_or_default();
        let message = database.message();
        let constraint = database
            .try_downcast_ref::<PgDatabaseError>()
            .and_then(PgDatabaseError::constraint)
            .unwrap_or_default();
        of_postgres(&code, message, constraint)
    }
}

/// Functions of the `tds` schema raise `T` and the number, and word the message themselves.
fn of_postgres(code: &str, message: &str, constraint: &str) -> SqlError {
    if let Some(number) = code
        .strip_prefix('T')
        .and_then(|digits| digits.parse().ok())
    {
        return SqlError::new(number, STATEMENT, message);
    }
    let (number, class, message) = match code {
        "40P01" => (
            1205,
            13,
            "Transaction was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.".to_owned(),
        ),
        "40001" => (
            3960,
            16,
            "Snapshot isolation transaction aborted due to update conflict. Retry the transaction or change the isolation level for the update/delete statement.".to_owned(),
        ),
        "55P03" => (1222, 16, "Lock request time out period exceeded.".to_owned()),
        "23505" => (
            2627,
            14,
            format!("Violation of UNIQUE KEY constraint '{constraint}'. Cannot insert duplicate key."),
        ),
        "23502" => (515, 16, format!("Cannot insert the value NULL: {message}")),
        "23503" | "23514" => (
            547,
            16,
            format!("The statement conflicted with the constraint \"{constraint}\"."),
        ),
        "22012" => (8134, 16, "Divide by zero error encountered.".to_owned()),
        "22003" => (8115, 16, "Arithmetic overflow error converting expression.".to_owned()),
        "22001" => (2628, 16, "String or binary data would be truncated.".to_owned()),
        "22P02" => (245, 16, format!("Conversion failed: {message}")),
        "21000" => (
            512,
            16,
            "Subquery returned more than 1 value.".to_owned(),
        ),
        "57014" => (0, 11, "The query was cancelled.".to_owned()),
        _ => (50_000, 16, format!("PostgreSQL says {code}: {message}")),
    };
    SqlError::new(number, class, message)
}
