//! How the columns of a table differ from those of the rows that arrive, and the columns that hold both.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Fields, SchemaRef};
use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{NestedField, NestedFieldRef, PrimitiveType, Schema, Type};

use super::Column;
use super::order::like_rows;
use super::types::{column, fresh, type_word};

/// What a write does to the columns of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableChange {
    /// The table is made.
    Create {
        /// Its columns.
        columns: Vec<Column>,
    },
    /// The columns stay as they are.
    Unchanged,
    /// The columns differ.
    Evolve(Evolution),
}

/// How the rows that arrive differ from the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evolution {
    /// Columns the table does not have.
    pub added: Vec<Column>,
    /// Columns whose type can grow so that it holds both.
    pub widened: Vec<Retyped>,
    /// Columns whose values may not fit the table.
    pub narrowed: Vec<Retyped>,
    /// Columns of the table that the rows do not have.
    pub dropped: Vec<String>,
    /// Columns that had a value in every row and may now lack it.
    pub relaxed: Vec<String>,
}

/// A column with two types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retyped {
    /// The column.
    pub name: String,
    /// Its type in the table.
    pub from: String,
    /// Its type in the rows.
    pub to: String,
}

/// What to do about one way in which columns differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The table follows where it can; for narrowed columns: values are cast, and one that does not fit is an error.
    Accept,
    /// The write fails and names the column.
    Reject,
    /// The table stays as it is: new columns are left out, values are cast.
    Ignore,
}

/// What to do about each way in which columns differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnSchemaChange {
    /// New columns.
    pub add: Reaction,
    /// Columns with a wider type.
    pub widen: Reaction,
    /// Columns with a narrower or another type.
    pub narrow: Reaction,
    /// Columns that are gone. Ignored, they are NULL in the new rows.
    pub drop: Reaction,
    /// Columns that may now lack a value. Ignored, a row that lacks it is an error.
    pub relax: Reaction,
    /// Columns in another order.
    pub reorder: Reaction,
    /// A table that is cut in another way.
    pub partition: Reaction,
}

impl Default for OnSchemaChange {
    fn default() -> Self {
        Self {
            add: Reaction::Accept,
            widen: Reaction::Accept,
            narrow: Reaction::Reject,
            drop: Reaction::Ignore,
            relax: Reaction::Accept,
            reorder: Reaction::Ignore,
            partition: Reaction::Reject,
        }
    }
}

impl Retyped {
    /// Whether one of the types has parts.
    fn has_parts(&self) -> bool {
        self.from.contains('<') || self.to.contains('<')
    }
}

impl Evolution {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first difference that may not be, as an error.
    pub(in crate::lake) fn check(&self, on: OnSchemaChange) -> Result<()> {
        if let (Reaction::Reject, Some(column)) = (on.add, self.added.first()) {
            let message = format!("column `{}` is not in the table", column.name);
            return Err(refused(message).with("new type", &column.type_).help(
                "allow it with `on_schema_change: { add: accept }`, or leave the column out",
            ));
        }
        if let (Reaction::Reject, Some(column)) = (on.widen, self.widened.first()) {
            return Err(refused(retyped(column))
                .help("allow it with `on_schema_change: { widen: accept }`, or cast the column"));
        }
        if let Some(column) = self.unrelaxed(on) {
            let message =
                format!("column `{column}` of the table takes no NULL, and the rows may have it");
            return Err(
                refused(message).help("allow it with `on_schema_change: { relax: accept }`")
            );
        }
        // Values of another structure are not cast: a part that has no place in the table would be lost.
        let mut narrowed = self.narrowed.iter();
        if let Some(column) =
            narrowed.find(|column| on.narrow == Reaction::Reject || column.has_parts())
        {
            return Err(refused(retyped(column)).help(format!(
                "cast the column to `{}` in a transform, or load into another table",
                column.from
            )));
        }
        if let (Reaction::Reject, Some(column)) = (on.drop, self.dropped.first()) {
            let message = format!("column `{column}` of the table is not in the rows");
            return Err(refused(message).help(
                "keep it, with NULL in new rows, by `on_schema_change: { drop: keep }`, or bring it back",
            ));
        }
        Ok(())
    }

