//! What there is: databases, schemas, tables and their columns, as T-SQL declared them.
//!
//! Knows the schema `tds` in PostgreSQL, from which it is read anew when its generation changes. Knows no statement.

mod system;

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

pub(crate) use system::system_view;

use crate::error::{Result, SqlError};
use crate::sql::{Name, database_of, schema_and_name};
use crate::types::{Collation, SqlType};

#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    generation: i64,
    pub(crate) databases: Vec<Database>,
    pub(crate) schemas: Vec<Schema>,
    pub(crate) tables: Vec<Table>,
}

#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) allows_snapshot: bool,
    pub(crate) tracks_changes: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) database: i32,
    pub(crate) id: i32,
    pub(crate) name: String,
}

/// A table or a view.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) id: i32,
    pub(crate) database: i32,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// The query of a view.
    pub(crate) view: Option<String>,
    pub(crate) columns: Vec<Column>,
    /// The columns of the primary key, in its order.
    pub(crate) key: Vec<i32>,
    pub(crate) tracked: bool,
    /// The table whose changes this one captures.
    pub(crate) captured_from: Option<i32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) sql_type: SqlType,
    pub(crate) nullable: bool,
    pub(crate) identity: bool,
}

impl Table {
    /// Its name in PostgreSQL.
    pub(crate) fn postgres(&self) -> String {
        format!("data.t{}", self.id)
    }

    pub(crate) fn column(&self, name: &str) -> Result<&Column> {
        self.columns
            .iter()
            .find(|column| same(&column.name, name))
            .ok_or_else(|| SqlError::no_column(name))
    }

