//! Transactions: T-SQL counts how deep they nest, and only the outermost one is real.

use super::Session;
use crate::error::{Result, SqlError};
use crate::sql::{Isolation, Statement};
use crate::wire::{Again, Environment, TransactionRequest, transaction};

impl Session {
    pub(super) async fn begin(&mut self) -> Result<()> {
        if self.facts.transactions == 0 {
            // A reader at READ COMMITTED sees what was committed when its statement began, as with
            // READ_COMMITTED_SNAPSHOT. SNAPSHOT is what PostgreSQL calls REPEATABLE READ.
            let level = match self.isolation {
                Isolation::ReadUncommitted | Isolation::ReadCommitted => "READ COMMITTED",
                Isolation::RepeatableRead | Isolation::Snapshot => "REPEATABLE READ",
                Isolation::Serializable => "SERIALIZABLE",
            };
            self.execute(&format!("BEGIN ISOLATION LEVEL {level}"))
                .await?;
            self.begun = self.isolation;
            self.transaction_number += 1;
            self.reply
                .environment(&Environment::Begin(self.transaction_number));
        }
        self.facts.transactions += 1;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<()> {
        match self.facts.transactions {
            0 => return Err(no_transaction("COMMIT")),
            1 => {
                let committed = self.execute("COMMIT").await;
                self.facts.transactions = 0;
                let change = if committed.is_ok() {
                    Environment::Commit
                } else {
                    Environment::Rollback
                };
                self.reply.environment(&change(self.transaction_number));
                committed?;
            }
            _ => self.facts.transactions -= 1,
        }
        Ok(())
    }

    pub(super) async fn roll_back(&mut self) -> Result<()> {
        if self.facts.transactions == 0 {
            return Err(no_transaction("ROLLBACK"));
        }
        self.execute("ROLLBACK").await?;
        self.facts.transactions = 0;
        self.reply
            .environment(&Environment::Rollback(self.transaction_number));
        Ok(())
    }

    pub(super) async fn roll_back_to(&mut self, name: Option<&str>) -> Result<()> {
        match name {
            None => self.roll_back().await,
            // The name is of a savepoint, or of the transaction itself, which was not kept.
            Some(name) => match self
                .execute(&format!("ROLLBACK TO SAVEPOINT {}", savepoint(name)))
                .await
            {
                Ok(_) => Ok(()),
                Err(_) if self.facts.transactions > 0 => self.roll_back().await,
                Err(error) => Err(error),
            },
        }
    }

    pub(super) async fn save(&mut self, name: &str) -> Result<()> {
        if self.facts.transactions == 0 {
            return Err(SqlError::new(
                628,
                16,
                "Cannot issue SAVE TRANSACTION when there is no active transaction.",
            ));
        }
        self.execute(&format!("SAVEPOINT {}", savepoint(name)))
            .await
            .map(|_| ())
    }

    pub(super) fn set_isolation(&mut self, level: Isolation) -> Result<()> {
        if level == Isolation::Snapshot
            && self.facts.transactions > 0
            && self.begun != Isolation::Snapshot
        {
            let name = &self.facts.database_name;
            return Err(SqlError::new(
                3951,
                16,
                format!(
                    "Transaction failed in database '{name}' because the statement was run under snapshot isolation but the transaction did not start in snapshot isolation."
                ),
            ));
        }
        self.isolation = level;
        Ok(())
    }

    /// A database must allow snapshots before anything is read under one.
    pub(super) fn check_snapshot(&self, statement: &Statement) -> Result<()> {
        let level = if self.facts.transactions > 0 {
            self.begun
        } else {
            self.isolation
        };
        let reads = matches!(
            statement,
            Statement::Select(_)
                | Statement::Insert { .. }
                | Statement::Update { .. }
                | Statement::Delete { .. }
        );
        if level != Isolation::Snapshot || !reads {
            return Ok(());
        }
        let database = self.catalog.database_of(self.facts.database)?;
        if database.allows_snapshot {
            return Ok(());
        }
        Err(SqlError::new(
            3952,
            16,
            format!(
                "Snapshot isolation transaction failed accessing database '{}' because snapshot isolation is not allowed in this database. Use ALTER DATABASE to allow snapshot isolation.",
                database.name
            ),
        ))
    }

    pub(super) async fn transaction_request(&mut self, bytes: &[u8]) -> Result<()> {
        let again = match transaction(bytes)? {
            TransactionRequest::Begin(level) => Some(Again(level)),
            TransactionRequest::Commit { again } => {
                self.commit().await?;
                again
            }
            TransactionRequest::Rollback { to, again } if to.is_empty() => {
                self.roll_back().await?;
                again
            }
            TransactionRequest::Rollback { to, .. } => {
                self.roll_back_to(Some(&to)).await?;
                None
            }
            TransactionRequest::Save(name) => {
                self.save(&name).await?;
                None
            }
        };
        if let Some(Again(level)) = again {
            if let Some(level) = level {
                self.isolation = level;
            }
            self.begin().await?;
        }
        self.reply.done(crate::wire::Command::Other, None);
        Ok(())
    }
}

fn no_transaction(what: &str) -> SqlError {
    let number = if what == "COMMIT" { 3902 } else { 3903 };
    SqlError::new(
        number,
        16,
        format!("The {what} TRANSACTION request has no corresponding BEGIN TRANSACTION."),
    )
}

/// A name that no savepoint of the server's own has.
fn savepoint(name: &str) -> String {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("tds_saved_{}", plain.to_lowercase())
}
