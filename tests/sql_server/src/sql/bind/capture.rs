//! Change data capture as queries see it: the functions that read a capture table, and those of log sequence numbers.

use super::convert::{How, convert};
use super::query::OutputColumn;
use super::{Binder, Bound, Scope};
use crate::catalog::{Table, same};
use crate::error::{Result, SqlError};
use crate::sql::syntax::{Expression, Name};
use crate::types::{Collation, SqlType, Value, quoted};

const LSN: SqlType = SqlType::Binary(10);
/// The columns of a capture table before those of the source.
const OWN_COLUMNS: usize = 5;

impl Binder<'_> {
    /// `cdc.fn_cdc_get_all_changes_…(from, to, N'all')` and `…_net_changes_…`.
    pub(super) fn capture_function(
        &self,
        name: &Name,
        arguments: &[Expression],
        alias: Option<&str>,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let told = name.join(".");
        let unknown = || SqlError::no_object(&told);
        let [schema, function] = name.as_slice() else {
            return Err(unknown());
        };
        let function = function.to_ascii_lowercase();
        let all = function.strip_prefix("fn_cdc_get_all_changes_");
        let net = function.strip_prefix("fn_cdc_get_net_changes_");
        let instance = all
            .or(net)
            .filter(|_| same(schema, "cdc"))
            .ok_or_else(unknown)?;
        let table = self
            .catalog
            .table(
                &vec!["cdc".to_owned(), format!("{instance}_CT")],
                self.facts.database,
            )
            .map_err(|_| unknown())?;
        let [from, to, filter] = arguments else {
            return Err(SqlError::new(
                313,
                16,
                format!(
                    "An insufficient number of arguments were supplied for the procedure or function {told}."
                ),
            ));
        };
        let lsn = |expression: &Expression| {
            self.value(expression, scope)
                .and_then(|value| convert(value, LSN, How::EXPLICIT))
        };
        let (from, to) = (lsn(from)?.sql, lsn(to)?.sql);
        let filter = self.value(filter, scope)?;
        let Some(Value::Text(filter)) = &filter.constant else {
            return Err(SqlError::unknown(&told));
        };
        let range = format!(
            "tds.check_lsns({}, {}, {from}, {to}) AND c1 BETWEEN {from} AND {to}",
            self.facts.database,
            quoted(instance)
        );
        let sql = match (all.is_some(), filter.to_ascii_lowercase().as_str()) {
            (true, "all") => all_changes(table, &format!("{range} AND c4 <> 3")),
            (true, "all update old") => all_changes(table, &range),
            (false, "all") => self.net_changes(table, &range)?,
            _ => return Err(SqlError::unknown(filter)),
        };
        let columns = table
            .columns
            .iter()
            .filter(|column| column.id != 2)
            .map(|column| OutputColumn {
                name: column.name.clone(),
                sql_type: column.sql_type,
                nullable: true,
                identity: false,
            });
        let alias = alias.unwrap_or(instance).to_owned();
        Ok(self.derived(&sql, &alias, columns.collect(), scope))
    }

    /// The last state of each key, and what was done to it in all.
    fn net_changes(&self, table: &Table, range: &str) -> Result<String> {
        let source = table
            .captured_from
            .and_then(|id| self.catalog.tables.iter().find(|table| table.id == id));
        let key: Vec<String> = source
            .into_iter()
            .flat_map(|source| source.key.iter().filter_map(|id| source.column_of(*id)))
            .map(|key| {
                table
                    .column(&key.name)
                    .map(crate::catalog::Column::postgres)
            })
            .collect::<Result<_>>()?;
        if key.is_empty() {
            return Err(SqlError::new(
                22_937,
                16,
                "Net changes need a primary key in the source table.",
            ));
        }
        let key = key.join(", ");
        let rest = captured(table).fold(String::new(), |list, column| {
            list + ", " + &column.postgres()
        });
        let operation = "CASE WHEN c4 = 1 THEN 1 WHEN first = 2 THEN 2 ELSE 4 END";
        let listed = format!(
            "c1 AS c1, c3 AS c2, {operation} AS c3, NULL::bytea AS c4{}",
            renumbered(table)
        );
        Ok(format!(
            "(SELECT {listed} FROM (SELECT c1, c3, c4{rest}, first_value(c4) OVER (PARTITION BY {key} ORDER BY c1, c3, c4) AS first, \
             row_number() OVER (PARTITION BY {key} ORDER BY c1 DESC, c3 DESC, c4 DESC) AS place FROM {} WHERE c4 <> 3 AND {range}) AS all_changes \
             WHERE place = 1 AND NOT (first = 2 AND c4 = 1))",
            table.postgres()
        ))
    }

    pub(super) fn capture_value(&self, name: &str, values: &[Bound]) -> Result<Option<Bound>> {
        let database = self.facts.database;
        let lsn = |value: &Bound| convert(value.clone(), LSN, How::EXPLICIT).map(|value| value.sql);
        let text = |value: &Bound| {
            convert(
                value.clone(),
                SqlType::NVarChar(4000, Collation::DEFAULT),
                How::IMPLICIT,
            )
            .map(|value| value.sql)
        };
        Ok(Some(match (name, values) {
            ("SYS.FN_CDC_GET_MAX_LSN", []) => Bound::new(format!("tds.max_lsn({database})"), LSN),
            ("SYS.FN_CDC_GET_MIN_LSN", [instance]) => {
                Bound::new(format!("tds.min_lsn({database}, {})", text(instance)?), LSN)
            }
            ("SYS.FN_CDC_INCREMENT_LSN", [value]) => {
                Bound::new(format!("tds.step_lsn({}, 1)", lsn(value)?), LSN)
            }
            ("SYS.FN_CDC_DECREMENT_LSN", [value]) => {
                Bound::new(format!("tds.step_lsn({}, -1)", lsn(value)?), LSN)
            }
            ("SYS.FN_CDC_MAP_TIME_TO_LSN", [relation, moment]) => {
                let moment = convert(moment.clone(), SqlType::DateTime2(7), How::IMPLICIT)?.sql;
                Bound::new(
                    format!("tds.lsn_of_time({database}, {}, {moment})", text(relation)?),
                    LSN,
                )
            }
            ("SYS.FN_CDC_MAP_LSN_TO_TIME", [value]) => Bound::new(
                format!(
                    "(SELECT tds.datetime(t.tran_end_time) FROM tds.lsn_times AS t WHERE t.database_id = {database} AND t.start_lsn = {})",
                    lsn(value)?
                ),
                SqlType::DateTime,
            ),
            _ => return Ok(None),
        }))
    }
}

/// The columns of the source in a capture table.
fn captured(table: &Table) -> impl Iterator<Item = &crate::catalog::Column> {
    table.columns.iter().skip(OWN_COLUMNS)
}

/// The captured columns, under the numbers they have in the result: there is no `end_lsn` in it.
fn renumbered(table: &Table) -> String {
    captured(table)
        .zip(OWN_COLUMNS..)
        .fold(String::new(), |list, (column, at)| {
            list + &format!(", {} AS c{at}", column.postgres())
        })
}

fn all_changes(table: &Table, filter: &str) -> String {
    format!(
        "(SELECT c1 AS c1, c3 AS c2, c4 AS c3, c5 AS c4{} FROM {} WHERE {filter})",
        renumbered(table),
        table.postgres()
    )
}
