//! The procedures of change data capture, and the triggers that fill a capture table.

use std::fmt::Write as _;

use super::Session;
use super::definition::CHANGED;
use super::procedure::Arguments;
use crate::catalog::Table;
use crate::error::{Result, SqlError};
use crate::sql::{ColumnDefinition, Name};
use crate::types::{SqlType, quoted};

/// How many columns a mask of one number can tell of.
const MOST_COLUMNS: usize = 63;
const OWN_COLUMNS: i32 = 5;

impl Session {
    /// Runs a procedure of CDC, in a transaction. `false` where there is none of this name.
    pub(super) async fn capture_procedure(
        &mut self,
        name: &str,
        arguments: &Arguments<'_>,
    ) -> Result<bool> {
        const KNOWN: [&str; 5] = [
            "sp_cdc_enable_db",
            "sp_cdc_disable_db",
            "sp_cdc_enable_table",
            "sp_cdc_disable_table",
            "sp_cdc_cleanup_change_table",
        ];
        if !KNOWN.contains(&name) {
            return Ok(false);
        }
        self.before_statement().await?;
        let done = match name {
            "sp_cdc_enable_db" => self.enable_database().await,
            "sp_cdc_disable_db" => self.disable_database().await,
            "sp_cdc_enable_table" => self.enable_capture(arguments).await,
            "sp_cdc_disable_table" => self.disable_capture(arguments).await,
            _ => self.clean_up_capture(arguments).await,
        };
        self.after_statement(done.is_ok()).await?;
        done.map(|()| true)
    }

    async fn enable_database(&mut self) -> Result<()> {
        let database = self.facts.database;
        if self.catalog.schema(database, "cdc").is_none() {
            self.execute(&format!("INSERT INTO tds.schemas SELECT {database}, max(schema_id) + 1, 'cdc' FROM tds.schemas WHERE database_id = {database}")).await?;
        }
        self.execute(&format!(
            "UPDATE tds.databases SET is_cdc_enabled = 1 WHERE database_id = {database}; {CHANGED}"
        ))
        .await
        .map(|_| ())
    }

    async fn disable_database(&mut self) -> Result<()> {
        let database = self.facts.database;
        self.execute(&format!(
            "SELECT tds.drop_capture(object_id) FROM tds.captures WHERE database_id = {database}; \
             UPDATE tds.databases SET is_cdc_enabled = 0 WHERE database_id = {database}; {CHANGED}"
        ))
        .await
        .map(|_| ())
    }

    async fn source(&mut self, arguments: &Arguments<'_>) -> Result<Table> {
        let schema = self
            .argument(arguments, "source_schema", 0)
            .await?
            .unwrap_or_default();
        let name = self
            .argument(arguments, "source_name", 1)
            .await?
            .unwrap_or_default();
        let found = self
            .catalog
            .table(&vec![schema.clone(), name.clone()], self.facts.database);
        found.cloned().map_err(|_| {
            SqlError::new(
                22_931,
                16,
                format!("Source table '{schema}.{name}' does not exist in the current database."),
            )
        })
    }

    async fn enable_capture(&mut self, arguments: &Arguments<'_>) -> Result<()> {
        let table = self.source(arguments).await?;
        if self.catalog.schema(self.facts.database, "cdc").is_none() {
            return Err(SqlError::new(
                22_901,
                16,
                format!(
                    "The database '{}' is not enabled for Change Data Capture.",
                    self.facts.database_name
                ),
            ));
        }
        let role = self.argument(arguments, "role_name", 2).await?;
        let instance = self
            .argument(arguments, "capture_instance", 3)
            .await?
            .unwrap_or_else(|| format!("{}_{}", table.schema, table.name));
        let net = self
            .argument(arguments, "supports_net_changes", 4)
            .await?
            .map_or(!table.key.is_empty(), |net| net == "1");
        if net && table.key.is_empty() {
            return Err(SqlError::new(
                22_939,
                16,
                "The parameter @supports_net_changes is set to 1, but the source table does not have a primary key defined.",
            ));
        }
        let there: i64 =
            sqlx::query_scalar("SELECT count(*) FROM tds.captures WHERE source_object_id = $1")
                .bind(table.id)
                .fetch_one(&mut self.postgres)
                .await?;
        if there >= 2 {
            return Err(SqlError::new(
                22_962,
                16,
                format!(
                    "Two capture instances already exist for source table '{}'. A table can have at most two capture instances.",
                    table.told()
                ),
            ));
        }
        if table.columns.len() > MOST_COLUMNS {
            return Err(SqlError::unknown("capture of so many columns"));
        }
        let name = self.capture_name(&instance)?;
        let capture = self.create_capture_table(&name, &table).await?;
        let role = role.map_or_else(|| "NULL".to_owned(), |role| quoted(&role));
        let database = self.facts.database;
        let mut sql = triggers(&table, capture, database);
        let _ = write!(
            sql,
            "INSERT INTO tds.captures VALUES ({capture}, {database}, {}, {}, tds.commit_lsn({database}), {}, {role});",
            table.id,
            quoted(&instance),
            i32::from(net)
        );
        for (column, at) in table.columns.iter().zip(1..) {
            let _ = write!(
                sql,
                "INSERT INTO tds.captured_columns VALUES ({capture}, {}, {}, {}, {at});",
                quoted(&column.name),
                column.id,
                quoted(column.sql_type.name())
            );
        }
        sql.push_str(CHANGED);
        self.execute(&sql).await.map(|_| ())
    }

