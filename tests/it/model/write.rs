//! Writes drawn by chance: how rows meet the table, and how its columns change with them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::table::{Column, Kind, Row, Table};
use crate::kills::Numbers;

/// Names of columns that come and go; some need quotes.
const NAMES: [&str; 8] = [
    "amount", "Order", "größe", "a b", "c1", "c2", "c3", "select",
];
/// Values of the column that partitions go by; the empty one is NULL.
const PARTS: [&str; 6] = ["", "eu", "us", "a b", "x/y", "50%"];
const TEXTS: [&str; 7] = ["a", "it's", "\"a,b\"", "ä ö", "NULL", "\"\"\"q\"\"\"", "zz"];
/// Ids lie from here on.
const FIRST_ID: i64 = -40;
const IDS: u64 = 240;
/// The column that says of a row that it deletes.
const OP: &str = "op";

/// A part of how files are cut: by the value of the one column, by that of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Identity,
    Truncate(i64),
    Bucket(u32),
}

pub(super) type Cut = Vec<Part>;

/// How rows meet the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Append,
    AppendNew,
    Replace,
    /// The rows with ids from here to there.
    ReplaceWhere(i64, i64),
    ReplacePartitions,
    Merge {
        write: &'static str,
        by_absence: bool,
        flagged: bool,
    },
}

/// A row that comes.
#[derive(Clone, Debug)]
pub(super) struct Arriving {
    pub(super) values: Row,
    pub(super) deletes: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) mode: Mode,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Arriving>,
    /// The new name and the old one.
    pub(super) renamed: Option<(String, String)>,
    /// Whether columns that do not come leave the table.
    pub(super) drop: bool,
    pub(super) reorder: bool,
    pub(super) cut: Cut,
    key: String,
    part: String,
    sorted: &'static str,
}

/// Draws things.
pub(super) struct Dice(pub(super) Numbers);

