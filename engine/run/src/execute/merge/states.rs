//! History: a row for every state that a key was in, with the time it was so (a slowly changing dimension of type 2).
//!
//! The states of the keys that come are worked out anew from what is there and what comes, so that rows may come late,
//! in any order and again; what comes out is merged by key and time like any other rows. Knows no I/O.

use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use connectors::{Error, ErrorKind, Result};
use spec::model::{Deletes, IS_CURRENT, Merge, VALID_FROM, VALID_TO};

use super::{column, list};
use crate::lake::DELETES;
use crate::query::quoted;

/// When an event happened, while states are worked out.
const AT: &str = "__lakewright_at";
/// Which of two events at one time counts, the greater.
const RANK: &str = "__lakewright_rank";
/// The same of the event before.
const BEFORE: &str = "__lakewright_before_";

/// The column with the time of a change, where history is kept.
pub(super) fn time_of(merge: &Merge) -> Option<&String> {
    merge.latest_by.as_ref().filter(|_| merge.history)
}

/// The columns that history adds; `time` is the one with the time of a change.
pub(super) fn columns(time: &Field) -> [Arc<Field>; 3] {
    let field = |name, r#type| Arc::new(Field::new(name, r#type, true));
    [
        field(VALID_FROM, time.data_type().clone()),
        field(VALID_TO, time.data_type().clone()),
        field(IS_CURRENT, DataType::Boolean),
    ]
}

/// A state without a time has no place in a history.
pub(super) fn without_null(rows: &RecordBatch, time: &str) -> Result<()> {
    if column(rows, time)?.null_count() == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidData,
        format!("a row has no value in `{time}`: its history cannot be told"),
    )
    .help("leave such rows out, or set them aside with a check: `expect: \"… IS NOT NULL\"`"))
}

/// The states as rows to merge: their columns, and the merge by key and time that puts them into the table.
pub(super) fn as_rows(
    merge: &Merge,
    incoming: &SchemaRef,
    table: &SchemaRef,
) -> Result<(SchemaRef, Merge)> {
    let mut fields: Vec<Arc<Field>> = Vec::new();
    let values = incoming.fields().iter();
    for name in values
        .map(|field| field.name())
        .filter(|name| *name != DELETES)
    {
        fields.push(nullable(incoming.field_with_name(name)?));
    }
    for name in [VALID_FROM, VALID_TO, IS_CURRENT] {
        fields.push(nullable(table.field_with_name(name)?));
    }
    fields.push(Arc::new(Field::new(DELETES, DataType::Boolean, true)));
    let mut by_state = merge.clone();
    by_state.key.push(VALID_FROM.to_owned());
    by_state.deletes = Deletes::Never;
    Ok((Arc::new(Schema::new(fields)), by_state))
}

fn nullable(field: &Field) -> Arc<Field> {
    Arc::new(field.clone().with_nullable(true))
}

/// The query of the states of all keys that come, and of states that are there and are none any more.
///
/// An event is a state that begins, or the end of one. What is there tells of both: of an end only where no other state
/// begins at that time. Events that change nothing are left out.
pub(super) fn sql(
    merge: &Merge,
    time: &str,
    incoming: &SchemaRef,
    table: &SchemaRef,
) -> Result<String> {
    let names: Vec<&String> = incoming
        .fields()
        .iter()
        .map(|field| field.name())
        .filter(|name| *name != DELETES)
        .collect();
    let values: Vec<&String> = names
        .iter()
        .copied()
        .filter(|name| *name != time && !merge.key.contains(name))
        .collect();
    let key = list(merge.key.iter());
    let same = |one: &str, other: &str| -> String {
        let same = merge.key.iter().map(|name| {
            let name = quoted(name);
            format!("{one}.{name} = {other}.{name}")
        });
        same.collect::<Vec<_>>().join(" AND ")
    };
    let all = list(names.iter().copied());
    // An end has a key and a time, and no values.
    let end = names.iter().map(|name| -> Result<String> {
        let r#type = incoming.field_with_name(name)?.data_type();
        let name = quoted(name);
        Ok(if merge.key.iter().any(|key| quoted(key) == name) {
            name
        } else {
            format!("arrow_cast(NULL, '{type}') AS {name}")
        })
    });
    let end = end.collect::<Result<Vec<_>>>()?.join(", ");
    let before = std::iter::once(DELETES)
        .chain(values.iter().map(|name| name.as_str()))
        .map(|name| {
            let (name, before) = (quoted(name), quoted(&format!("{BEFORE}{name}")));
            format!("lag({name}) OVER (PARTITION BY {key} ORDER BY {AT}) AS {before}")
        });
    let before = before.collect::<Vec<_>>().join(", ");
    let was_end = quoted(&format!("{BEFORE}{DELETES}"));
    let differs = values.iter().map(|name| {
        let (name, before) = (quoted(name), quoted(&format!("{BEFORE}{name}")));
        format!("({name} IS DISTINCT FROM {before})")
    });
    let differs = std::iter::once("false".to_owned()).chain(differs);
    let differs = differs.collect::<Vec<_>>().join(" OR ");
    let gone = names.iter().map(|name| format!("e.{}", quoted(name)));
    let gone = gone.collect::<Vec<_>>().join(", ");
    let r#type = table.field_with_name(VALID_FROM)?.data_type();
    let at = format!("arrow_cast({}, '{type}')", quoted(time));
    Ok(format!(
        "WITH touched AS (SELECT DISTINCT {key} FROM incoming), \
         existing AS (SELECT c.* FROM candidates c LEFT SEMI JOIN touched t ON {on_touched}), \
         events AS (SELECT {all}, {at} AS {AT}, {DELETES}, 2 AS {RANK} FROM incoming \
           UNION ALL SELECT {all}, {VALID_FROM}, false, 1 FROM existing \
           UNION ALL SELECT {end}, {VALID_TO}, true, 0 FROM existing WHERE {VALID_TO} IS NOT NULL), \
         ranked AS (SELECT *, row_number() OVER (PARTITION BY {key}, {AT} ORDER BY {RANK} DESC) AS __lakewright_number FROM events), \
         told AS (SELECT *, {before} FROM ranked WHERE __lakewright_number = 1), \
         changing AS (SELECT * FROM told WHERE ({was_end} IS NULL AND NOT {DELETES}) OR ({was_end} AND NOT {DELETES}) \
           OR (NOT {was_end} AND ({DELETES} OR {differs}))), \
         states AS (SELECT *, lead({AT}) OVER (PARTITION BY {key} ORDER BY {AT}) AS __lakewright_end FROM changing) \
         SELECT {all}, {AT} AS {VALID_FROM}, __lakewright_end AS {VALID_TO}, __lakewright_end IS NULL AS {IS_CURRENT}, \
           false AS {DELETES} FROM states WHERE NOT {DELETES} \
         UNION ALL SELECT {gone}, e.{VALID_FROM}, e.{VALID_TO}, e.{IS_CURRENT}, true FROM existing e \
           LEFT ANTI JOIN (SELECT {key}, {AT} FROM states WHERE NOT {DELETES}) s \
           ON {on_state} AND e.{VALID_FROM} = s.{AT}",
        on_touched = same("c", "t"),
        on_state = same("e", "s"),
    ))
}
