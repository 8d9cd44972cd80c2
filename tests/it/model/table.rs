//! What a table has to hold: columns and rows in memory, and what a write makes of them.

use std::collections::BTreeSet;

use super::write::{Cut, Mode, Part, Write};

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Long,
    Float,
    Double,
    Decimal,
    WideDecimal,
    Date,
    Text,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Int,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::Decimal,
        Self::WideDecimal,
        Self::Date,
        Self::Text,
    ];

    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Decimal => "decimal(9,2)",
            Self::WideDecimal => "decimal(15,2)",
            Self::Date => "date",
            Self::Text => "string",
        }
    }

    /// What it may become.
    pub(super) const fn wider(self) -> Option<Self> {
        match self {
            Self::Int => Some(Self::Long),
            Self::Float => Some(Self::Double),
            Self::Decimal => Some(Self::WideDecimal),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// Values as they stand in CSV, one for each column; NULL is nothing.
pub(super) type Row = Vec<String>;

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// The column that merges go by, and the one that partitions may.
    pub(super) key: String,
    pub(super) part: String,
    pub(super) cut: Cut,
    /// Whether files may be there that are cut in another way.
    pub(super) mixed: bool,
}

impl Table {
    /// The header, then the rows in order.
    pub(super) fn lines(&self) -> Vec<String> {
        let names: Vec<&str> = self.columns.iter().map(|one| one.name.as_str()).collect();
        let mut rows: Vec<String> = self.rows.iter().map(|row| row.join(",")).collect();
        rows.sort();
        rows.insert(0, names.join(","));
        rows
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    fn value<'a>(&self, row: &'a [String], name: &str) -> &'a str {
        self.place(name).map_or("", |place| &row[place])
    }

    fn id(&self, row: &[String]) -> i64 {
        self.value(row, &self.key).parse().unwrap()
    }

    /// What a write makes of it.
    pub(super) fn after(&self, write: &Write) -> Self {
        let mut table = self.clone();
        table.evolve(write);
        let rows: Vec<Row> = write
            .rows
            .iter()
            .map(|arriving| table.of_table(write, &arriving.values))
            .collect();
        match write.mode {
            Mode::Append => table.rows.extend(rows),
            Mode::AppendNew => {
                let there = table.ids(&table.rows);
                let new = rows
                    .into_iter()
                    .filter(|row| !there.contains(&table.id(row)));
                let new: Vec<Row> = new.collect();
                table.rows.extend(new);
            }
            Mode::Replace => {
                table.rows = rows;
                table.mixed = false;
            }
            Mode::ReplaceWhere(from, to) => {
                let stays = |row: &&Row| !(from..to).contains(&table.id(row));
                let kept = table.rows.iter().filter(stays).cloned();
                table.rows = kept.chain(rows).collect();
            }
            Mode::ReplacePartitions => {
                let come: BTreeSet<_> = rows.iter().map(|row| table.partition(row)).collect();
                let stays = |row: &&Row| !come.contains(&table.partition(row));
                table.rows = table
                    .rows
                    .iter()
                    .filter(stays)
                    .cloned()
                    .chain(rows)
                    .collect();
            }
            Mode::Merge { by_absence, .. } => table.merge(write, rows, by_absence),
        }
        table
    }

    fn ids(&self, rows: &[Row]) -> BTreeSet<i64> {
        rows.iter().map(|row| self.id(row)).collect()
    }

    /// Columns are renamed, leave, come, get wider and change their places.
    fn evolve(&mut self, write: &Write) {
        if let Some((new, old)) = &write.renamed {
            for name in [&mut self.key, &mut self.part] {
                if name == old {
                    name.clone_from(new);
                }
            }
            let place = self.place(old).unwrap();
            self.columns[place].name.clone_from(new);
        }
        let comes = |name: &str| write.columns.iter().find(|column| column.name == name);
        if write.drop {
            for place in (0..self.columns.len()).rev() {
                if comes(&self.columns[place].name).is_none() {
                    self.columns.remove(place);
                    for row in &mut self.rows {
                        row.remove(place);
                    }
                }
            }
        }
        for column in &mut self.columns {
            if let Some(new) = comes(&column.name) {
                column.kind = new.kind;
            }
        }
        for column in &write.columns {
            if self.place(&column.name).is_none() {
                self.columns.push(column.clone());
                for row in &mut self.rows {
                    row.push(String::new());
                }
            }
        }
        if write.reorder {
            let mut order: Vec<Column> = write.columns.clone();
            let last = self
                .columns
                .iter()
                .filter(|column| comes(&column.name).is_none());
            order.extend(last.cloned());
            let moved = |row: &Row| {
                let values = order
                    .iter()
                    .map(|column| self.value(row, &column.name).to_owned());
                values.collect::<Row>()
            };
            self.rows = self.rows.iter().map(moved).collect();
            self.columns = order;
        }
        if self.cut != write.cut {
            self.cut.clone_from(&write.cut);
            self.mixed = true;
        }
    }

    /// A row that arrives with the table's columns.
    fn of_table(&self, write: &Write, values: &[String]) -> Row {
        let value = |column: &Column| {
            let place = write.columns.iter().position(|one| one.name == column.name);
            place.map_or_else(String::new, |place| values[place].clone())
        };
        self.columns.iter().map(value).collect()
    }

    /// The partition that a row falls into. Buckets are not known here.
    fn partition(&self, row: &[String]) -> Vec<String> {
        let value = |part: &Part| match part {
            Part::Identity => self.value(row, &self.part).to_owned(),
            Part::Truncate(width) => {
                let id = self.id(row);
                (id - id.rem_euclid(*width)).to_string()
            }
            Part::Bucket(_) => panic!("buckets are not known"),
        };
        self.cut.iter().map(value).collect()
    }

    fn merge(&mut self, write: &Write, rows: Vec<Row>, by_absence: bool) {
        let come = self.ids(&rows);
        let comes: Vec<bool> = self
            .columns
            .iter()
            .map(|column| write.columns.iter().any(|one| one.name == column.name))
            .collect();
        if by_absence {
            let kept = self.rows.iter().filter(|row| come.contains(&self.id(row)));
            self.rows = kept.cloned().collect();
        }
        for (arriving, new) in write.rows.iter().zip(rows) {
            let id = self.id(&new);
            let found: Vec<usize> = (0..self.rows.len())
                .filter(|place| self.id(&self.rows[*place]) == id)
                .collect();
            for place in found.iter().rev() {
                if arriving.deletes {
                    self.rows.remove(*place);
                    continue;
                }
                let values = self.rows[*place].iter_mut().zip(&new).zip(&comes);
                for ((old, new), _) in values.filter(|(_, comes)| **comes) {
                    old.clone_from(new);
                }
            }
            if found.is_empty() && !arriving.deletes {
                self.rows.push(new);
            }
        }
    }
}