impl Dice {
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next() % end as u64).unwrap()
    }

    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn id(&mut self) -> i64 {
        FIRST_ID + i64::try_from(self.0.next() % IDS).unwrap()
    }

    fn value(&mut self, kind: Kind) -> String {
        if self.chance(15) {
            return String::new();
        }
        let small = self.below(100);
        match kind {
            Kind::Int => format!("{}", small.cast_signed() - 50),
            Kind::Long if self.chance(30) => format!("50000000{small:02}"),
            Kind::Long => small.to_string(),
            Kind::Float | Kind::Double => format!("{small}.5"),
            Kind::Decimal => format!("-{}.25", small + 1),
            Kind::WideDecimal => format!("12345678{small:02}.75"),
            Kind::Date => format!("2026-01-{:02}", 1 + small % 31),
            Kind::Text => self.one_of(&TEXTS).to_owned(),
        }
    }

    /// How files are cut, if they are.
    fn cut(&mut self) -> Cut {
        match self.below(4) {
            0 => vec![Part::Identity],
            1 => vec![Part::Truncate(25)],
            2 => vec![Part::Bucket(3)],
            _ => vec![Part::Identity, Part::Truncate(100)],
        }
    }

    /// A table that is not there yet.
    pub(super) fn table(&mut self) -> Table {
        let column = |name: &str, kind| Column {
            name: name.to_owned(),
            kind,
        };
        let key = self.one_of(&[Kind::Int, Kind::Long]);
        let columns = vec![
            column("id", key),
            column("part", Kind::Text),
            column("v", self.one_of(&Kind::ALL)),
        ];
        Table {
            columns,
            rows: vec![],
            key: "id".to_owned(),
            part: "part".to_owned(),
            cut: if self.chance(30) { vec![] } else { self.cut() },
            mixed: false,
        }
    }

    /// A write into the table, or the one that makes it.
    pub(super) fn write(&mut self, table: &Table, made: bool) -> Write {
        let mut write = Write {
            mode: Mode::Append,
            columns: table.columns.clone(),
            rows: vec![],
            renamed: None,
            drop: false,
            reorder: false,
            cut: table.cut.clone(),
            key: table.key.clone(),
            part: table.part.clone(),
            sorted: self.one_of(&["", "key", "part desc"]),
        };
        if made {
            self.evolve(table, &mut write);
        }
        write.mode = self.mode(table, &write);
        self.rows(&mut write);
        write
    }

    fn mode(&mut self, table: &Table, write: &Write) -> Mode {
        let merge = |write, by_absence, flagged| Mode::Merge {
            write,
            by_absence,
            flagged,
        };
        let how = self.one_of(&["copy_on_write", "merge_on_read"]);
        match self.below(20) {
            0..5 => Mode::Append,
            5 | 6 => Mode::AppendNew,
            7 => Mode::Replace,
            8 | 9 => {
                let from = self.id();
                Mode::ReplaceWhere(from, from + self.below(80).cast_signed() as i64)
            }
            10 | 11 if table.mixed || write.cut != table.cut || !known(&write.cut) => Mode::Append,
            10 | 11 => Mode::ReplacePartitions,
            12 => merge(how, true, false),
            13..16 => merge(how, false, false),
            _ => merge(how, false, true),
        }
    }

    /// At times, columns change.
    fn evolve(&mut self, table: &Table, write: &mut Write) {
        let free = |name: &&str| table.columns.iter().all(|column| column.name != **name);
        let mut free: Vec<&str> = NAMES.into_iter().filter(free).collect();
        let mut new_name = |dice: &mut Self| {
            let place = (!free.is_empty()).then(|| dice.below(free.len()))?;
            Some(free.remove(place).to_owned())
        };
        if self.chance(15) {
            let new = new_name(self);
            self.rename(write, new);
        }
        if self.chance(20) {
            let place = self.below(write.columns.len());
            let column = &mut write.columns[place];
            column.kind = column.kind.wider().unwrap_or(column.kind);
        }
        if self.chance(20) {
            write.drop = self.chance(50);
            self.leave_out(write);
        }
        if self.chance(20)
            && let Some(name) = new_name(self)
        {
            let place = self.below(write.columns.len() + 1);
            let kind = self.one_of(&Kind::ALL);
            write.columns.insert(place, Column { name, kind });
        }
        if self.chance(15) {
            write.reorder = self.chance(50);
            let places = write.columns.len();
            let (one, other) = (self.below(places), self.below(places));
            write.columns.swap(one, other);
        }
        if self.chance(8) {
            write.cut = self.cut();
        }
    }

    /// A column gets another name. What files may be cut by gets one that was never there: partitions keep old names.
    fn rename(&mut self, write: &mut Write, free: Option<String>) {
        let place = self.below(write.columns.len());
        let named = &mut write.columns[place].name;
        let cuts = *named == write.key || *named == write.part;
        let unique = cuts.then(|| format!("größe_{}", self.0.next() % 1_000_000));
        let Some(new) = unique.or(free) else { return };
        let old = std::mem::replace(named, new.clone());
        for name in [&mut write.key, &mut write.part] {
            if *name == old {
                name.clone_from(&new);
            }
        }
        write.renamed = Some((new, old));
    }

    /// Rows come without a column, but for those that rows are told apart by.
    fn leave_out(&mut self, write: &mut Write) {
        let place = self.below(write.columns.len());
        let name = &write.columns[place].name;
        let renamed = write.renamed.as_ref().is_some_and(|(new, _)| new == name);
        if *name != write.key && *name != write.part && !renamed {
            write.columns.remove(place);
        }
    }

    fn rows(&mut self, write: &mut Write) {
        let count = match self.below(10) {
            0 => 0,
            1 => 60,
            _ => 1 + self.below(25),
        };
        let mut ids = BTreeSet::new();
        for _ in 0..count {
            let id = match write.mode {
                Mode::ReplaceWhere(from, to) if from == to => continue,
                Mode::ReplaceWhere(from, to) => {
                    let span = usize::try_from(to - from).unwrap();
                    from + self.below(span).cast_signed() as i64
                }
                _ => self.id(),
            };
            // Only rows that are simply added may share a key.
            if !ids.insert(id) && !matches!(write.mode, Mode::Append | Mode::Replace) {
                continue;
            }
            let columns = write.columns.clone();
            let values = columns.iter().map(|column| {
                if column.name == write.key {
                    id.to_string()
                } else if column.name == write.part {
                    self.one_of(&PARTS).to_owned()
                } else {
                    self.value(column.kind)
                }
            });
            let values = values.collect();
            let flagged = matches!(write.mode, Mode::Merge { flagged: true, .. });
            let deletes = flagged && self.chance(40);
            write.rows.push(Arriving { values, deletes });
        }
    }
}

