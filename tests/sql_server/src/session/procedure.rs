//! The procedures of the system that are known.

use super::{Flow, Session};
use crate::error::{Result, SqlError};
use crate::sql::{Expression, Name};
use crate::types::Value;
use crate::wire::Command;

/// The arguments of a call: by name, or by place.
pub(super) struct Arguments<'a>(&'a [(Option<String>, Expression)]);

impl Arguments<'_> {
    pub(super) fn find(&self, name: &str, place: usize) -> Option<&Expression> {
        let named = |(known, _): &&(Option<String>, Expression)| {
            known
                .as_deref()
                .is_some_and(|known| known.trim_start_matches('@').eq_ignore_ascii_case(name))
        };
        let by_name = self.0.iter().find(named);
        let by_place = self.0.get(place).filter(|(name, _)| name.is_none());
        by_name.or(by_place).map(|(_, value)| value)
    }
}

impl Session {
    pub(super) async fn execute_procedure(
        &mut self,
        name: &Name,
        arguments: &[(Option<String>, Expression)],
    ) -> Result<Flow> {
        let told = name.last().cloned().unwrap_or_default();
        let arguments = Arguments(arguments);
        if self
            .capture_procedure(&told.to_ascii_lowercase(), &arguments)
            .await?
        {
            self.reply.done(Command::Other, None);
            return Ok(Flow::GoOn);
        }
        match told.to_ascii_lowercase().as_str() {
            "sp_executesql" => return Box::pin(self.execute_text(&arguments)).await,
            "sp_flush_ct_internal_table_on_demand" => self.flush_changes(&arguments).await?,
            "sp_reset_connection" => {}
            "sp_tds_fault" => self.script_fault(&arguments).await?,
            _ => {
                return Err(SqlError::new(
                    2812,
                    16,
                    format!("Could not find stored procedure '{}'.", name.join(".")),
                ));
            }
        }
        self.reply.done(Command::Other, None);
        Ok(Flow::GoOn)
    }

    pub(super) async fn argument(
        &mut self,
        arguments: &Arguments<'_>,
        name: &str,
        place: usize,
    ) -> Result<Option<String>> {
        match arguments.find(name, place) {
            Some(value) => self.text_of(&value.clone()).await.map(Some),
            None => Ok(None),
        }
    }

    /// `EXEC sp_executesql N'…', N'@p int', @p = 1` in a batch.
    async fn execute_text(&mut self, arguments: &Arguments<'_>) -> Result<Flow> {
        let text = self
            .argument(arguments, "stmt", 0)
            .await?
            .unwrap_or_default();
        let declared = self
            .argument(arguments, "params", 1)
            .await?
            .unwrap_or_default();
        let declared = crate::sql::declarations(&declared)?;
        let mut values = Vec::new();
        for ((name, sql_type), place) in declared.iter().zip(2..) {
            let given = arguments.find(name.trim_start_matches('@'), place).cloned();
            let given = given.ok_or_else(|| SqlError::new(8178, 16, format!("The parameterized query expects the parameter '{name}', which was not supplied.")))?;
            self.assign(name, *sql_type, &given).await?;
            let key = name.to_lowercase();
            values.push((
                key.clone(),
                self.facts
                    .variables
                    .get(&key)
                    .cloned()
                    .unwrap_or((*sql_type, Value::Null)),
            ));
        }
        let outside = std::mem::replace(&mut self.facts.variables, values.into_iter().collect());
        let flow = self.run(&text).await;
        self.facts.variables = outside;
        flow
    }

    /// Forgets the changes of a table that are older than now: whoever has not read them is too late.
    async fn flush_changes(&mut self, arguments: &Arguments<'_>) -> Result<()> {
        let table = self
            .argument(arguments, "TableToClean", 0)
            .await?
            .unwrap_or_default();
        let name: Name = table
            .split('.')
            .map(|part| part.trim_matches(['[', ']']).to_owned())
            .collect();
        let table = self.catalog.table(&name, self.facts.database)?;
        let (id, database) = (table.id, self.facts.database);
        let up_to = format!("tds.current_version({database})");
        self.guarded(&format!("SELECT tds.forget_changes({id}, {up_to})"))
            .await
            .map(|_| ())
    }

    /// `EXEC sp_tds_fault 'drop after rows', 5`: a script for tests that are not in this process.
    async fn script_fault(&mut self, arguments: &Arguments<'_>) -> Result<()> {
        let what = self
            .argument(arguments, "fault", 0)
            .await?
            .unwrap_or_default();
        let number = self
            .argument(arguments, "number", 1)
            .await?
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        let text = self
            .argument(arguments, "text", 2)
            .await?
            .unwrap_or_default();
        let fault = crate::faults::Fault::named(&what, number, &text)
            .ok_or_else(|| SqlError::unknown(&what))?;
        self.shared.faults.add(fault);
        Ok(())
    }
}
