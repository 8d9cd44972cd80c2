//! What a write does to its target once its rows are staged.
//!
//! Knows the target's columns and the SQL of each mode; knows nothing of how rows got into the stage.

use super::catalog;
use super::encode::Target;
use super::known;
use super::sink::{key, list, quoted};
use super::sql::{self, Relation};
use super::wire::Session;
use crate::contract::{Write, WriteMode};
use crate::error::{Error, ErrorKind, Result};

/// The temporary table that rows are copied into.
pub(super) const STAGE: &str = "pg_temp.lakewright_stage";

/// Everything that is known before the first row.
pub(super) struct Plan {
    relation: Relation,
    write: Write,
    /// The columns that come in.
    columns: Vec<(String, Target)>,
    targets: Vec<Target>,
    /// The type of each in the target, without length or precision: a cast to those would cut values off silently,
    /// where an assignment fails. `None` where the target does not exist yet.
    there: Option<Vec<String>>,
}

impl Plan {
    /// Compares what comes in with what is there.
    pub(super) async fn new(
        session: &mut Session,
        write: &Write,
        relation: &Relation,
        columns: Vec<(String, Target)>,
    ) -> Result<Self> {
        let known_by = write.known_by.iter().flat_map(|known| &known.key);
        let missing: Vec<_> = key(&write.mode)
            .iter()
            .chain(known_by)
            .filter(|key| !columns.iter().any(|(name, _)| name == *key))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the key has columns that the rows do not have",
            )
            .with("columns", quoted(missing))
            .help("load the columns of the key too"));
        }
        let there = if catalog::exists(session, relation).await? {
            Some(types_there(session, relation, &columns).await?)
        } else {
            None
        };
        let targets = columns.iter().map(|(_, target)| target.clone()).collect();
        Ok(Self {
            relation: relation.clone(),
            write: write.clone(),
            columns,
            targets,
            there,
        })
    }

    pub(super) const fn relation(&self) -> &Relation {
        &self.relation
    }

    pub(super) const fn write(&self) -> &Write {
        &self.write
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The statement that makes the temporary table.
    pub(super) fn create_stage(&self) -> String {
        format!(
            "CREATE TEMPORARY TABLE lakewright_stage ({}) ON COMMIT DROP",
            self.definitions()
        )
    }

    fn definitions(&self) -> String {
        let columns = self
            .columns
            .iter()
            .map(|(name, target)| format!("{} {}", sql::identifier(name), target.type_name()));
        columns.collect::<Vec<_>>().join(", ")
    }

    /// A merge needs keys that are there and name one row each.
    pub(super) async fn check_keys(&self, session: &mut Session) -> Result<()> {
        let WriteMode::Merge { key } = &self.write.mode else {
            return Ok(());
        };
        session.run(&format!("ANALYZE {STAGE}")).await?;
        let names = sql::identifiers(key.iter().map(String::as_str));
        let nulls: Vec<_> = key
            .iter()
            .map(|name| format!("{} IS NULL", sql::identifier(name)))
            .collect();
        let query = format!("SELECT 1 FROM {STAGE} WHERE {} LIMIT 1", nulls.join(" OR "));
        if session.value(&query).await?.is_some() {
            return Err(
                Error::new(ErrorKind::InvalidData, "a row to be merged has no key")
                    .with("key", quoted(key.iter().map(String::as_str)))
                    .help("leave rows with a NULL key out, or choose another key"),
            );
        }
        let query =
            format!("SELECT {names} FROM {STAGE} GROUP BY {names} HAVING count(*) > 1 LIMIT 1");
        let Some(row) = session.rows(&query).await?.into_iter().next() else {
            return Ok(());
        };
        let values: Vec<_> = key
            .iter()
            .zip(row)
            .map(|(name, value)| format!("{name} = {}", value.unwrap_or_default()))
            .collect();
        Err(Error::new(
            ErrorKind::InvalidData,
            "two rows to be merged have the same key",
        )
        .with("key", values.join(", "))
        .help("keep one row for each key in a transform, or choose a key that is unique"))
    }

    /// The staged rows, in the target's types.
    fn rows(&self) -> String {
        let columns = self.columns.iter().enumerate().map(|(index, (name, _))| {
            let name = sql::identifier(name);
            match self.there.as_ref().and_then(|types| types.get(index)) {
                Some(type_name) => format!("CAST({name} AS {type_name}) AS {name}"),
                None => name,
            }
        });
        format!(
            "(SELECT {} FROM {STAGE}) AS s",
            columns.collect::<Vec<_>>().join(", ")
        )
    }

    /// Adds the staged rows; those that are new, where rows can have been read before.
    fn append(&self) -> String {
        match (&self.write.known_by, &self.there) {
            (Some(known), Some(_)) => {
                let is_new = known::is_new(known, &self.relation.as_sql(), &self.rows());
                format!("{} WHERE {is_new}", self.insert())
            }
            _ => self.insert(),
        }
    }

    fn insert(&self) -> String {
        let names = list(&self.columns);
        format!(
            "INSERT INTO {} ({names}) SELECT {names} FROM {}",
            self.relation.as_sql(),
            self.rows()
        )
    }
}

