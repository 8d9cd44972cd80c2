//! One statement: bound, run, answered.

use std::time::Duration;

use super::{Flow, Session};
use crate::error::{Result, SqlError};
use crate::sql::bind::{Binder, Change, How, Where};
use crate::sql::{Expression, Query, Statement};
use crate::types::{Collation, MAX, SqlType, Value, quoted};
use crate::wire::{Command, Environment};

impl Session {
    pub(super) async fn statement_or_error(
        &mut self,
        statement: Statement,
        line: u32,
        text: &str,
    ) -> Result<Flow> {
        match Box::pin(self.statement(statement, text)).await {
            Ok(flow) => {
                self.facts.last_error = 0;
                Ok(flow)
            }
            Err(error) if error.is_fatal() => Err(error),
            Err(error) => {
                self.fail(&SqlError {
                    line,
                    ..error.clone()
                })
                .await?;
                self.reply.done_with_error();
                // Some errors end a statement only, as in T-SQL; a client that does not look goes on with the next one.
                let goes_on = matches!(error.number, 515 | 547 | 2601 | 2627 | 2628 | 3902 | 3903)
                    && !self.abort_on_error;
                Ok(if goes_on { Flow::GoOn } else { Flow::Stop })
            }
        }
    }

    async fn statement(&mut self, statement: Statement, text: &str) -> Result<Flow> {
        self.catalog.refresh(&mut self.postgres).await?;
        self.check_snapshot(&statement)?;
        match statement {
            Statement::Select(query) => self.select(&query).await?,
            Statement::Insert { .. } | Statement::Update { .. } | Statement::Delete { .. } => {
                self.change(statement).await?;
            }
            Statement::If {
                condition,
                then,
                otherwise,
            } => {
                let sql = self.binder().free_condition(&condition)?;
                let held = self
                    .single(&format!("({sql})::integer"), SqlType::Int)
                    .await?
                    == Value::Integer(1);
                return self.all_of(if held { then } else { otherwise }, text).await;
            }
            Statement::Block(statements) => return self.all_of(statements, text).await,
            Statement::Execute {
                procedure,
                arguments,
            } => return self.execute_procedure(&procedure, &arguments).await,
            Statement::ExecuteText(expression) => {
                let text = self.text_of(&expression).await?;
                return Box::pin(self.run(&text)).await;
            }
            Statement::Declare(variables) => {
                for (name, sql_type, value) in variables {
                    let value = value.unwrap_or(Expression::Null);
                    self.assign(&name, sql_type, &value).await?;
                }
            }
            Statement::SetVariable(name, value) => {
                let sql_type = self.type_of_variable(&name)?;
                self.assign(&name, sql_type, &value).await?;
            }
            Statement::Throw { number, message } => {
                return Err(self.thrown(&number, &message, None).await?);
            }
            Statement::RaiseError { message, class } => {
                return Err(self
                    .thrown(
                        &Expression::Number("50000".to_owned()),
                        &message,
                        Some(&class),
                    )
                    .await?);
            }
            Statement::Print(expression) => {
                let text = self.text_of(&expression).await?;
                self.reply.info(0, &text);
            }
            Statement::WaitFor(delay) => self.wait_for(&delay).await?,
            other => self.session_statement(other, text).await?,
        }
        Ok(Flow::GoOn)
    }

    fn type_of_variable(&self, name: &str) -> Result<SqlType> {
        let known = self
            .facts
            .variables
            .get(&name.to_lowercase())
            .map(|(sql_type, _)| *sql_type);
        known.ok_or_else(|| {
            SqlError::new(
                137,
                15,
                format!("Must declare the scalar variable \"{name}\"."),
            )
        })
    }

    /// What changes the session and not the data.
    async fn session_statement(&mut self, statement: Statement, text: &str) -> Result<()> {
        match statement {
            Statement::Begin => self.begin().await?,
            Statement::Commit => self.commit().await?,
            Statement::Rollback(name) => self.roll_back_to(name.as_deref()).await?,
            Statement::Save(name) => self.save(&name).await?,
            Statement::SetIsolation(level) => self.set_isolation(level)?,
            Statement::SetCount(quiet) => self.counts = !quiet,
            Statement::SetXactAbort(on) => self.abort_on_error = on,
            Statement::SetNothing => {}
            Statement::SetLockTimeout(milliseconds) => {
                self.facts.lock_timeout = milliseconds;
                // PostgreSQL knows no "do not wait at all" for rows: a millisecond is next to it.
                let wait = if milliseconds < 0 {
                    0
                } else {
                    milliseconds.max(1)
                };
                self.execute(&format!("SET lock_timeout = {wait}")).await?;
            }
            Statement::SetIdentityInsert { table, on } => {
                let id = self.catalog.table(&table, self.facts.database)?.id;
                self.facts.identity_insert = on.then_some(id);
            }
            Statement::Use(name) => self.use_database(&name).await?,
            Statement::InsertBulk { table, columns } => self.begin_bulk(&table, &columns)?,
            other => return self.definition(other, text).await,
        }
        self.reply.in_transaction = self.facts.transactions > 0;
        self.reply.done(Command::Other, None);
        Ok(())
    }

    async fn all_of(&mut self, statements: Vec<Statement>, text: &str) -> Result<Flow> {
        for statement in statements {
            if self.statement_or_error(statement, 1, text).await? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::GoOn)
    }

