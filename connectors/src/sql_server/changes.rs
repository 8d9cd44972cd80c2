//! Change tracking: what changed since a version, deleted rows too.
//!
//! Knows `CHANGETABLE` and how long versions are kept; knows nothing of how rows are read.

use super::catalog::{Column, Table};
use super::failure::protocol;
use super::kind::Kind;
use super::moment::Guard;
use super::session::Session;
use super::sql::{self, Relation};
use crate::contract::{CHANGE, DELETE, VERSION, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Literal, Watermark};

/// The changes of a table that a window asks for.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    table: String,
    key: Vec<String>,
    /// `None` where all rows are new.
    after: Option<i64>,
    until: i64,
}

/// The version that the database is at.
pub(super) async fn current(session: &mut Session) -> Result<Watermark> {
    let version = session
        .value("SELECT CHANGE_TRACKING_CURRENT_VERSION()")
        .await?
        .ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the database does not track changes").help(
                "let it: `ALTER DATABASE … SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 7 DAYS, AUTO_CLEANUP = ON)`",
            )
        })?;
    version
        .parse()
        .map(|version| Watermark::Value(Literal::Int(version)))
        .map_err(|_| protocol("the version of change tracking"))
}

impl Changes {
    /// What a window asks for of a table, or the error that says why it cannot be told.
    pub(super) async fn new(
        session: &mut Session,
        guard: Guard,
        relation: &Relation,
        table: &Table,
        window: &Window,
    ) -> Result<Self> {
        let name = relation.as_sql();
        if !table.tracked || table.key.is_empty() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the changes of this table are not tracked",
            )
            .help(format!(
                "let them be, which needs a primary key: `ALTER TABLE {name} ENABLE CHANGE_TRACKING`"
            )));
        }
        if guard != Guard::Snapshot {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "changes can only be read together with the rows in a snapshot",
            )
            .help(
                "let the database have them: `ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON`",
            ));
        }
        let changes = Self {
            key: table.key.clone(),
            after: window.after.as_ref().map(version).transpose()?,
            until: window.until.as_ref().map_or(Ok(0), version)?,
            table: name,
        };
        changes.refuse_gap(session).await?;
        Ok(changes)
    }

    /// Fails where changes after the last read are gone: what was deleted then would stay for ever.
    async fn refuse_gap(&self, session: &mut Session) -> Result<()> {
        let Some(after) = self.after else {
            return Ok(());
        };
        let kept = session
            .value(format!(
                "SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID({}))",
                sql::text(&self.table)
            ))
            .await?
            .and_then(|version| version.parse::<i64>().ok())
            .ok_or_else(|| protocol("the version of change tracking"))?;
        if after >= kept {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidData,
            "changes since the last read are no longer kept by the server",
        )
        .with("read up to", after)
        .with("kept from", kept)
        .help(
            "read the table whole, once: `mode: full`, and `deletes: by_absence` in the merge. To keep changes longer, raise \
             CHANGE_RETENTION above the longest pause between two runs",
        ))
    }

    /// The columns of the rows: those of the table, which a deleted row has not, and what became of them.
    pub(super) fn columns(&self, table: Vec<Column>) -> Vec<Column> {
        let mut columns = table;
        for column in &mut columns {
            column.nullable |= !self.key.contains(&column.name);
        }
        for (name, kind) in [(CHANGE, Kind::Wide), (VERSION, Kind::BigInt)] {
            columns.push(Column {
                name: name.to_owned(),
                kind,
                nullable: false,
            });
        }
        columns
    }

    /// Whether the rows are those of the table, all of them new.
    pub(super) const fn whole(&self) -> bool {
        self.after.is_none()
    }

    /// What a column is selected as.
    pub(super) fn selected(&self, column: &str) -> String {
        let name = sql::identifier(column);
        match (column, self.after) {
            (CHANGE, None) => format!("N'insert' AS {name}"),
            (VERSION, None) => format!("CAST({} AS bigint) AS {name}", self.until),
            (CHANGE, Some(_)) => format!(
                "CASE c.SYS_CHANGE_OPERATION WHEN N'I' THEN N'insert' WHEN N'U' THEN N'update' ELSE N'{DELETE}' END AS {name}"
            ),
            (VERSION, Some(_)) => format!("c.SYS_CHANGE_VERSION AS {name}"),
            (_, None) => name,
            (key, Some(_)) if self.key.iter().any(|name| name == key) => format!("c.{name}"),
            _ => format!("t.{name}"),
        }
    }

    /// What the rows are selected from.
    pub(super) fn from(&self) -> String {
        let Some(after) = self.after else {
            return self.table.clone();
        };
        let same = self.key.iter().map(|key| {
            let key = sql::identifier(key);
            format!("t.{key} = c.{key}")
        });
        format!(
            "CHANGETABLE(CHANGES {0}, {after}) AS c LEFT JOIN {0} AS t ON {1}",
            self.table,
            same.collect::<Vec<_>>().join(" AND ")
        )
    }

    /// What is read, for `plan`.
    pub(super) fn describe(&self) -> String {
        match self.after {
            None => format!("all rows at version {} or later", self.until),
            Some(after) => format!("changes after version {after}"),
        }
    }
}

fn version(watermark: &Watermark) -> Result<i64> {
    match watermark {
        Watermark::Value(Literal::Int(version)) => Ok(*version),
        other => Err(Error::new(
            ErrorKind::InvalidInput,
            "the watermark is no version of change tracking",
        )
        .with("watermark", other)
        .help("the extract read in another mode before; reset the watermark")),
    }
}
