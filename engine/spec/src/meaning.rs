//! `unknown-column` and its like: findings about what SQL and the names of columns mean.
//!
//! Whether a column is there is known only to whoever sees the sources. They say what is wrong, and where in the text
//! ([`SqlFault`]); here it gets its code and its place in a file ([`Texts`]). Knows nothing of how a fault is found.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::check::{SQL_NOT_A_QUERY, SQL_SYNTAX, UNKNOWN_TABLE};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{PipelineId, StepName};
use crate::read::nearest;
use crate::source::Sources;
use crate::sql::{self, Place, SqlError};
use crate::text::Text;

const UNKNOWN_COLUMN: Code = Code {
    name: "unknown-column",
    explain: "SQL names a column that none of the tables it reads has, or a step one that its rows, or its table, do not have. \
              `lakewright plan` finds it, since only the sources say which columns there are; `validate` does where `columns` \
              or the SQL lists them.\n\n\
              Names mean what is written: `VisitID` is not `visitid`. A step has the columns that its extract or transform \
              returns; `lakewright plan` lists them.",
};
const AMBIGUOUS_COLUMN: Code = Code {
    name: "ambiguous-column",
    explain: "Several of the tables that a query reads have a column of this name.\n\nSay whose it is: `visit.id`.",
};
const DUPLICATE_COLUMN: Code = Code {
    name: "duplicate-column",
    explain: "Two columns of a query's answer have the same name, and a table has each name once.\n\n\
              Give one of them another name with `AS`, or leave it out. `SELECT *` over a join returns the columns of both \
              sides; `JOIN … USING (id)` returns `id` once. A table of the lake takes no names that differ only in upper and lower \
              case: most of those who read it would see one column.",
};
const UNKNOWN_FUNCTION: Code = Code {
    name: "unknown-function",
    explain: "SQL calls a function that the engine does not have.\n\n\
              The functions are those of DataFusion; the SQL of a source's own `query` may call what that source has.",
};
const SQL_TYPES: Code = Code {
    name: "sql-types",
    explain: "Types do not go together: an operator or a function is given what it does not take, or a condition is not true or \
              false.\n\nConvert one side, `CAST(amount AS DOUBLE)`, or compare with something, `amount > 0`.",
};
const NOT_GROUPED: Code = Code {
    name: "not-grouped",
    explain: "A query with `GROUP BY` or an aggregate function returns one row a group, and a column that the groups are not made \
              by has many values in each.\n\n\
              Add the column to `GROUP BY`, or say which value is meant with a function: `max(amount)`.",
};
const UNFIT_COLUMN: Code = Code {
    name: "unfit-column",
    explain: "A step names a column that is there and cannot be what the step makes of it: a key of floating point, times that are \
              none, a partition by the month of a text; or the table that is written does not go with it.\n\n\
              Name another column, or compute one in a transform before.",
};
const SQL_MEANING: Code = Code {
    name: "sql-meaning",
    explain: "The SQL can be parsed and has no meaning that could be computed. The message says what the engine misses.",
};

/// The codes of what SQL means.
pub(crate) const CODES: &[&Code] = &[
    &AMBIGUOUS_COLUMN,
    &DUPLICATE_COLUMN,
    &NOT_GROUPED,
    &SQL_MEANING,
    &SQL_TYPES,
    &UNFIT_COLUMN,
    &UNKNOWN_COLUMN,
    &UNKNOWN_FUNCTION,
];

/// What kind of thing is wrong with a SQL text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlFaultKind {
    /// It cannot be parsed.
    Syntax,
    /// It is no query.
    NotAQuery,
    /// A table that is not there.
    UnknownTable,
    /// A column that is not there.
    UnknownColumn,
    /// A column that several tables have.
    AmbiguousColumn,
    /// A name that two columns have.
    DuplicateColumn,
    /// A column that cannot be what is made of it.
    UnfitColumn,
    /// A function that is not there.
    UnknownFunction,
    /// Types that do not go together.
    Types,
    /// A column that is neither grouped by nor aggregated.
    NotGrouped,
    /// Anything else.
    Meaning,
}

