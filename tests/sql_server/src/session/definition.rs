//! DDL of everything but tables: databases, schemas, views, indexes.

use super::Session;
use super::table::Definition;
use crate::catalog::{create_database, same};
use crate::error::{Result, SqlError};
use crate::sql::{DatabaseOption, Name, Query, Statement, database_of, schema_and_name};
use crate::types::{Collation, quoted};
use crate::wire::Command;

/// Every change of the catalogue ends with it.
pub(super) const CHANGED: &str = "UPDATE tds.generation SET generation = generation + 1;";

impl Session {
    pub(super) async fn definition(&mut self, statement: Statement, text: &str) -> Result<()> {
        self.before_statement().await?;
        let done = Box::pin(self.definition_here(statement, text)).await;
        self.after_statement(done.is_ok()).await?;
        done?;
        self.reply.done(Command::Other, None);
        Ok(())
    }

    async fn definition_here(&mut self, statement: Statement, text: &str) -> Result<()> {
        match statement {
            Statement::CreateTable {
                name,
                columns,
                constraints,
            } => self.create_table(&name, &columns, &constraints).await,
            Statement::DropTable { names, if_exists } => {
                self.drop_objects(&names, if_exists, false).await
            }
            Statement::DropView { names, if_exists } => {
                self.drop_objects(&names, if_exists, true).await
            }
            Statement::AlterTable { name, change } => self.alter_table(&name, change).await,
            Statement::Truncate(name) => self.truncate(&name).await,
            Statement::CreateIndex {
                name,
                unique,
                clustered,
                table,
                columns,
                included,
            } => {
                let table = self.catalog.table(&table, self.facts.database)?.clone();
                self.create_index(&table, &name, unique, clustered, &columns, &included)
                    .await
            }
            Statement::DropIndex { name, table } => self.drop_index(&name, &table).await,
            Statement::CreateView {
                name,
                columns,
                query,
            } => self.create_view(&name, &columns, &query, text).await,
            Statement::CreateSchema(name) => self.create_schema(&name).await,
            Statement::CreateDatabase { name, collation } => {
                if self.catalog.database(&name).is_some() {
                    return Err(SqlError::new(
                        1801,
                        16,
                        format!(
                            "Database '{name}' already exists. Choose a different database name."
                        ),
                    ));
                }
                let collation = collation
                    .as_deref()
                    .and_then(Collation::named)
                    .unwrap_or(Collation::DEFAULT);
                create_database(&mut self.postgres, &name, collation).await
            }
            Statement::DropDatabase { name, if_exists } => {
                self.drop_database(&name, if_exists).await
            }
            Statement::AlterDatabase { name, options } => self.alter_database(name, &options).await,
            _ => Err(SqlError::unknown("statement")),
        }
    }

    async fn truncate(&mut self, name: &Name) -> Result<()> {
        let table = self.catalog.table(name, self.facts.database)?;
        if table.tracked {
            return Err(SqlError::new(
                4711,
                16,
                format!(
                    "Cannot truncate table '{}' because it is published for replication or enabled for Change Data Capture or Change Tracking.",
                    table.told()
                ),
            ));
        }
        let sql = format!("TRUNCATE {} RESTART IDENTITY", table.postgres());
        self.execute(&sql).await.map(|_| ())
    }

    async fn create_schema(&mut self, name: &str) -> Result<()> {
        let database = self.facts.database;
        if self.catalog.schema(database, name).is_some() {
            return Err(SqlError::new(
                2714,
                16,
                format!("There is already an object named '{name}' in the database."),
            ));
        }
        let sql = format!(
            "INSERT INTO tds.schemas SELECT {database}, max(schema_id) + 1, {} FROM tds.schemas WHERE database_id = {database}; {CHANGED}",
            quoted(name)
        );
        self.execute(&sql).await.map(|_| ())
    }

    async fn create_view(
        &mut self,
        name: &Name,
        columns: &[String],
        query: &Query,
        text: &str,
    ) -> Result<()> {
        let selected = self.binder().query(query, None)?;
        let names: Vec<String> = if columns.is_empty() {
            selected
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect()
        } else {
            columns.to_vec()
        };
        if names.len() != selected.columns.len() || names.iter().any(String::is_empty) {
            return Err(SqlError::new(
                4511,
                16,
                "Create View or Function failed because no column name was specified for a column.",
            ));
        }
        // A view must be alone in its batch, so its query is all that follows the first AS.
        let body = after_as(text).ok_or_else(|| {
            SqlError::new(
                111,
                15,
                "'CREATE VIEW' must be the first statement in a query batch.",
            )
        })?;
        crate::sql::view_query(&body)?;
        let id = self.new_object(name, "V", Some(&body)).await?;
        for ((column, name), at) in selected.columns.iter().zip(&names).zip(1..) {
            let definition = Definition {
                id: at,
                name,
                sql_type: column.sql_type,
                nullable: column.nullable,
                identity: false,
            };
            self.describe(id, &definition).await?;
        }
        self.execute(CHANGED).await.map(|_| ())
    }

    async fn drop_objects(&mut self, names: &[Name], if_exists: bool, views: bool) -> Result<()> {
        for name in names {
            let found = self
                .catalog
                .find(name, self.facts.database)
                .filter(|table| table.view.is_some() == views);
            let Some(table) = found.cloned() else {
                if if_exists {
                    continue;
                }
                let what = if views { "view" } else { "table" };
                return Err(SqlError::new(
                    3701,
                    11,
                    format!(
                        "Cannot drop the {what} '{}', because it does not exist or you do not have permission.",
                        name.join(".")
                    ),
                ));
            };
            self.drop_table(&table).await?;
        }
        self.execute(CHANGED).await.map(|_| ())
    }

