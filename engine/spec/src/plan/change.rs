//! What becomes of a table when rows with other columns arrive, or rows that are to be cut and sorted in another way.

use serde::{Deserialize, Serialize};

use super::{Column, Layout, TableFacts};
use crate::model::{OnSchemaChange, Reaction, Renames};

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
    /// It has the rows that others lack, and nothing is loaded.
    Ahead,
    /// It changes, in the same commit as the data.
    Evolve(Vec<Difference>),
    /// The spec does not allow what would have to change.
    Refused(Vec<Difference>),
}

/// One difference between a table and the rows that arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The table has the column under its old name.
    Rename {
        /// The column as the table has it, with its new name.
        column: Column,
        /// Its old name.
        from: String,
    },
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
    /// The rows do not have it, and the table will not.
    Drop(Column),
    /// The table says it is never NULL, the rows may be.
    Loosen(Column),
    /// The columns come in another order: this one.
    Reorder(Vec<String>),
    /// The table is cut in another way.
    Partition(Layout),
    /// The table is sorted in another way.
    Sort(Layout),
}

impl Change {
    /// Whether nothing is loaded.
    pub const fn is_idle(&self) -> bool {
        matches!(self, Self::Kept | Self::Ahead)
    }

    /// What becomes of a table when rows with columns `rows` arrive, some of which had other names before.
    pub(super) fn between(
        table: &TableFacts,
        rows: &[Column],
        allowed: OnSchemaChange,
        renamed_from: &Renames,
    ) -> Self {
        let Some(columns) = &table.columns else {
            return Self::Create;
        };
        let mut found = Found::default();
        let columns = found.renamed(columns, rows, renamed_from);
        for column in rows {
            match columns.iter().find(|there| there.name == column.name) {
                None => found.note(Difference::Add(column.clone()), allowed.add),
                Some(there) => found.of_column(there, column, allowed),
            }
        }
        for there in &columns {
            if !rows.iter().any(|column| column.name == there.name) {
                found.note(Difference::Drop(there.clone()), allowed.drop);
                if there.required && allowed.drop == Reaction::Keep {
                    // A column that is kept is NULL in new rows, or the rows cannot be written.
                    let reaction = match allowed.relax {
                        Reaction::Keep => Reaction::Reject,
                        said => said,
                    };
                    found.note(Difference::Loosen(there.clone()), reaction);
                }
            }
        }
        found.of_order(&columns, rows, allowed);
        if let Some(layout) = &table.partitions {
            found.note(Difference::Partition(layout.clone()), allowed.partition);
        }
        if let Some(layout) = &table.order {
            found.note(Difference::Sort(layout.clone()), Reaction::Accept);
        }
        match (found.taken.is_empty(), found.refused.is_empty()) {
            (_, false) => Self::Refused(found.refused),
            (false, true) => Self::Evolve(found.taken),
            (true, true) => Self::Unchanged,
        }
    }
}

/// The differences found so far.
#[derive(Default)]
struct Found {
    taken: Vec<Difference>,
    refused: Vec<Difference>,
}

impl Found {
    fn note(&mut self, difference: Difference, reaction: Reaction) {
        match reaction {
            Reaction::Accept => self.taken.push(difference),
            Reaction::Reject => self.refused.push(difference),
            Reaction::Keep => {}
        }
    }

    /// The table's columns under their new names. That a name is free was seen when the table was looked up.
    fn renamed(
        &mut self,
        table: &[Column],
        rows: &[Column],
        renamed_from: &Renames,
    ) -> Vec<Column> {
        let mut columns = table.to_vec();
        let has = |columns: &[Column], name: &str| columns.iter().any(|one| one.name == *name);
        for (new, old) in renamed_from {
            if has(table, new) || !has(rows, new) {
                continue;
            }
            if let Some(column) = columns.iter_mut().find(|column| column.name == *old) {
                column.name.clone_from(new);
                let (column, from) = (column.clone(), old.clone());
                self.taken.push(Difference::Rename { column, from });
            }
        }
        columns
    }

    /// A column that both have.
    fn of_column(&mut self, there: &Column, column: &Column, allowed: OnSchemaChange) {
        let (from, column) = (there.r#type.clone(), column.clone());
        if there.required && !column.required {
            self.note(Difference::Loosen(column.clone()), allowed.relax);
        }
        if from == column.r#type || widens(&column.r#type, &from) {
            // A narrower type fits the table as it is.
        } else if widens(&from, &column.r#type) {
            self.note(Difference::Widen { column, from }, allowed.widen);
        } else {
            // Of values with parts those without a place in the table would be lost.
            let has_parts = from.contains('<') || column.r#type.contains('<');
            let reaction = if has_parts {
                Reaction::Reject
            } else {
                allowed.narrow
            };
            self.note(Difference::Narrow { column, from }, reaction);
        }
    }