    pub(super) fn binder(&self) -> Binder<'_> {
        Binder::new(&self.catalog, &self.facts)
    }

    async fn select(&mut self, query: &Query) -> Result<()> {
        let selected = self.binder().query(query, None)?;
        if !selected.variables.is_empty() {
            let rows = self.set_variables(&selected).await?;
            self.counted(rows);
            return Ok(());
        }
        let rows = self.stream(&selected.sql, &selected.columns).await?;
        self.facts.row_count = i64::try_from(rows).unwrap_or(i64::MAX);
        self.reply.done(Command::Select, Some(rows));
        Ok(())
    }

    fn counted(&mut self, rows: u64) {
        self.facts.row_count = i64::try_from(rows).unwrap_or(i64::MAX);
    }

    async fn change(&mut self, statement: Statement) -> Result<()> {
        let (change, command, context) = self.bound_change(statement)?;
        let context = context.unwrap_or_default();
        if !context.is_empty() {
            let hex = crate::types::hex(&context);
            self.execute(&format!("SET tds.context = '{hex}'")).await?;
        }
        let done = self.stream(&change.sql, &change.output).await;
        if !context.is_empty() {
            self.execute("SET tds.context = ''").await?;
        }
        let rows = done?;
        if let Some((table, column)) = change.identity
            && rows > 0
        {
            self.after_identity(table, column).await?;
        }
        self.counted(rows);
        self.reply.in_transaction = self.facts.transactions > 0;
        self.reply.done(command, self.counts.then_some(rows));
        Ok(())
    }

    fn bound_change(&self, statement: Statement) -> Result<(Change, Command, Option<Vec<u8>>)> {
        let binder = self.binder();
        match statement {
            Statement::Insert {
                table,
                columns,
                source,
                output,
                with,
            } => Ok((
                binder.insert(&table, &columns, &source, &output)?,
                Command::Insert,
                with,
            )),
            Statement::Update {
                table,
                sets,
                from,
                filter,
                top,
                output,
                with,
            } => {
                let wanted = Where {
                    table: &table,
                    from: &from,
                    filter: filter.as_ref(),
                    top: top.as_ref(),
                    output: &output,
                };
                Ok((binder.update(&sets, &wanted)?, Command::Update, with))
            }
            Statement::Delete {
                table,
                from,
                filter,
                top,
                output,
                with,
            } => {
                let wanted = Where {
                    table: &table,
                    from: &from,
                    filter: filter.as_ref(),
                    top: top.as_ref(),
                    output: &output,
                };
                Ok((binder.delete(&wanted)?, Command::Delete, with))
            }
            _ => Err(SqlError::unknown("statement")),
        }
    }

    /// `SCOPE_IDENTITY()`, and a counter that goes on above a number that was given by hand.
    async fn after_identity(&mut self, table: i32, column: i32) -> Result<()> {
        let sequence = format!("pg_get_serial_sequence('data.t{table}', 'c{column}')");
        if self.facts.identity_insert == Some(table) {
            self.execute(&format!(
                "SELECT setval({sequence}, (SELECT max(c{column}) FROM data.t{table}))"
            ))
            .await?;
        }
        if let Value::Integer(last) = self
            .single(&format!("currval({sequence})"), SqlType::BigInt)
            .await?
        {
            self.facts.identity = Some(last);
        }
        Ok(())
    }

    /// Gives a variable the value of an expression.
    pub(super) async fn assign(
        &mut self,
        name: &str,
        sql_type: SqlType,
        value: &Expression,
    ) -> Result<()> {
        let bound = self.binder().free_value(value, sql_type, How::EXPLICIT)?;
        let value = match bound.constant {
            Some(constant) => constant,
            None => self.single(&bound.sql, sql_type).await?,
        };
        self.facts
            .variables
            .insert(name.to_lowercase(), (sql_type, value));
        Ok(())
    }

    pub(super) async fn text_of(&mut self, expression: &Expression) -> Result<String> {
        let text = SqlType::NVarChar(MAX, Collation::DEFAULT);
        let bound = self.binder().free_value(expression, text, How::EXPLICIT)?;
        match self.single(&bound.sql, text).await? {
            Value::Text(text) => Ok(text),
            _ => Ok(String::new()),
        }
    }

    async fn thrown(
        &mut self,
        number: &Expression,
        message: &Expression,
        class: Option<&Expression>,
    ) -> Result<SqlError> {
        let message = self.text_of(message).await?;
        let number = self.text_of(number).await?.parse().unwrap_or(50_000);
        let class = match class {
            Some(class) => self.text_of(class).await?.parse().unwrap_or(16),
            None => 16,
        };
        Ok(SqlError::new(number, class, message))
    }

    /// `hh:mm:ss[.fff]`; an attention ends it.
    async fn wait_for(&mut self, delay: &str) -> Result<()> {
        let ticks = self
            .single(
                &format!("tds.time_of_text({})", quoted(delay)),
                SqlType::Time(7),
            )
            .await?;
        let Value::Ticks(ticks) = ticks else {
            return Err(SqlError::syntax(delay, 1));
        };
        let delay = Duration::from_micros(u64::try_from(ticks / 10).unwrap_or(0));
        let attention = std::sync::Arc::clone(&self.attention);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = attention.asked() => {}
        }
        self.reply.done(Command::Other, None);
        Ok(())
    }

    pub(crate) async fn use_database(&mut self, name: &str) -> Result<()> {
        self.catalog.refresh(&mut self.postgres).await?;
        let found = self.catalog.database(name).ok_or_else(|| {
            SqlError::new(911, 16, format!("Database '{name}' does not exist. Make sure that the name is entered correctly."))
        })?;
        let old = std::mem::replace(&mut self.facts.database_name, found.name.clone());
        self.facts.database = found.id;
        let new = found.name.clone();
        self.reply
            .info(5701, &format!("Changed database context to '{new}'."));
        self.reply.environment(&Environment::Database { new, old });
        Ok(())
    }
}