impl SqlFaultKind {
    const fn code(self) -> &'static Code {
        match self {
            Self::Syntax => &SQL_SYNTAX,
            Self::NotAQuery => &SQL_NOT_A_QUERY,
            Self::UnknownTable => &UNKNOWN_TABLE,
            Self::UnknownColumn => &UNKNOWN_COLUMN,
            Self::AmbiguousColumn => &AMBIGUOUS_COLUMN,
            Self::DuplicateColumn => &DUPLICATE_COLUMN,
            Self::UnfitColumn => &UNFIT_COLUMN,
            Self::UnknownFunction => &UNKNOWN_FUNCTION,
            Self::Types => &SQL_TYPES,
            Self::NotGrouped => &NOT_GROUPED,
            Self::Meaning => &SQL_MEANING,
        }
    }
}

/// What is wrong with a SQL text, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlFault {
    /// What kind of thing.
    pub kind: SqlFaultKind,
    /// What is wrong.
    pub message: String,
    /// The table, column or function that it is about, as it is written; `None` where it is about no single name.
    pub about: Option<String>,
    /// Where in the text; `None` where nobody knows.
    pub place: Option<Place>,
    /// What to do about it.
    pub help: Option<String>,
    /// What to write at that place.
    pub suggestion: Option<String>,
}

impl SqlFault {
    /// A fault without a place.
    pub fn new(kind: SqlFaultKind, message: impl Into<String>) -> Self {
        let (about, place, help, suggestion) = (None, None, None, None);
        Self {
            kind,
            message: message.into(),
            about,
            place,
            help,
            suggestion,
        }
    }

    /// What to do about it, in one line.
    pub fn next_step(&self) -> Option<String> {
        let suggested = self.suggestion.as_ref();
        suggested
            .map(|text| format!("did you mean `{text}`?"))
            .or_else(|| self.help.clone())
    }
}

impl fmt::Display for SqlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Why a text is no query, where that can be seen without knowing any table.
pub fn query_syntax(text: &str) -> Option<SqlFault> {
    let (kind, message, place) = match sql::relations(text).err()? {
        SqlError::Syntax { message, place } => (SqlFaultKind::Syntax, message, place),
        SqlError::NotAQuery { message, place } => (SqlFaultKind::NotAQuery, message, place),
    };
    Some(SqlFault {
        place,
        help: (kind == SqlFaultKind::NotAQuery)
            .then(|| "write one `SELECT …` or `WITH … SELECT …`".to_owned()),
        ..SqlFault::new(kind, message)
    })
}

/// The word of a spec under which columns are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// What of several rows with one key is added.
    By,
    /// What an extract reads.
    Columns,
    /// What identifies a row.
    Key,
    /// What tells which row of a key counts.
    LatestBy,
    /// How a table is cut.
    PartitionBy,
    /// Columns that have another name than before, by the new one.
    RenamedFrom,
    /// How a table is sorted.
    SortBy,
    /// How a read is cut.
    SplitsBy,
    /// What grows.
    Watermark,
    /// What is not written.
    Without,
}

impl Word {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::By => "by",
            Self::Columns => "columns",
            Self::Key => "key",
            Self::LatestBy => "latest_by",
            Self::PartitionBy => "partition_by",
            Self::RenamedFrom => "renamed_from",
            Self::SortBy => "sort_by",
            Self::SplitsBy => "splits.by",
            Self::Watermark => "watermark",
            Self::Without => "without",
        }
    }

    /// What is wrong where it names a column, in `text`, that rows do not have which have `there`.
    pub fn unknown<'a>(
        self,
        text: &str,
        column: &str,
        there: impl IntoIterator<Item = &'a str>,
    ) -> SqlFault {
        let names: Vec<&str> = there.into_iter().collect();
        let near = nearest(column, names.iter().copied());
        SqlFault {
            about: Some(column.to_owned()),
            suggestion: near.map(|near| {
                let (form, rest) = text.split_at(text.find('(').unwrap_or_default());
                format!("{form}{}", rest.replacen(column, near, 1))
            }),
            help: (!names.is_empty()).then(|| format!("they have `{}`", names.join("`, `"))),
            ..SqlFault::new(
                SqlFaultKind::UnknownColumn,
                format!(
                    "`{}` names column `{column}`, which the rows do not have",
                    self.as_str()
                ),
            )
        }
    }
}

