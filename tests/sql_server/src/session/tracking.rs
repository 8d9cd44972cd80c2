//! What feeds rowversion columns and change tracking: triggers of PostgreSQL.

use super::Session;
use crate::catalog::Table;
use crate::error::{Result, SqlError};
use crate::sql::bind::postgres_collation;

impl Session {
    /// ENABLE `CHANGE_TRACKING`.
    pub(super) async fn track(&mut self, table: &Table, columns: bool) -> Result<()> {
        if !self.catalog.database_of(table.database)?.tracks_changes {
            return Err(SqlError::new(
                4997,
                16,
                format!(
                    "Cannot enable change tracking on table '{}'. Change tracking is disabled on the database. Enable change tracking on the database first.",
                    table.name
                ),
            ));
        }
        if table.key.is_empty() {
            return Err(SqlError::new(
                4998,
                16,
                format!(
                    "Cannot enable change tracking on table '{}'. Change tracking requires a primary key on the table.",
                    table.name
                ),
            ));
        }
        if table.tracked {
            return Err(SqlError::new(
                4996,
                16,
                format!(
                    "Change tracking is already enabled for table '{}'.",
                    table.name
                ),
            ));
        }
        let sql = tracking(table, columns);
        self.execute(&sql).await.map(|_| ())
    }
}

/// Every change of a row gives it a new number.
pub(super) fn rowversion_trigger(table: i32, column: i32) -> String {
    format!(
        "CREATE FUNCTION data.version_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.c{column} := tds.next_rowversion(); RETURN NEW; END $$; \
         CREATE TRIGGER rowversion BEFORE INSERT OR UPDATE ON data.t{table} FOR EACH ROW EXECUTE FUNCTION data.version_{table}();"
    )
}

/// The side table of a tracked table, and what feeds it. A change of the key is a deletion and an insertion.
fn tracking(table: &Table, columns: bool) -> String {
    let id = table.id;
    let of = |row: &str| {
        table
            .key
            .iter()
            .map(|key| format!("{row}.c{key}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let keys: Vec<String> = table.key.iter().map(|key| format!("c{key}")).collect();
    let declared: Vec<String> = table
        .key
        .iter()
        .filter_map(|key| table.column_of(*key))
        .map(|key| {
            let collate = key
                .sql_type
                .collation()
                .map(|collation| format!(" COLLATE {}", postgres_collation(collation)));
            format!(
                "{} {}{}",
                key.postgres(),
                key.sql_type.postgres(),
                collate.unwrap_or_default()
            )
        })
        .collect();
    // Four bytes for each column that was changed, as CHANGE_TRACKING_IS_COLUMN_IN_MASK reads them.
    let masked: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("CASE WHEN OLD.{0} IS DISTINCT FROM NEW.{0} THEN substr(int4send({1}), 4, 1) || substr(int4send({1}), 3, 1) || '\\x0000'::bytea ELSE '' END", column.postgres(), column.id))
        .collect();
    let mask = if columns {
        format!("'\\x00000000'::bytea || {}", masked.join(" || "))
    } else {
        "NULL".to_owned()
    };
    let keys = keys.join(", ");
    let insert = |operation: &str, mask: &str, row: &str| {
        format!(
            "INSERT INTO data.changes_{id} (operation, context, mask, {keys}) VALUES ('{operation}', said, {mask}, {});",
            of(row)
        )
    };
    let (inserted, deleted, updated) = (
        insert("I", "NULL", "NEW"),
        insert("D", "NULL", "OLD"),
        insert("U", &mask, "NEW"),
    );
    format!(
        "CREATE TABLE data.changes_{id} (id bigserial PRIMARY KEY, version bigint, operation text NOT NULL, context bytea, mask bytea, {}); \
         CREATE CONSTRAINT TRIGGER version AFTER INSERT ON data.changes_{id} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tds.give_version({}); \
         CREATE FUNCTION data.track_{id}() RETURNS trigger LANGUAGE plpgsql AS $$ \
         DECLARE said bytea := decode(nullif(current_setting('tds.context', true), ''), 'hex'); \
         BEGIN \
         IF TG_OP = 'INSERT' THEN {inserted} \
         ELSIF TG_OP = 'DELETE' THEN {deleted} \
         ELSIF ({}) IS DISTINCT FROM ({}) THEN {deleted} {inserted} \
         ELSE {updated} END IF; RETURN NULL; END $$; \
         CREATE TRIGGER track AFTER INSERT OR UPDATE OR DELETE ON data.t{id} FOR EACH ROW EXECUTE FUNCTION data.track_{id}(); \
         INSERT INTO tds.change_tracking SELECT {id}, {}, v, v, 0 FROM (SELECT coalesce(tds.current_version({}), 0) AS v) AS now;",
        declared.join(", "),
        table.database,
        of("OLD"),
        of("NEW"),
        i32::from(columns),
        table.database
    )
}