/// The types of the columns in the target, or the error that names those it does not have.
async fn types_there(
    session: &mut Session,
    relation: &Relation,
    columns: &[(String, Target)],
) -> Result<Vec<String>> {
    let rows = session
        .rows(&format!(
            "SELECT attname, pg_catalog.format_type(atttypid, -1) FROM pg_catalog.pg_attribute \
             WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped",
            sql::text(&relation.as_sql())
        ))
        .await?;
    let find = |wanted: &str| {
        rows.iter().find_map(|row| match row.as_slice() {
            [Some(name), Some(type_name)] if name == wanted => Some(type_name.clone()),
            _ => None,
        })
    };
    let unknown: Vec<_> = columns
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| find(name).is_none())
        .collect();
    if !unknown.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "the rows have columns that the table does not have",
        )
        .with("columns", quoted(unknown))
        .help("add them to the table with `ALTER TABLE`, or leave them out of the load"));
    }
    Ok(columns.iter().filter_map(|(name, _)| find(name)).collect())
}

/// Brings the staged rows into the target, in the open transaction: how many were added or changed.
pub(super) async fn apply(session: &mut Session, plan: &Plan) -> Result<u64> {
    let target = plan.relation.as_sql();
    if plan.there.is_none() {
        let primary = match key(&plan.write.mode) {
            [] => String::new(),
            key => format!(
                ", PRIMARY KEY ({})",
                sql::identifiers(key.iter().map(String::as_str))
            ),
        };
        session
            .run(&format!(
                "CREATE TABLE {target} ({}{primary})",
                plan.definitions()
            ))
            .await?;
    }
    let changed = match &plan.write.mode {
        WriteMode::Append => count(&session.run(&plan.append()).await?),
        WriteMode::Replace => {
            // TRUNCATE would keep readers waiting, and show an empty table to those whose snapshot is older. The lock
            // lets them read, and makes two replaces follow each other.
            session
                .run(&format!("LOCK TABLE {target} IN SHARE ROW EXCLUSIVE MODE"))
                .await?;
            session.run(&format!("DELETE FROM {target}")).await?;
            count(&session.run(&plan.insert()).await?)
        }
        WriteMode::Merge { key } if unique(session, &plan.relation, key).await? => {
            count(&session.run(&upsert(plan, key)).await?)
        }
        WriteMode::Merge { key } => {
            // Nothing but the lock keeps a second merge from inserting the same key.
            session
                .run(&format!("LOCK TABLE {target} IN SHARE ROW EXCLUSIVE MODE"))
                .await?;
            let updated = match update(plan, key) {
                Some(update) => count(&session.run(&update).await?),
                None => 0,
            };
            updated + count(&session.run(&insert_new(plan, key)).await?)
        }
    };
    Ok(changed)
}

/// The rows that a command tag speaks of: `INSERT 0 12`, `UPDATE 3`.
fn count(tag: &str) -> u64 {
    let last = tag.rsplit(' ').next().unwrap_or_default();
    last.parse().unwrap_or(0)
}

/// Whether an index makes exactly these columns unique.
async fn unique(session: &mut Session, relation: &Relation, key: &[String]) -> Result<bool> {
    let mut key: Vec<_> = key.iter().map(|name| sql::text(name)).collect();
    key.sort();
    let query = format!(
        "SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = {}::regclass AND i.indisunique AND i.indisvalid \
         AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND (\
           SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE \"C\") \
           FROM generate_series(0, i.indnkeyatts - 1) AS k \
           JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]\
         ) = (SELECT array_agg(n ORDER BY n COLLATE \"C\") FROM unnest(ARRAY[{}]::text[]) AS n) LIMIT 1",
        sql::text(&relation.as_sql()),
        key.join(", ")
    );
    Ok(session.value(&query).await?.is_some())
}

fn upsert(plan: &Plan, key: &[String]) -> String {
    let sets = sets(plan, key, "EXCLUDED");
    let action = if sets.is_empty() {
        "NOTHING".to_owned()
    } else {
        format!("UPDATE SET {sets}")
    };
    let key = sql::identifiers(key.iter().map(String::as_str));
    format!("{} ON CONFLICT ({key}) DO {action}", plan.insert())
}

fn update(plan: &Plan, key: &[String]) -> Option<String> {
    let sets = sets(plan, key, "s");
    let target = plan.relation.as_sql();
    (!sets.is_empty()).then(|| {
        format!(
            "UPDATE {target} AS t SET {sets} FROM {} WHERE {}",
            plan.rows(),
            same_key(key)
        )
    })
}

fn insert_new(plan: &Plan, key: &[String]) -> String {
    let target = plan.relation.as_sql();
    format!(
        "{} WHERE NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {})",
        plan.insert(),
        same_key(key)
    )
}

fn same_key(key: &[String]) -> String {
    let parts = key.iter().map(|name| {
        let name = sql::identifier(name);
        format!("t.{name} = s.{name}")
    });
    parts.collect::<Vec<_>>().join(" AND ")
}

fn sets(plan: &Plan, key: &[String], from: &str) -> String {
    let others = plan.columns.iter().filter(|(name, _)| !key.contains(name));
    let sets = others.map(|(name, _)| {
        let name = sql::identifier(name);
        format!("{name} = {from}.{name}")
    });
    sets.collect::<Vec<_>>().join(", ")
}
