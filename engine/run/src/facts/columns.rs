//! Columns that a spec names beside its SQL: whether rows and tables have them, and can be what is made of them.
//!
//! Each name is looked at alone, so that what is wrong with it is told at its own place.

use std::collections::BTreeMap;
use std::slice::from_ref;

use arrow::datatypes::{DataType, Fields, SchemaRef};
use connectors::{Error, ErrorKind, Result};
use spec::model::{Dedupe, IS_CURRENT, Load, Merge, Step, VALID_FROM, VALID_TO};
use spec::{SqlFault, SqlFaultKind, SqlOf, Word, column_of};

use super::Survey;
use crate::lake::{LakeTable, check_layout};

/// How the names of columns begin that a merge adds to rows on their way.
const RESERVED: &str = "__lakewright_";

impl Survey<'_> {
    /// The columns that are named under a word must be there.
    pub(super) fn named(&mut self, step: &Step, word: Word, names: &[String], rows: &SchemaRef) {
        for name in names {
            if rows.field_with_name(name).is_err() {
                let there = rows.fields().iter().map(|field| field.name().as_str());
                self.note_name(step, word, name, word.unknown(name, name, there));
            }
        }
    }

    fn note_name(&mut self, step: &Step, word: Word, name: &str, fault: SqlFault) {
        let (pipeline, step) = (self.pipeline.id.clone(), step.name.clone());
        let of = SqlOf::Column(pipeline, step, word, name.to_owned());
        self.note(&of, vec![fault]);
    }

    /// Tries each name, and notes what is wrong with it.
    fn each<'n>(
        &mut self,
        step: &Step,
        word: Word,
        names: impl IntoIterator<Item = &'n String>,
        tried: impl Fn(&'n String) -> Result<()>,
    ) -> Result<()> {
        for name in names {
            let Err(error) = tried(name) else {
                continue;
            };
            if !matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) {
                return Err(error);
            }
            let fault = SqlFault {
                about: Some(name.clone()),
                help: error.help_text().map(str::to_owned),
                ..SqlFault::new(SqlFaultKind::UnfitColumn, error.to_string())
            };
            self.note_name(step, word, name, fault);
        }
        Ok(())
    }

    /// A merge names columns that the rows have, and by which a row can be found again.
    pub(super) fn merge_columns(
        &mut self,
        step: &Step,
        merge: &Merge,
        rows: &SchemaRef,
    ) -> Result<()> {
        self.named(step, Word::Key, &merge.key, rows);
        self.named(step, Word::LatestBy, merge.latest_by.as_slice(), rows);
        self.named(step, Word::Without, merge.deletes.without(), rows);
        self.each(step, Word::Key, &merge.key, |key| require_exact(key, rows))?;
        require_free_names(rows)?;
        let told = [VALID_FROM, VALID_TO, IS_CURRENT];
        let own = told.iter().find(|name| rows.field_with_name(name).is_ok());
        if let Some(name) = own.filter(|_| merge.history) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the rows have a column `{name}`, which `history` writes itself"),
            )
            .help("give it another name in a transform before"));
        }
        Ok(())
    }

    /// The columns by which rows are known must be among those that are read.
    pub(super) fn dedupe_columns(
        &mut self,
        step: &Step,
        dedupe: &Dedupe,
        rows: &SchemaRef,
    ) -> Result<()> {
        let by = dedupe.by.as_slice();
        self.named(step, Word::Key, &dedupe.key, rows);
        self.named(step, Word::By, by, rows);
        self.each(step, Word::Key, &dedupe.key, |key| require_exact(key, rows))?;
        self.each(step, Word::By, by, |by| require_order(dedupe, by, rows))?;
        require_free_names(rows)
    }

    /// How a new table would be laid out, by the columns that are written.
    pub(super) fn layout(&mut self, step: &Step, load: &Load, rows: &SchemaRef) -> Result<()> {
        let none = BTreeMap::new();
        let renames = &load.renamed_from;
        self.each(step, Word::RenamedFrom, renames.keys(), |new| {
            let one = renames.get(new).map(|old| (new.clone(), old.clone()));
            check_layout(rows, &[], &[], &one.into_iter().collect())
        })?;
        let known = |text: &&String| rows.field_with_name(column_of(text)).is_ok();
        for (word, fields) in [
            (Word::PartitionBy, &load.partition_by),
            (Word::SortBy, &load.sort_by),
        ] {
            let (fit, other): (Vec<&String>, Vec<&String>) = fields.iter().partition(known);
            for text in other
                .into_iter()
                .filter(|text| !column_of(text).contains('.'))
            {
                let there = rows.fields().iter().map(|field| field.name().as_str());
                self.note_name(step, word, text, word.unknown(text, column_of(text), there));
            }
            self.each(step, word, fit, |text| match word {
                Word::SortBy => check_layout(rows, &[], from_ref(text), &none),
                _ => check_layout(rows, from_ref(text), &[], &none),
            })?;
        }
        Ok(())
    }

    /// What is named must go with the table that is there.
    pub(super) fn renames_of_table(
        &mut self,
        step: &Step,
        load: &Load,
        table: &LakeTable,
        rows: &SchemaRef,
    ) -> Result<()> {
        let renames = &load.renamed_from;
        self.each(step, Word::RenamedFrom, renames.keys(), |new| {
            let one = renames.get(new).map(|old| (new.clone(), old.clone()));
            let told = table.renamed(rows, &one.into_iter().collect());
            told.map(|_| ())
        })
    }

    /// Rows of a table that lacks a column of the key could never be found again.
    pub(super) fn key_of_table(
        &mut self,
        step: &Step,
        key: &[String],
        table: &LakeTable,
    ) -> Result<()> {
        self.each(step, Word::Key, key, |key| require_key(key, table))
    }

    /// Rows of a table that has no times where they count are never known again.
    pub(super) fn times_of_table(
        &mut self,
        step: &Step,
        dedupe: &Dedupe,
        table: &LakeTable,
    ) -> Result<()> {
        let by = dedupe.by.iter().filter(|_| dedupe.within.is_some());
        self.each(step, Word::By, by, |by| require_times_of(by, table))
    }
}