    /// A column that takes no NULL, would have to, and may not.
    fn unrelaxed(&self, on: OnSchemaChange) -> Option<&String> {
        let mut relaxed = self.relaxed.iter();
        relaxed.find(|column| match on.relax {
            Reaction::Accept => false,
            Reaction::Reject => !self.dropped.contains(column) || on.drop == Reaction::Ignore,
            // Rows that have it may have a value each; rows that do not have it cannot.
            Reaction::Ignore => self.dropped.contains(column) && on.drop == Reaction::Ignore,
        })
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

fn retyped(column: &Retyped) -> String {
    format!(
        "column `{}` is `{}` in the table and `{}` in the rows",
        column.name, column.from, column.to
    )
}

/// Compares a table with the rows that arrive.
pub(in crate::lake) fn compare(table: &Schema, rows: &SchemaRef) -> Result<Evolution> {
    let incoming = fresh(rows.fields(), 1)?;
    let mut evolution = Evolution::default();
    for new in &incoming {
        let Some(old) = table.as_struct().field_by_name(&new.name) else {
            evolution.added.push(Column {
                required: false,
                ..column(new)
            });
            continue;
        };
        let both = || Retyped {
            name: new.name.clone(),
            from: type_word(&old.field_type),
            to: type_word(&new.field_type),
        };
        match fit(&old.field_type, &new.field_type) {
            Fit::Holds => {}
            Fit::Widens => evolution.widened.push(both()),
            Fit::Narrows => evolution.narrowed.push(both()),
        }
        if old.required && !new.required {
            evolution.relaxed.push(old.name.clone());
        }
    }
    let names: BTreeSet<&str> = incoming.iter().map(|field| field.name.as_str()).collect();
    for old in table
        .as_struct()
        .fields()
        .iter()
        .filter(|old| !names.contains(old.name.as_str()))
    {
        evolution.dropped.push(old.name.clone());
        if old.required {
            evolution.relaxed.push(old.name.clone());
        }
    }
    Ok(evolution)
}

/// How a column takes values of another type.
enum Fit {
    /// As it is.
    Holds,
    /// When it grows to the other type, which holds all it holds.
    Widens,
    /// Not without loss.
    Narrows,
}

fn fit(table: &Type, rows: &Type) -> Fit {
    if type_word(table) == type_word(rows) || promotes(rows, table) {
        Fit::Holds
    } else if promotes(table, rows) {
        Fit::Widens
    } else {
        Fit::Narrows
    }
}

/// Whether Iceberg lets a column of the first type become the second.
fn promotes(from: &Type, to: &Type) -> bool {
    let (Type::Primitive(from), Type::Primitive(to)) = (from, to) else {
        return false;
    };
    match (from, to) {
        (PrimitiveType::Int, PrimitiveType::Long)
        | (PrimitiveType::Float, PrimitiveType::Double) => true,
        (
            PrimitiveType::Decimal {
                precision: from,
                scale: from_scale,
            },
            PrimitiveType::Decimal {
                precision: to,
                scale: to_scale,
            },
        ) => from_scale == to_scale && from < to,
        _ => false,
    }
}

/// The columns that hold both, where they differ from the table's. Identifiers of columns stay.
pub(in crate::lake) fn evolve(
    table: &Schema,
    last_column_id: i32,
    rows: &SchemaRef,
    evolution: &Evolution,
    on: OnSchemaChange,
) -> Result<Option<Schema>> {
    let incoming = fresh(rows.fields(), 1)?;
    let mut fields: Vec<NestedFieldRef> = Vec::new();
    for old in table.as_struct().fields() {
        if on.drop == Reaction::Accept && evolution.dropped.contains(&old.name) {
            continue;
        }
        let mut field = NestedField::clone(old);
        if on.widen == Reaction::Accept
            && evolution
                .widened
                .iter()
                .any(|column| column.name == old.name)
            && let Some(new) = incoming.iter().find(|new| new.name == old.name)
        {
            field.field_type.clone_from(&new.field_type);
        }
        if on.relax == Reaction::Accept && evolution.relaxed.contains(&old.name) {
            field.required = false;
        }
        fields.push(Arc::new(field));
    }
    if on.add == Reaction::Accept {
        let is_new = |field: &&FieldRef| table.as_struct().field_by_name(field.name()).is_none();
        let added: Fields = rows.fields().iter().filter(is_new).cloned().collect();
        for new in fresh(&added, last_column_id + 1)? {
            // Rows that are there already have no value.
            fields.push(Arc::new(NestedField {
                required: false,
                ..NestedField::clone(&new)
            }));
        }
    }
    if on.reorder == Reaction::Accept {
        like_rows(&mut fields, rows);
    }
    if fields.as_slice() == table.as_struct().fields() {
        return Ok(None);
    }
    with_fields(table, fields).map(Some)
}

/// A table with these columns instead of its own.
pub(super) fn with_fields(table: &Schema, fields: Vec<NestedFieldRef>) -> Result<Schema> {
    let stays = |id: &i32| fields.iter().any(|field| field.id == *id && field.required);
    let kept: Vec<i32> = table.identifier_field_ids().filter(stays).collect();
    Schema::builder()
        .with_fields(fields)
        .with_identifier_field_ids(kept)
        .build()
        .map_err(|error| {
            Error::new(
                ErrorKind::InvalidData,
                "the columns of the table and of the rows do not go together",
            )
            .caused_by(error)
        })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};

    use super::*;

    fn rows(fields: Vec<(&str, DataType, bool)>) -> SchemaRef {
        let fields = fields
            .into_iter()
            .map(|(name, type_, null)| Field::new(name, type_, null));
        Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
    }

    fn table() -> Schema {
        let fields = rows(vec![
            ("id", DataType::Int32, false),
            ("amount", DataType::Decimal128(12, 2), true),
            ("name", DataType::Utf8, true),
        ]);
        Schema::builder()
            .with_fields(fresh(fields.fields(), 1).unwrap())
            .build()
            .unwrap()
    }

    #[test]
    fn the_same_columns_in_another_order_are_no_change() {
        let rows = rows(vec![
            ("name", DataType::Utf8View, true),
            ("id", DataType::Int16, false),
            ("amount", DataType::Decimal128(10, 2), true),
        ]);
        assert!(compare(&table(), &rows).unwrap().is_empty());
    }

    #[test]
    fn columns_are_added_widened_relaxed_and_kept() {
        let rows = rows(vec![
            ("id", DataType::Int64, true),
            ("amount", DataType::Decimal128(18, 2), true),
            ("extra", DataType::Boolean, false),
        ]);
        let evolution = compare(&table(), &rows).unwrap();
        assert_eq!(evolution.added[0].name, "extra");
        assert_eq!(evolution.widened.len(), 2);
        assert_eq!(evolution.dropped, ["name"]);
        assert_eq!(evolution.relaxed, ["id"]);
        let on = OnSchemaChange::default();
        evolution.check(on).unwrap();
        let schema = evolve(&table(), 3, &rows, &evolution, on).unwrap().unwrap();
        let words: Vec<_> = schema
            .as_struct()
            .fields()
            .iter()
            .map(|field| {
                (
                    field.id,
                    field.name.as_str(),
                    type_word(&field.field_type),
                    field.required,
                )
            })
            .collect();
        assert_eq!(words[0], (1, "id", "long".to_owned(), false));
        assert_eq!(words[1], (2, "amount", "decimal(18,2)".to_owned(), false));
        assert_eq!(words[2], (3, "name", "string".to_owned(), false));
        assert_eq!((words[3].1, words[3].3), ("extra", false));
        assert!(words[3].0 > 3);
    }

    #[test]
    fn another_type_is_refused_with_both_types_and_the_column() {
        let rows = rows(vec![
            ("id", DataType::Utf8, false),
            ("amount", DataType::Decimal128(12, 4), true),
            ("name", DataType::Utf8, true),
        ]);
        let evolution = compare(&table(), &rows).unwrap();
        assert_eq!(evolution.narrowed.len(), 2);
        let error = evolution.check(OnSchemaChange::default()).unwrap_err();
        assert_eq!(
            error.message(),
            "column `id` is `int` in the table and `string` in the rows"
        );
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_ignored_leaves_the_table_alone() {
        let rows = rows(vec![
            ("id", DataType::Int64, false),
            ("amount", DataType::Decimal128(12, 2), true),
            ("name", DataType::Utf8, true),
            ("extra", DataType::Boolean, true),
        ]);
        let evolution = compare(&table(), &rows).unwrap();
        let on = OnSchemaChange {
            add: Reaction::Ignore,
            widen: Reaction::Ignore,
            ..OnSchemaChange::default()
        };
        assert!(
            evolve(&table(), 3, &rows, &evolution, on)
                .unwrap()
                .is_none()
        );
    }
}