/// One text of the specs that means something to whoever knows the columns: SQL, or the name of a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SqlOf {
    /// A name of a step, for what is about the whole of it.
    Step(PipelineId, StepName),
    /// The name of a column, as it is written under this word of a step.
    Column(PipelineId, StepName, Word, String),
    /// The query of a transform.
    Transform(PipelineId, StepName),
    /// The condition of a rule, by its check and its name.
    Rule(PipelineId, StepName, String),
    /// The condition of a merge under which a row deletes, by its load.
    Deletes(PipelineId, StepName),
    /// The condition of the part of a table that is replaced, by its load.
    Part(PipelineId, StepName),
    /// A query that stands in no file.
    Query,
}

/// Where the SQL of a project stands.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    texts: BTreeMap<SqlOf, Text>,
    sources: Arc<Sources>,
}

impl Texts {
    pub(crate) fn new(texts: BTreeMap<SqlOf, Text>, sources: Arc<Sources>) -> Self {
        Self { texts, sources }
    }

    /// A query that stands in no file, as [`SqlOf::Query`].
    pub fn of_query(query: &str) -> Self {
        let mut sources = Sources::default();
        let file = sources.add("query".to_owned(), query.to_owned());
        let texts = sources
            .get(file)
            .map(|source| (SqlOf::Query, Text::of_file(file, source)));
        Self {
            texts: texts.into_iter().collect(),
            sources: Arc::new(sources),
        }
    }

    /// The findings of these faults, each with its place in a file.
    pub fn findings(&self, faults: &[(SqlOf, SqlFault)]) -> Diagnostics {
        let found = faults.iter().map(|(of, fault)| self.finding(of, fault));
        Diagnostics::new(found.collect(), Arc::clone(&self.sources))
    }

    /// Where a text begins: `orders.yaml:12:7`.
    pub fn place(&self, of: &SqlOf) -> Option<String> {
        let span = self.texts.get(of)?.first_line();
        let source = self.sources.get(span.file)?;
        let at = source.position(span.start);
        Some(format!("{}:{}:{}", source.path, at.line, at.column))
    }

    fn finding(&self, of: &SqlOf, fault: &SqlFault) -> Diagnostic {
        fault.at(self.texts.get(of))
    }
}

impl SqlFault {
    /// The finding of this fault in a text.
    pub(crate) fn at(&self, text: Option<&Text>) -> Diagnostic {
        let code = self.kind.code();
        let message = self.message.as_str();
        let finding = match text {
            Some(text) => {
                let span = match self.place {
                    Some(place) => text.span(Some(place)),
                    None => text.first_line(),
                };
                Diagnostic::error(code, span, message)
            }
            None => Diagnostic::nowhere(code, message),
        };
        match (&self.suggestion, &self.help) {
            (Some(suggestion), _) => finding.suggest(suggestion),
            (None, Some(help)) => finding.help(help.as_str()),
            (None, None) => finding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_a_file_has_places_too() {
        let texts = Texts::of_query("select nope\nfrom d.t");
        let fault = SqlFault {
            place: Some(Place {
                line: 1,
                column: 8,
                length: 4,
            }),
            suggestion: Some("note".to_owned()),
            ..SqlFault::new(SqlFaultKind::UnknownColumn, "there is no column `nope`")
        };
        let shown = texts.findings(&[(SqlOf::Query, fault)]).render(false);
        let expected = "error[unknown-column]: there is no column `nope`
 --> query:1:8
  |
1 | select nope
  |        ^^^^
help: did you mean `note`?
";
        assert_eq!(shown.trim_end(), expected.trim_end());
    }

    #[test]
    fn what_is_no_query_says_so() {
        assert_eq!(query_syntax("select 1"), None);
        let kind = |text| query_syntax(text).map(|fault| fault.kind);
        assert_eq!(kind("select (1"), Some(SqlFaultKind::Syntax));
        assert_eq!(kind("drop table t"), Some(SqlFaultKind::NotAQuery));
    }
}