/// The names that merges give to columns of their own must be free.
pub(super) fn require_free_names(rows: &SchemaRef) -> Result<()> {
    let mut fields = rows.fields().iter();
    let Some(field) = fields.find(|field| field.name().starts_with(RESERVED)) else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!(
            "column `{}` has a name that merges use themselves",
            field.name()
        ),
    )
    .help("give it another name in a transform before"))
}

/// Two columns whose names differ only in case, anywhere in a row: the others who read the table see one column.
pub(super) fn alike(fields: &Fields) -> Option<(String, String)> {
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for field in fields {
        if let Some(first) = seen.insert(field.name().to_lowercase(), field.name()) {
            return Some((first.clone(), field.name().clone()));
        }
        if let DataType::Struct(inside) = field.data_type()
            && let Some(found) = alike(inside)
        {
            return Some(found);
        }
    }
    None
}

/// A key must be the same each time.
fn require_exact(column: &str, rows: &SchemaRef) -> Result<()> {
    let field = rows.field_with_name(column).ok();
    if !field.is_some_and(|field| field.data_type().is_floating()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!(
            "column `{column}` of the key is floating point: a row could not surely be found again"
        ),
    )
    .help("cast it in a transform before: `CAST(… AS DECIMAL(18, 6))`"))
}

/// What tells which of several rows is added must have an order, and times where they count.
fn require_order(dedupe: &Dedupe, by: &str, rows: &SchemaRef) -> Result<()> {
    let Ok(field) = rows.field_with_name(by) else {
        return Ok(());
    };
    if dedupe.within.is_some() {
        return require_times(by, field.data_type());
    }
    if field.data_type().is_nested() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("`by` names column `{by}`, whose values have no order"),
        )
        .help("name a column of plain values"));
    }
    Ok(())
}

/// Only times and days lie a duration apart.
fn require_times(by: &str, r#type: &DataType) -> Result<()> {
    if matches!(
        r#type,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    ) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("`within` needs a time or a date, and column `{by}` is `{type}`"),
    )
    .help("cast it in a transform before, or leave out `within`"))
}

fn require_times_of(by: &str, table: &LakeTable) -> Result<()> {
    if table.snapshot_id().is_none() {
        return Ok(());
    }
    match table.arrow_schema().field_with_name(by) {
        Ok(field) => {
            require_times(by, field.data_type()).map_err(|error| error.with("table", table.id()))
        }
        Err(_) => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the table has no column `{by}`, whose times tell which rows are the same"),
        )
        .with("table", table.id())
        .help("name a column that it has, or leave out `within`")),
    }
}

fn require_key(key: &str, table: &LakeTable) -> Result<()> {
    let columns = table.arrow_schema();
    if columns.field_with_name(key).is_ok() || table.snapshot_id().is_none() {
        return Ok(());
    }
    let mut names = columns.fields().iter().map(|field| field.name());
    let help = match names.find(|name| name.eq_ignore_ascii_case(key)) {
        Some(alike) => format!("it has `{alike}`: names are taken as they are written"),
        None => "name columns that it has, or write it once with `mode: replace`".to_owned(),
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("the table has no column `{key}`, which is part of the key"),
    )
    .with("table", table.id())
    .help(help))
}