    async fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<()> {
        let Some(database) = self.catalog.database(name).cloned() else {
            return if if_exists {
                Ok(())
            } else {
                Err(SqlError::new(
                    3701,
                    11,
                    format!(
                        "Cannot drop the database '{name}', because it does not exist or you do not have permission."
                    ),
                ))
            };
        };
        if database.id == self.facts.database || database.id <= 4 {
            return Err(SqlError::new(
                3702,
                16,
                format!("Cannot drop database \"{name}\" because it is currently in use."),
            ));
        }
        let tables: Vec<_> = self
            .catalog
            .tables
            .iter()
            .filter(|table| table.database == database.id)
            .cloned()
            .collect();
        for table in tables {
            self.drop_table(&table).await?;
        }
        let id = database.id;
        self.execute(&format!("DROP SEQUENCE tds.versions_{id}; DELETE FROM tds.databases WHERE database_id = {id}; {CHANGED}")).await.map(|_| ())
    }

    async fn alter_database(
        &mut self,
        name: Option<String>,
        options: &[DatabaseOption],
    ) -> Result<()> {
        let name = name.unwrap_or_else(|| self.facts.database_name.clone());
        let database = self
            .catalog
            .databases
            .iter()
            .find(|database| same(&database.name, &name));
        let database = database.ok_or_else(|| SqlError::new(5011, 14, format!("User does not have permission to alter database '{name}', the database does not exist, or the database is not in a state that allows access checks.")))?;
        let (id, tracks) = (database.id, database.tracks_changes);
        for option in options {
            let set = match option {
                DatabaseOption::SnapshotIsolation(on) => {
                    format!("snapshot_isolation_state = {}", i32::from(*on))
                }
                DatabaseOption::ReadCommittedSnapshot(on) => {
                    format!("is_read_committed_snapshot_on = {}", i32::from(*on))
                }
                DatabaseOption::ChangeTracking {
                    enable: true,
                    retention_minutes,
                    cleanup,
                } => format!(
                    "is_change_tracking_on = 1, retention_minutes = {retention_minutes}, is_auto_cleanup_on = {}",
                    i32::from(*cleanup)
                ),
                DatabaseOption::ChangeTracking { enable: false, .. } => {
                    if self
                        .catalog
                        .tables
                        .iter()
                        .any(|table| table.database == id && table.tracked)
                    {
                        return Err(SqlError::new(
                            22115,
                            16,
                            format!(
                                "Change tracking is enabled for one or more tables in database '{name}'. Disable change tracking on each table before disabling it for the database."
                            ),
                        ));
                    }
                    if !tracks {
                        return Err(SqlError::new(
                            5088,
                            16,
                            format!("Change tracking is already disabled for database '{name}'."),
                        ));
                    }
                    "is_change_tracking_on = 0".to_owned()
                }
            };
            self.execute(&format!(
                "UPDATE tds.databases SET {set} WHERE database_id = {id}; {CHANGED}"
            ))
            .await?;
        }
        Ok(())
    }

    /// A row of `tds.objects`.
    pub(super) async fn new_object(
        &mut self,
        name: &Name,
        kind: &str,
        definition: Option<&str>,
    ) -> Result<i32> {
        let (schema, object) = schema_and_name(name);
        if database_of(name).is_some_and(|database| !same(database, &self.facts.database_name)) {
            return Err(SqlError::unknown(&name.join(".")));
        }
        let database = self.facts.database;
        let schema_id = self
            .catalog
            .schema(database, &schema)
            .ok_or_else(|| SqlError::new(2760, 16, format!("The specified schema name \"{schema}\" either does not exist or you do not have permission to use it.")))?
            .id;
        let taken = self.catalog.tables.iter().any(|table| {
            table.database == database && same(&table.schema, &schema) && same(&table.name, &object)
        });
        if taken {
            return Err(SqlError::new(
                2714,
                16,
                format!("There is already an object named '{object}' in the database."),
            ));
        }
        let id: i32 = sqlx::query_scalar("INSERT INTO tds.objects (database_id, schema_id, name, type, definition) VALUES ($1, $2, $3, $4, $5) RETURNING object_id")
            .bind(database)
            .bind(schema_id)
            .bind(&object)
            .bind(kind)
            .bind(definition)
            .fetch_one(&mut self.postgres)
            .await?;
        Ok(id)
    }
}

/// What follows the word AS that ends the head of a view.
fn after_as(text: &str) -> Option<String> {
    let create = text.trim_start().get(..6)?;
    if !create.eq_ignore_ascii_case("create") {
        return None;
    }
    let upper = text.to_ascii_uppercase();
    let at = upper.match_indices("AS").find(|(at, _)| {
        let before = upper.get(..*at).and_then(|head| head.chars().next_back());
        let after = upper.get(at + 2..).and_then(|tail| tail.chars().next());
        before.is_some_and(|c| c.is_whitespace() || c == ')' || c == ']')
            && after.is_some_and(char::is_whitespace)
    })?;
    let body = text.get(at.0 + 2..)?.trim();
    Some(body.trim_end_matches(';').to_owned())
}