    pub(crate) fn column_of(&self, id: i32) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    pub(crate) fn told(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

impl Column {
    /// Its name in PostgreSQL.
    pub(crate) fn postgres(&self) -> String {
        format!("c{}", self.id)
    }
}

/// Whether two names are one: names ignore case, as the server's collation does.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

impl Catalog {
    pub(crate) fn database(&self, name: &str) -> Option<&Database> {
        self.databases
            .iter()
            .find(|database| same(&database.name, name))
    }

    pub(crate) fn database_of(&self, id: i32) -> Result<&Database> {
        self.databases
            .iter()
            .find(|database| database.id == id)
            .ok_or_else(|| SqlError::new(911, 16, "The database does not exist any more."))
    }

    /// The database a name means for a session that is in `current`.
    pub(crate) fn database_for(&self, name: &Name, current: i32) -> Result<i32> {
        let Some(database) = database_of(name) else {
            return Ok(current);
        };
        let found = self.database(database).map(|database| database.id);
        found.ok_or_else(|| SqlError::no_object(&name.join(".")))
    }

    pub(crate) fn schema(&self, database: i32, name: &str) -> Option<&Schema> {
        let found = |schema: &&Schema| schema.database == database && same(&schema.name, name);
        self.schemas.iter().find(found)
    }

    pub(crate) fn find(&self, name: &Name, current: i32) -> Option<&Table> {
        let database = self.database_for(name, current).ok()?;
        let (schema, table) = schema_and_name(name);
        self.tables.iter().find(|found| {
            found.database == database && same(&found.schema, &schema) && same(&found.name, &table)
        })
    }

    pub(crate) fn table(&self, name: &Name, current: i32) -> Result<&Table> {
        self.find(name, current)
            .ok_or_else(|| SqlError::no_object(&name.join(".")))
    }

    /// Reads it again if it has changed, with the eyes of the session's transaction.
    pub(crate) async fn refresh(&mut self, postgres: &mut PgConnection) -> Result<()> {
        let generation: i64 = sqlx::query_scalar("SELECT generation FROM tds.generation")
            .fetch_one(&mut *postgres)
            .await?;
        if generation != self.generation {
            *self = Self::read(postgres).await?;
            self.generation = generation;
        }
        Ok(())
    }

    async fn read(postgres: &mut PgConnection) -> Result<Self> {
        let databases = sqlx::query(
            "SELECT database_id, name, snapshot_isolation_state, is_change_tracking_on FROM tds.databases ORDER BY database_id",
        );
        let schemas = sqlx::query("SELECT database_id, schema_id, name FROM tds.schemas");
        let mut catalog = Self::default();
        for row in databases.fetch_all(&mut *postgres).await? {
            catalog.databases.push(Database {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                allows_snapshot: row.try_get::<i16, _>(2)? == 1,
                tracks_changes: row.try_get::<i16, _>(3)? == 1,
            });
        }
        for row in schemas.fetch_all(&mut *postgres).await? {
            catalog.schemas.push(Schema {
                database: row.try_get(0)?,
                id: row.try_get(1)?,
                name: row.try_get(2)?,
            });
        }
        catalog.tables = tables(postgres).await?;
        columns(postgres, &mut catalog.tables).await?;
        Ok(catalog)
    }
}

async fn tables(postgres: &mut PgConnection) -> Result<Vec<Table>> {
    let query = "SELECT o.object_id, o.database_id, s.name, o.name, o.definition, \
         coalesce((SELECT array_agg(ic.column_id ORDER BY ic.key_ordinal) FROM tds.indexes AS i \
            JOIN tds.index_columns AS ic USING (object_id, index_id) \
            WHERE i.object_id = o.object_id AND i.is_primary_key = 1), '{}'), \
         EXISTS (SELECT FROM tds.change_tracking AS t WHERE t.object_id = o.object_id), \
         (SELECT k.source_object_id FROM tds.captures AS k WHERE k.object_id = o.object_id) \
         FROM tds.objects AS o JOIN tds.schemas AS s USING (database_id, schema_id) WHERE o.type IN ('U', 'V')";
    let mut found = Vec::new();
    for row in sqlx::query(query).fetch_all(postgres).await? {
        found.push(Table {
            id: row.try_get(0)?,
            database: row.try_get(1)?,
            schema: row.try_get(2)?,
            name: row.try_get(3)?,
            view: row.try_get(4)?,
            columns: Vec::new(),
            key: row.try_get(5)?,
            tracked: row.try_get(6)?,
            captured_from: row.try_get(7)?,
        });
    }
    Ok(found)
}

async fn columns(postgres: &mut PgConnection, tables: &mut [Table]) -> Result<()> {
    let query = "SELECT object_id, column_id, name, type_name, max_length, \"precision\", scale, collation_name, \
         is_nullable, is_identity FROM tds.columns ORDER BY object_id, column_id";
    for row in sqlx::query(query).fetch_all(postgres).await? {
        let object: i32 = row.try_get(0)?;
        let Some(table) = tables.iter_mut().find(|table| table.id == object) else {
            continue;
        };
        let (name, type_name): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let small = |at| {
            row.try_get::<i16, _>(at)
                .map(|n| u8::try_from(n).unwrap_or(0))
        };
        let collation: Option<String> = row.try_get(7)?;
        let sql_type = SqlType::of_catalog(
            &type_name,
            row.try_get(4)?,
            small(5)?,
            small(6)?,
            collation.as_deref(),
        )
        .ok_or_else(|| SqlError::protocol(&format!("The catalogue has a type {type_name}.")))?;
        table.columns.push(Column {
            id: row.try_get(1)?,
            name,
            sql_type,
            nullable: row.try_get::<i16, _>(8)? == 1,
            identity: row.try_get::<i16, _>(9)? == 1,
        });
    }
    Ok(())
}

/// Makes the schemas `tds` and `data`, unless they are there.
pub(crate) async fn prepare(url: &str, databases: &[String]) -> Result<()> {
    let mut postgres = PgConnection::connect(url).await?;
    let mut transaction = postgres.begin().await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock(4354)")
        .await?;
    let there: bool = sqlx::query_scalar("SELECT to_regnamespace('tds') IS NOT NULL")
        .fetch_one(&mut *transaction)
        .await?;
    if !there {
        for script in [
            include_str!("bootstrap.sql"),
            include_str!("change_tracking.sql"),
            include_str!("capture.sql"),
            include_str!("views.sql"),
        ] {
            transaction.execute(script).await?;
        }
        for database in 1..=4 {
            transaction.execute(with_schemas(database).as_str()).await?;
        }
    }
    for name in databases {
        let known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM tds.databases WHERE lower(name) = lower($1))",
        )
        .bind(name)
        .fetch_one(&mut *transaction)
        .await?;
        if !known {
            create_database(&mut transaction, name, Collation::DEFAULT).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// A database with the schemas that every one has.
pub(crate) async fn create_database(
    postgres: &mut PgConnection,
    name: &str,
    collation: Collation,
) -> Result<()> {
    let id: i32 = sqlx::query_scalar(
        "INSERT INTO tds.databases (name, collation_name) VALUES ($1, $2) RETURNING database_id",
    )
    .bind(name)
    .bind(collation.name())
    .fetch_one(&mut *postgres)
    .await?;
    postgres.execute(with_schemas(id).as_str()).await?;
    postgres
        .execute("UPDATE tds.generation SET generation = generation + 1")
        .await?;
    Ok(())
}

fn with_schemas(database: i32) -> String {
    format!(
        "CREATE SEQUENCE tds.versions_{database}; \
         INSERT INTO tds.schemas VALUES ({database}, 1, 'dbo'), ({database}, 2, 'guest'), \
         ({database}, 3, 'INFORMATION_SCHEMA'), ({database}, 4, 'sys');"
    )
}
