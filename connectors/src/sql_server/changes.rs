//! Change tracking: what changed since a version, deleted rows too.
//!
//! Knows `CHANGETABLE` and how long versions are kept; knows nothing of how rows are read.

use super::catalog::{Column, Readers, Table, Tracking};
use super::failure::protocol;
use super::kind::{AllowLossy, Kind, Loss};
use super::moment;
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
    /// The changes that a window asks for, where there is one.
    pub(super) async fn asked(
        session: &mut Session,
        readers: Readers,
        relation: &Relation,
        table: &Table,
        window: Option<&Window>,
    ) -> Result<Option<Self>> {
        match window {
            Some(window) => Self::new(session, readers, relation, table, window)
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    /// What a window asks for of a table, or the error that says why it cannot be told.
    async fn new(
        session: &mut Session,
        readers: Readers,
        relation: &Relation,
        table: &Table,
        window: &Window,
    ) -> Result<Self> {
        let name = relation.as_sql();
        refuse_unseen(readers, table, &name)?;
        if table.tracked == Tracking::No || table.key.is_empty() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the changes of this table are not tracked",
            )
            .help(format!(
                "let them be, which needs a primary key: `ALTER TABLE {name} ENABLE CHANGE_TRACKING`"
            )));
        }
        if !readers.snapshot {
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
            after: window.after.as_ref().map(number).transpose()?,
            until: window.until.as_ref().map_or(Ok(0), number)?,
            table: name,
        };
        changes.refuse_gap(session, relation).await?;
        Ok(changes)
    }

    /// Fails where changes after the last read are gone: what was deleted then would stay for ever.
    async fn refuse_gap(&self, session: &mut Session, relation: &Relation) -> Result<()> {
        let Some(after) = self.after else {
            return Ok(());
        };
        let now = number(&current(session).await?)?;
        let kept = moment::kept_from(session, relation).await?;
        let kept = kept.ok_or_else(|| protocol("the version of change tracking"))?;
        if now < after {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the server's versions went back: the database was restored, or its change tracking begun anew",
            )
            .with("read up to", after)
            .with("now at", now)
            .help("read the table whole, once: `mode: full`, and `deletes: by_absence` in the merge"));
        }
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
    pub(super) fn columns(&self, table: Vec<Column>, allowed: &AllowLossy) -> Result<Vec<Column>> {
        let mut columns = table;
        for column in &mut columns {
            if [CHANGE, VERSION].contains(&column.name.as_str()) {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "the table has a column `{}`, which changes have too",
                        column.name
                    ),
                )
                .help("read the table with `mode: full`, or `incremental` by a rowversion"));
            }
            if self.key.contains(&column.name) {
                refuse_spelling(column, allowed)?;
            }
            column.nullable |= !self.key.contains(&column.name);
        }
        for (name, kind) in [(CHANGE, Kind::Wide), (VERSION, Kind::BigInt)] {
            columns.push(Column {
                name: name.to_owned(),
                kind,
                nullable: false,
            });
        }
        Ok(columns)
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
            // A row that is there has its own key; one that is gone has left it behind.
            (key, Some(_)) if self.key.iter().any(|name| name == key) => {
                format!("COALESCE(t.{name}, c.{name}) AS {name}")
            }
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

/// Versions and the keys that changed are not shown everywhere, nor to everybody.
fn refuse_unseen(readers: Readers, table: &Table, name: &str) -> Result<()> {
    if !readers.counts {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "versions of changes are of the database that is connected to, and of no secondary",
        )
        .help("connect to the primary, with the database of the table as `database:`"));
    }
    if table.tracked == Tracking::Hidden {
        return Err(Error::new(
            ErrorKind::PermissionDenied,
            "the login may not see the changes of this table",
        )
        .help(format!(
            "let it: `GRANT VIEW CHANGE TRACKING ON {name} TO …`"
        )));
    }
    Ok(())
}

/// A table of the lake tells keys apart that are one to the server.
fn refuse_spelling(column: &Column, allowed: &AllowLossy) -> Result<()> {
    let text = matches!(column.kind, Kind::Narrow | Kind::Wide);
    if !text || allowed.allows(&column.name, Loss::KeySpelling) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("the key column `{}` is text, of which the server takes several spellings for one", column.name),
    )
    .with("type", &column.kind)
    .help(format!(
        "where keys are never only spelled in another way (upper and lower case, blanks at the end), say that it is known: \
         `options: {{ allow_lossy: {{ {}: [{}] }} }}`",
        column.name,
        Loss::KeySpelling
    )))
}

fn number(watermark: &Watermark) -> Result<i64> {
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