/// Whether the partition of a row is known here.
fn known(cut: &[Part]) -> bool {
    !cut.is_empty() && cut.iter().all(|part| !matches!(part, Part::Bucket(_)))
}

impl Write {
    const fn flagged(&self) -> bool {
        matches!(self.mode, Mode::Merge { flagged: true, .. })
    }

    /// The file that arrives.
    pub(super) fn csv(&self) -> String {
        let mut names: Vec<&str> = self.columns.iter().map(|one| one.name.as_str()).collect();
        names.extend(self.flagged().then_some(OP));
        let mut file = names.join(",") + "\n";
        for row in &self.rows {
            let op = if row.deletes { ",D" } else { ",U" };
            let op = if self.flagged() { op } else { "" };
            let _ = writeln!(file, "{}{op}", row.values.join(","));
        }
        file
    }

    /// The pipeline that loads it.
    pub(super) fn pipeline(&self, table: &str) -> String {
        let columns = self.columns.iter();
        let mut schema: Vec<String> = columns
            .map(|column| format!("\"{}\": \"{}\"", column.name, column.kind.word()))
            .collect();
        schema.extend(self.flagged().then(|| format!("{OP}: string")));
        let schema = schema.join(", ");
        let mut load = format!("mode: {}", self.mode_of_load());
        let _ = write!(load, ", partition_by: [{}]", self.partition_by());
        load += &match self.sorted {
            "key" => sorted(&self.key, ""),
            "part desc" => sorted(&self.part, " desc"),
            _ => String::new(),
        };
        if let Some((new, old)) = &self.renamed {
            let _ = write!(load, ", renamed_from: {{ \"{new}\": \"{old}\" }}");
        }
        let reaction = |accepted| if accepted { "accept" } else { "keep" };
        let _ = write!(
            load,
            ", on_schema_change: {{ drop: {}, reorder: {}, partition: accept }}",
            reaction(self.drop),
            reaction(self.reorder)
        );
        format!(
            "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
             - {{ name: rows, extract: {{ connection: files, table: rows.csv, options: {{ schema: {{ {schema} }} }} }} }}\n  \
             - {{ name: publish, load: {{ from: rows, table: {table}, {load} }} }}\n"
        )
    }

    fn mode_of_load(&self) -> String {
        let key = &self.key;
        match self.mode {
            Mode::Append => "append".to_owned(),
            Mode::AppendNew => format!("{{ append: {{ dedupe: {{ key: [\"{key}\"] }} }} }}"),
            Mode::Replace => "replace".to_owned(),
            Mode::ReplaceWhere(from, to) => {
                format!("{{ replace: {{ where: '\"{key}\" >= {from} AND \"{key}\" < {to}' }} }}")
            }
            Mode::ReplacePartitions => "replace_partitions".to_owned(),
            Mode::Merge {
                write,
                by_absence,
                flagged,
            } => {
                let deletes = if by_absence {
                    ", deletes: by_absence"
                } else if flagged {
                    ", deletes: { flagged: { when: \"op = 'D'\", without: [op] } }"
                } else {
                    ""
                };
                format!("{{ merge: {{ key: [\"{key}\"], write: {write}{deletes} }} }}")
            }
        }
    }

    fn partition_by(&self) -> String {
        let text = |part: &Part| match part {
            Part::Identity => format!("\"{}\"", self.part),
            Part::Truncate(width) => format!("\"truncate({width}, {})\"", self.key),
            Part::Bucket(count) => format!("\"bucket({count}, {})\"", self.key),
        };
        let parts: Vec<String> = self.cut.iter().map(text).collect();
        parts.join(", ")
    }
}

/// The order of rows in files.
fn sorted(name: &str, direction: &str) -> String {
    format!(", sort_by: [\"{name}{direction}\"]")
}
