//! DDL of T-SQL: what CREATE, ALTER and DROP say.

use super::parser::Parser;
use super::syntax::{
    AlterTable, ColumnDefinition, ConstraintKind, DatabaseOption, Name, Statement, TableConstraint,
};
use crate::error::Result;

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        if self.word("TABLE") {
            return self.create_table();
        }
        if self.word("SCHEMA") {
            return self.identifier().map(Statement::CreateSchema);
        }
        if self.word("VIEW") {
            return self.create_view();
        }
        if self.word("DATABASE") {
            let name = self.identifier()?;
            let collation = if self.word("COLLATE") {
                Some(self.collation()?.name().to_owned())
            } else {
                None
            };
            return Ok(Statement::CreateDatabase { name, collation });
        }
        let unique = self.word("UNIQUE");
        let clustered = self.clustered() == Some(true);
        self.expect_words("INDEX")?;
        let name = self.identifier()?;
        self.expect_words("ON")?;
        let table = self.name()?;
        let columns = self.bracketed(Self::key_column)?;
        let included = if self.word("INCLUDE") {
            self.bracketed(Self::identifier)?
        } else {
            Vec::new()
        };
        Ok(Statement::CreateIndex {
            name,
            unique,
            clustered,
            table,
            columns,
            included,
        })
    }

    /// `CLUSTERED`, `NONCLUSTERED`, or neither.
    fn clustered(&mut self) -> Option<bool> {
        if self.word("CLUSTERED") {
            return Some(true);
        }
        self.word("NONCLUSTERED").then_some(false)
    }

    fn key_column(&mut self) -> Result<(String, bool)> {
        let name = self.identifier()?;
        let descending = self.word("DESC");
        if !descending {
            self.word("ASC");
        }
        Ok((name, descending))
    }

    fn create_view(&mut self) -> Result<Statement> {
        let name = self.name()?;
        let columns = if self.is_symbol("(") {
            self.bracketed(Self::identifier)?
        } else {
            Vec::new()
        };
        self.expect_words("AS")?;
        let query = Box::new(self.query()?);
        Ok(Statement::CreateView {
            name,
            columns,
            query,
        })
    }

    fn create_table(&mut self) -> Result<Statement> {
        let name = self.name()?;
        let (mut columns, mut constraints) = (Vec::new(), Vec::new());
        self.bracketed(|parser| parser.table_element(&mut columns, &mut constraints))?;
        Ok(Statement::CreateTable {
            name,
            columns,
            constraints,
        })
    }

    fn table_element(
        &mut self,
        columns: &mut Vec<ColumnDefinition>,
        constraints: &mut Vec<TableConstraint>,
    ) -> Result<()> {
        if let Some(constraint) = self.constraint(None)? {
            constraints.push(constraint);
        } else {
            columns.push(self.column_definition()?);
        }
        Ok(())
    }

    /// A constraint, of a column when one is named.
    fn constraint(&mut self, column: Option<&str>) -> Result<Option<TableConstraint>> {
        let mark = self.mark();
        let name = if self.word("CONSTRAINT") {
            Some(self.identifier()?)
        } else {
            None
        };
        let kind = if self.words("PRIMARY KEY") {
            self.key(true, column)?
        } else if self.word("UNIQUE") {
            self.key(false, column)?
        } else if self.word("CHECK") {
            self.expect("(")?;
            let condition = self.expression()?;
            self.expect(")")?;
            ConstraintKind::Check(condition)
        } else if self.words("FOREIGN KEY") || column.is_some() && self.is_word("REFERENCES") {
            self.foreign_key(column)?
        } else {
            self.back_to(mark);
            return Ok(None);
        };
        Ok(Some(TableConstraint { name, kind }))
    }

    fn key(&mut self, primary: bool, column: Option<&str>) -> Result<ConstraintKind> {
        let clustered = self.clustered();
        let columns = match column {
            Some(column) => vec![(column.to_owned(), false)],
            None => self.bracketed(Self::key_column)?,
        };
        Ok(ConstraintKind::Key {
            primary,
            clustered,
            columns,
        })
    }

    fn foreign_key(&mut self, column: Option<&str>) -> Result<ConstraintKind> {
        let columns = match column {
            Some(column) => vec![column.to_owned()],
            None => self.bracketed(Self::identifier)?,
        };
        self.expect_words("REFERENCES")?;
        let table = self.name()?;
        let referenced = if self.is_symbol("(") {
            self.bracketed(Self::identifier)?
        } else {
            Vec::new()
        };
        Ok(ConstraintKind::Foreign {
            columns,
            table,
            referenced,
        })
    }

    pub(super) fn column_definition(&mut self) -> Result<ColumnDefinition> {
        let name = self.identifier()?;
        let mark = self.mark();
        // `rowversion` may name the column and be its type.
        let sql_type = match self.sql_type() {
            Ok(sql_type) => sql_type,
            Err(error) => {
                self.back_to(mark);
                let implied = name.eq_ignore_ascii_case("timestamp");
                if !implied {
                    return Err(error);
                }
                crate::types::SqlType::RowVersion
            }
        };
        let mut definition = ColumnDefinition {
            name,
            sql_type,
            nullable: None,
            identity: None,
            default: None,
            constraints: Vec::new(),
        };
        while self.column_option(&mut definition)? {}
        Ok(definition)
    }

    fn column_option(&mut self, definition: &mut ColumnDefinition) -> Result<bool> {
        if self.words("NOT NULL") {
            definition.nullable = Some(false);
        } else if self.word("NULL") {
            definition.nullable = Some(true);
        } else if self.word("ROWGUIDCOL") {
        } else if self.word("IDENTITY") {
            let (mut seed, mut step) = (1, 1);
            if self.symbol("(") {
                seed = self.integer()?;
                self.expect(",")?;
                step = self.integer()?;
                self.expect(")")?;
            }
            definition.identity = Some((seed, step));
        } else if self.default_of_column(definition)? {
        } else if let Some(constraint) = self.constraint(Some(&definition.name))? {
            definition.constraints.push(constraint);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn default_of_column(&mut self, definition: &mut ColumnDefinition) -> Result<bool> {
        let mark = self.mark();
        if self.word("CONSTRAINT") {
            self.identifier()?;
        }
        if !self.word("DEFAULT") {
            self.back_to(mark);
            return Ok(false);
        }
        definition.default = Some(self.sum()?);
        Ok(true)
    }

    pub(super) fn drop_object(&mut self) -> Result<Statement> {
        let what = self.next()?.told().to_ascii_uppercase();
        if what == "INDEX" {
            let name = self.identifier()?;
            self.expect_words("ON")?;
            let table = self.name()?;
            return Ok(Statement::DropIndex { name, table });
        }
        let if_exists = self.words("IF EXISTS");
        match what.as_str() {
            "TABLE" => Ok(Statement::DropTable {
                names: self.list(Self::name)?,
                if_exists,
            }),
            "VIEW" => Ok(Statement::DropView {
                names: self.list(Self::name)?,
                if_exists,
            }),
            "DATABASE" => Ok(Statement::DropDatabase {
                name: self.identifier()?,
                if_exists,
            }),
            _ => Err(self.wrong()),
        }
    }

    pub(super) fn alter(&mut self) -> Result<Statement> {
        if self.word("DATABASE") {
            return self.alter_database();
        }
        self.expect_words("TABLE")?;
        let name = self.name()?;
        let change = self.alteration()?;
        Ok(Statement::AlterTable { name, change })
    }

    fn alteration(&mut self) -> Result<AlterTable> {
        for enable in [true, false] {
            if self.words(if enable {
                "ENABLE CHANGE_TRACKING"
            } else {
                "DISABLE CHANGE_TRACKING"
            }) {
                let mut columns = false;
                if self.word("WITH") {
                    self.expect("(")?;
                    self.expect_words("TRACK_COLUMNS_UPDATED")?;
                    self.expect("=")?;
                    columns = self.on_off()?;
                    self.expect(")")?;
                }
                return Ok(AlterTable::ChangeTracking { enable, columns });
            }
        }
        if self.word("ADD") {
            let (mut columns, mut constraints) = (Vec::new(), Vec::new());
            self.list(|parser| parser.table_element(&mut columns, &mut constraints))?;
            return Ok(AlterTable::Add(columns, constraints));
        }
        if self.words("DROP COLUMN") {
            return self.identifier().map(AlterTable::DropColumn);
        }
        if self.words("DROP CONSTRAINT") {
            return self.identifier().map(AlterTable::DropConstraint);
        }
        self.expect_words("ALTER COLUMN")?;
        self.column_definition().map(AlterTable::AlterColumn)
    }

    fn alter_database(&mut self) -> Result<Statement> {
        let name = if self.word("CURRENT") {
            None
        } else {
            Some(self.identifier()?)
        };
        self.expect_words("SET")?;
        let options = self.list(Self::database_option)?;
        if self.words("WITH ROLLBACK IMMEDIATE") || self.words("WITH NO_WAIT") {
            // Nothing to wait for: PostgreSQL keeps every version.
        }
        Ok(Statement::AlterDatabase { name, options })
    }

    fn database_option(&mut self) -> Result<DatabaseOption> {
        if self.word("ALLOW_SNAPSHOT_ISOLATION") {
            return self.on_off().map(DatabaseOption::SnapshotIsolation);
        }
        if self.word("READ_COMMITTED_SNAPSHOT") {
            return self.on_off().map(DatabaseOption::ReadCommittedSnapshot);
        }
        self.expect_words("CHANGE_TRACKING")?;
        self.symbol("=");
        let (mut retention_minutes, mut cleanup) = (2 * 24 * 60, true);
        let enable = if self.is_symbol("(") {
            true
        } else {
            self.on_off()?
        };
        if self.is_symbol("(") {
            self.bracketed(|parser| {
                if parser.word("CHANGE_RETENTION") {
                    parser.expect("=")?;
                    let count = parser.integer()?;
                    retention_minutes = count * parser.minutes()?;
                    return Ok(());
                }
                parser.expect_words("AUTO_CLEANUP")?;
                parser.expect("=")?;
                cleanup = parser.on_off()?;
                Ok(())
            })?;
        }
        Ok(DatabaseOption::ChangeTracking {
            enable,
            retention_minutes,
            cleanup,
        })
    }

    fn minutes(&mut self) -> Result<i64> {
        for (word, minutes) in [("MINUTES", 1), ("HOURS", 60), ("DAYS", 24 * 60)] {
            if self.word(word) {
                return Ok(minutes);
            }
        }
        Err(self.wrong())
    }
}

/// The name a table has in its schema, and the schema: `dbo` where none is said.
pub(crate) fn schema_and_name(name: &Name) -> (String, String) {
    let mut parts = name.iter().rev();
    let table = parts.next().cloned().unwrap_or_default();
    let schema = parts.next().filter(|schema| !schema.is_empty());
    (schema.cloned().unwrap_or_else(|| "dbo".to_owned()), table)
}

/// The database it is in, where one is said.
pub(crate) fn database_of(name: &Name) -> Option<&str> {
    name.iter()
        .rev()
        .nth(2)
        .map(String::as_str)
        .filter(|database| !database.is_empty())
}