    /// The name of a new capture table.
    fn capture_name(&self, instance: &str) -> Result<Name> {
        let name: Name = vec!["cdc".to_owned(), format!("{instance}_CT")];
        if self.catalog.find(&name, self.facts.database).is_some() {
            return Err(SqlError::new(
                22_926,
                16,
                format!(
                    "Could not create a capture instance because the capture instance name '{instance}' already exists in the current database."
                ),
            ));
        }
        Ok(name)
    }

    async fn create_capture_table(&mut self, name: &Name, table: &Table) -> Result<i32> {
        let own = [
            ("__$start_lsn", SqlType::Binary(10)),
            ("__$end_lsn", SqlType::Binary(10)),
            ("__$seqval", SqlType::Binary(10)),
            ("__$operation", SqlType::Int),
            ("__$update_mask", SqlType::VarBinary(128)),
        ];
        let captured = table.columns.iter().map(|column| {
            let sql_type = if column.sql_type == SqlType::RowVersion {
                SqlType::Binary(8)
            } else {
                column.sql_type
            };
            (column.name.as_str(), sql_type)
        });
        let columns: Vec<ColumnDefinition> = own
            .into_iter()
            .chain(captured)
            .map(|(name, sql_type)| ColumnDefinition {
                name: name.to_owned(),
                sql_type,
                nullable: Some(true),
                identity: None,
                default: None,
                constraints: Vec::new(),
            })
            .collect();
        self.create_table(name, &columns, &[]).await?;
        self.catalog.refresh(&mut self.postgres).await?;
        self.catalog
            .table(name, self.facts.database)
            .map(|table| table.id)
    }

    async fn instance(&mut self, arguments: &Arguments<'_>, place: usize) -> Result<i32> {
        let instance = self
            .argument(arguments, "capture_instance", place)
            .await?
            .unwrap_or_default();
        let found = self.catalog.find(
            &vec!["cdc".to_owned(), format!("{instance}_CT")],
            self.facts.database,
        );
        found.map(|table| table.id).ok_or_else(|| {
            SqlError::new(
                22_960,
                16,
                format!("Change data capture instance '{instance}' has not been enabled."),
            )
        })
    }

    async fn disable_capture(&mut self, arguments: &Arguments<'_>) -> Result<()> {
        let source = self.source(arguments).await?.id;
        let sql = if self
            .argument(arguments, "capture_instance", 2)
            .await?
            .is_none_or(|instance| instance == "all")
        {
            format!(
                "SELECT tds.drop_capture(object_id) FROM tds.captures WHERE source_object_id = {source}; {CHANGED}"
            )
        } else {
            format!(
                "SELECT tds.drop_capture({}); {CHANGED}",
                self.instance(arguments, 2).await?
            )
        };
        self.execute(&sql).await.map(|_| ())
    }

    /// Forgets what is below the low water mark: whoever asks for it from then on gets error 313.
    async fn clean_up_capture(&mut self, arguments: &Arguments<'_>) -> Result<()> {
        let capture = self.instance(arguments, 0).await?;
        let mark = arguments
            .find("low_water_mark", 1)
            .cloned()
            .ok_or_else(|| SqlError::unknown("low_water_mark"))?;
        let mark = self
            .binder()
            .free_value(&mark, SqlType::Binary(10), crate::sql::bind::How::EXPLICIT)?
            .sql;
        self.execute(&format!(
            "DELETE FROM data.t{capture} WHERE c1 < {mark}; UPDATE tds.captures SET start_lsn = {mark} WHERE object_id = {capture} AND start_lsn < {mark}"
        ))
        .await
        .map(|_| ())
    }
}

/// One row for an insertion or a deletion, two for an update: as it was, and as it is.
fn triggers(table: &Table, capture: i32, database: i32) -> String {
    let source = table.id;
    let targets: Vec<String> = (OWN_COLUMNS + 1..)
        .take(table.columns.len())
        .map(|at| format!("c{at}"))
        .collect();
    let targets = targets.join(", ");
    let values = |row: &str| {
        table
            .columns
            .iter()
            .map(|column| format!("{row}.{}", column.postgres()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let changed: Vec<String> = table
        .columns
        .iter()
        .zip(0_u32..)
        .map(|(column, bit)| {
            format!(
                "CASE WHEN OLD.{0} IS DISTINCT FROM NEW.{0} THEN {1} ELSE 0 END::bigint",
                column.postgres(),
                1_u64 << bit
            )
        })
        .collect();
    let every = (1_u64 << table.columns.len()) - 1;
    let first_byte = 9 - table.columns.len().div_ceil(8);
    let insert = |operation: i32, row: &str| {
        format!(
            "INSERT INTO data.t{capture} (c3, c4, c5, {targets}) VALUES (step, {operation}, substr(int8send(mask), {first_byte}), {});",
            values(row)
        )
    };
    format!(
        "CREATE FUNCTION data.capture_{capture}() RETURNS trigger LANGUAGE plpgsql AS $$ \
         DECLARE step bytea := tds.lsn(nextval('tds.lsn_steps')); mask bigint := {every}; \
         BEGIN \
         IF TG_OP = 'INSERT' THEN {} \
         ELSIF TG_OP = 'DELETE' THEN {} \
         ELSE mask := {}; {} {} END IF; RETURN NULL; END $$; \
         CREATE TRIGGER capture_{capture} AFTER INSERT OR UPDATE OR DELETE ON data.t{source} FOR EACH ROW EXECUTE FUNCTION data.capture_{capture}(); \
         CREATE INDEX ON data.t{capture} (c3); CREATE INDEX ON data.t{capture} (c1); \
         CREATE CONSTRAINT TRIGGER lsn AFTER INSERT ON data.t{capture} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tds.give_lsn({database});",
        insert(2, "NEW"),
        insert(1, "OLD"),
        changed.join(" + "),
        insert(3, "OLD"),
        insert(4, "NEW"),
    )
}
