//! What becomes of a table's columns when rows with other columns arrive.

use serde::{Deserialize, Serialize};

use super::Column;
use crate::model::{OnSchemaChange, Reaction};

/// What becomes of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It does not exist yet.
    Create,
    /// It has these columns.
    Unchanged,
    /// It is there, and nothing is loaded.
    Kept,
    /// Its columns change, in the same commit as the data.
    Evolve(Vec<ColumnChange>),
    /// The spec does not allow what would have to change.
    Refused(Vec<ColumnChange>),
}

/// One difference between a table and the rows that arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnChange {
    /// The table does not have it.
    Add(Column),
    /// The table's type holds less.
    Widen {
        /// The column as it will be.
        column: Column,
        /// The table's type.
        from: String,
    },
    /// The table's type holds more, or something else.
    Narrow {
        /// The column as it arrives.
        column: Column,
        /// The table's type.
        from: String,
    },
    /// The rows do not have it: it is NULL from now on.
    Drop(Column),
    /// The table says it is never NULL, the rows may be.
    Loosen(Column),
}

impl Change {
    /// What becomes of a table with columns `table` when rows with columns `rows` arrive.
    pub(super) fn between(
        table: Option<&[Column]>,
        rows: &[Column],
        allowed: OnSchemaChange,
    ) -> Self {
        let Some(table) = table else {
            return Self::Create;
        };
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        let mut note = |change: ColumnChange, reaction: Reaction| match reaction {
            Reaction::Accept => taken.push(change),
            Reaction::Reject => refused.push(change),
            Reaction::Keep => {}
        };
        for column in rows {
            match table.iter().find(|there| there.name == column.name) {
                None => note(ColumnChange::Add(column.clone()), allowed.add),
                Some(there) if there.r#type == column.r#type => {
                    if there.required && !column.required {
                        note(ColumnChange::Loosen(column.clone()), Reaction::Accept);
                    }
                }
                Some(there) if widens(&there.r#type, &column.r#type) => {
                    let change = ColumnChange::Widen {
                        column: column.clone(),
                        from: there.r#type.clone(),
                    };
                    note(change, allowed.widen);
                }
                // A narrower type fits the table as it is.
                Some(there) if widens(&column.r#type, &there.r#type) => {}
                Some(there) => {
                    let change = ColumnChange::Narrow {
                        column: column.clone(),
                        from: there.r#type.clone(),
                    };
                    note(change, allowed.narrow);
                }
            }
        }
        for there in table {
            if !rows.iter().any(|column| column.name == there.name) {
                note(ColumnChange::Drop(there.clone()), allowed.drop);
                if there.required && allowed.drop != Reaction::Reject {
                    note(ColumnChange::Loosen(there.clone()), Reaction::Accept);
                }
            }
        }
        match (taken.is_empty(), refused.is_empty()) {
            (_, false) => Self::Refused(refused),
            (false, true) => Self::Evolve(taken),
            (true, true) => Self::Unchanged,
        }
    }
}

/// Whether Iceberg may promote a column of type `from` to type `to`.
fn widens(from: &str, to: &str) -> bool {
    match (from, to) {
        ("int", "long") | ("float", "double") => true,
        _ => match (decimal(from), decimal(to)) {
            (Some((p, s)), Some((wider, same))) => s == same && wider > p,
            _ => false,
        },
    }
}

/// Precision and scale of `decimal(15, 2)`.
fn decimal(text: &str) -> Option<(u32, u32)> {
    let (precision, scale) = text
        .strip_prefix("decimal(")?
        .strip_suffix(')')?
        .split_once(',')?;
    Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, r#type: &str) -> Column {
        Column {
            name: name.to_owned(),
            r#type: r#type.to_owned(),
            required: false,
        }
    }

    #[test]
    fn a_wider_type_evolves_and_a_narrower_one_fits() {
        let table = [
            column("a", "int"),
            column("b", "long"),
            column("c", "decimal(12, 2)"),
        ];
        let rows = [
            column("a", "long"),
            column("b", "int"),
            column("c", "decimal(18,2)"),
        ];
        let Change::Evolve(changes) =
            Change::between(Some(&table), &rows, OnSchemaChange::default())
        else {
            panic!("must evolve");
        };
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn another_type_is_refused() {
        let table = [column("a", "int")];
        let rows = [column("a", "string")];
        let change = Change::between(Some(&table), &rows, OnSchemaChange::default());
        assert!(matches!(change, Change::Refused(changes) if changes.len() == 1));
    }

    #[test]
    fn a_column_that_rows_lack_is_kept() {
        let table = [column("a", "int"), column("b", "int")];
        let change = Change::between(Some(&table), &table[..1], OnSchemaChange::default());
        assert_eq!(change, Change::Unchanged);
    }
}