    /// The order of the columns that the table will have: that of the rows, then those that only the table has. Where
    /// another order is refused, only that of columns that both have counts.
    fn of_order(&mut self, table: &[Column], rows: &[Column], allowed: OnSchemaChange) {
        let in_rows = |name: &&String| rows.iter().any(|column| column.name == **name);
        let in_table = |name: &&String| table.iter().any(|column| column.name == **name);
        let there = || table.iter().map(|column| &column.name);
        let come = || rows.iter().map(|column| &column.name);
        let kept = |name: &&String| allowed.drop != Reaction::Accept || in_rows(name);
        let added = |name: &&String| allowed.add == Reaction::Accept && !in_table(name);
        let now: Vec<&String> = there().filter(kept).chain(come().filter(added)).collect();
        let mut wanted: Vec<&String> = come().filter(|name| now.contains(name)).collect();
        wanted.extend(now.iter().copied().filter(|name| !in_rows(name)));
        let differs = match allowed.reorder {
            Reaction::Accept => now != wanted,
            Reaction::Reject => there().filter(in_rows).ne(come().filter(in_table)),
            Reaction::Keep => false,
        };
        if differs {
            let wanted = wanted.into_iter().cloned().collect();
            self.note(Difference::Reorder(wanted), allowed.reorder);
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

    fn between(table: &[Column], rows: &[Column], allowed: OnSchemaChange) -> Change {
        let table = TableFacts {
            columns: Some(table.to_vec()),
            ..TableFacts::default()
        };
        let renamed_from = [("new", "old")].map(|(new, old)| (new.to_owned(), old.to_owned()));
        Change::between(&table, rows, allowed, &renamed_from.into())
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
        let Change::Evolve(changes) = between(&table, &rows, OnSchemaChange::default()) else {
            panic!("must evolve");
        };
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn another_type_is_refused() {
        let table = [column("a", "int")];
        let rows = [column("a", "string")];
        let change = between(&table, &rows, OnSchemaChange::default());
        assert!(matches!(change, Change::Refused(changes) if changes.len() == 1));
    }

    #[test]
    fn a_column_that_rows_lack_is_kept() {
        let table = [column("a", "int"), column("b", "int")];
        let change = between(&table, &table[..1], OnSchemaChange::default());
        assert_eq!(change, Change::Unchanged);
    }

    #[test]
    fn a_column_is_renamed_once_and_may_get_wider() {
        let old = [column("a", "int"), column("old", "int")];
        let new = [column("a", "int"), column("new", "long")];
        let Change::Evolve(changes) = between(&old, &new, OnSchemaChange::default()) else {
            panic!("must evolve");
        };
        let renamed = Difference::Rename {
            column: column("new", "int"),
            from: "old".to_owned(),
        };
        assert_eq!(changes[0], renamed);
        assert!(matches!(&changes[1], Difference::Widen { from, .. } if from == "int"));
        let again = between(&new, &new, OnSchemaChange::default());
        assert_eq!(again, Change::Unchanged);
        let still_old = between(&old, &old, OnSchemaChange::default());
        assert_eq!(still_old, Change::Unchanged);
    }

    #[test]
    fn another_order_is_what_is_said_of_it() {
        let table = ["a", "gone", "b"].map(|name| column(name, "int"));
        let rows = ["b", "more", "a"].map(|name| column(name, "int"));
        let with = |reorder| OnSchemaChange {
            reorder,
            ..OnSchemaChange::default()
        };
        let order = |change| {
            let (Change::Evolve(mut found) | Change::Refused(mut found)) = change else {
                panic!("must differ");
            };
            found.pop()
        };
        let names = ["b", "more", "a", "gone"].map(str::to_owned);
        let wanted = Some(Difference::Reorder(names.to_vec()));
        assert_eq!(
            order(between(&table, &rows, with(Reaction::Accept))),
            wanted
        );
        let refused = between(&table, &rows, with(Reaction::Reject));
        assert!(matches!(refused, Change::Refused(_)));
        assert_eq!(order(refused), wanted);
        assert_ne!(order(between(&table, &rows, with(Reaction::Keep))), wanted);
        // A column that comes in between is no other order of those that are there.
        let added = ["a", "more", "b"].map(|name| column(name, "int"));
        let change = between(&table, &added, with(Reaction::Reject));
        assert!(matches!(change, Change::Evolve(_)));
    }
}
