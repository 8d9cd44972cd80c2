//! Calls by RPC: `sp_executesql` and prepared statements.

use super::{Flow, Session};
use crate::error::{Result, SqlError};
use crate::sql::Expression;
use crate::sql::declarations;
use crate::types::{SqlType, Value};
use crate::wire::{Call, Parameter, calls};

/// How many statements a session may have prepared.
const MOST_PREPARED: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Prepared {
    text: String,
    parameters: Vec<(String, SqlType)>,
}

impl Session {
    pub(super) async fn calls(&mut self, bytes: &[u8]) -> Result<()> {
        let all = calls(bytes)?;
        let last = all.len().saturating_sub(1);
        for (at, call) in all.into_iter().enumerate() {
            let done = self.call(call).await;
            let failed = match done {
                Ok(flow) => {
                    self.reply.return_status(i32::from(flow == Flow::Stop));
                    flow == Flow::Stop
                }
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    self.fail(&error).await?;
                    true
                }
            };
            self.reply.in_transaction = self.facts.transactions > 0;
            self.reply.done_procedure(failed, at < last);
        }
        Ok(())
    }

    async fn call(&mut self, call: Call) -> Result<Flow> {
        let name = call.procedure.to_ascii_lowercase();
        let name = name.trim_start_matches("sys.").trim_start_matches('.');
        let mut parameters = call.parameters.into_iter();
        match name {
            "sp_executesql" => {
                let text = text(parameters.next())?;
                let declared = match parameters.next() {
                    Some(declared) => declarations(&text_or_empty(declared))?,
                    None => Vec::new(),
                };
                let prepared = Prepared {
                    text,
                    parameters: declared,
                };
                self.run_with(&prepared, parameters.collect(), 2).await
            }
            "sp_prepare" | "sp_prepexec" => {
                let handle = parameters.next();
                let declared = parameters.next().map(text_or_empty).unwrap_or_default();
                let text = text(parameters.next())?;
                let prepared = Prepared {
                    text,
                    parameters: declarations(&declared)?,
                };
                let number = self.keep(prepared.clone(), handle.as_ref())?;
                let flow = if name == "sp_prepexec" {
                    self.run_with(&prepared, parameters.collect(), 3).await?
                } else {
                    Flow::GoOn
                };
                let value = Value::Integer(i64::from(number));
                let handle = handle.map(|handle| handle.name).unwrap_or_default();
                self.reply.return_value(
                    0,
                    &handle,
                    &value,
                    SqlType::Int,
                    &self.facts.database_name,
                )?;
                Ok(flow)
            }
            "sp_execute" => {
                let number = handle(parameters.next())?;
                let prepared = self.prepared.get(&number).cloned();
                let prepared = prepared.ok_or_else(no_such_handle)?;
                self.run_with(&prepared, parameters.collect(), 1).await
            }
            "sp_unprepare" => {
                self.prepared.remove(&handle(parameters.next())?);
                Ok(Flow::GoOn)
            }
            _ => {
                let arguments = self.arguments_of(parameters.collect());
                self.execute_procedure(
                    &call.procedure.split('.').map(str::to_owned).collect(),
                    &arguments,
                )
                .await
            }
        }
    }

    /// The arguments of any other procedure, as variables.
    fn arguments_of(&mut self, parameters: Vec<Parameter>) -> Vec<(Option<String>, Expression)> {
        self.facts.variables.clear();
        let mut arguments = Vec::new();
        for (parameter, at) in parameters.into_iter().zip(1..) {
            let variable = format!("@argument{at}");
            self.facts
                .variables
                .insert(variable.clone(), (parameter.sql_type, parameter.value));
            let name = Some(parameter.name).filter(|name| !name.is_empty());
            arguments.push((name, Expression::Variable(variable)));
        }
        arguments
    }

    /// A statement prepared again keeps its number.
    fn keep(&mut self, prepared: Prepared, handle: Option<&Parameter>) -> Result<i32> {
        let old = match handle.map(|handle| &handle.value) {
            Some(Value::Integer(number)) => i32::try_from(*number).ok(),
            _ => None,
        };
        let next = self.prepared.keys().next_back().map_or(1, |last| last + 1);
        let number = old
            .filter(|number| self.prepared.contains_key(number))
            .unwrap_or(next);
        if self.prepared.len() >= MOST_PREPARED {
            return Err(SqlError::new(
                701,
                17,
                "There are too many prepared statements.",
            ));
        }
        self.prepared.insert(number, prepared);
        Ok(number)
    }

    /// Runs a text with values for its parameters, and gives those back that go out.
    async fn run_with(
        &mut self,
        prepared: &Prepared,
        values: Vec<Parameter>,
        before: u16,
    ) -> Result<Flow> {
        self.facts.variables.clear();
        let mut outputs = Vec::new();
        for ((at, value), ordinal) in values.into_iter().enumerate().zip(before..) {
            let declared = if value.name.is_empty() {
                prepared.parameters.get(at)
            } else {
                prepared
                    .parameters
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(&value.name))
            };
            let (name, sql_type) = declared.cloned().ok_or_else(|| {
                SqlError::new(
                    8145,
                    16,
                    format!(
                        "{} is not a parameter for procedure sp_executesql.",
                        value.name
                    ),
                )
            })?;
            if value.output {
                outputs.push((ordinal, name.clone(), value.name.clone()));
            }
            let given = "@given".to_owned();
            self.facts
                .variables
                .insert(given.clone(), (value.sql_type, value.value));
            self.assign(&name, sql_type, &Expression::Variable(given))
                .await?;
        }
        self.facts.variables.remove("@given");
        for (name, _) in &prepared.parameters {
            if !self.facts.variables.contains_key(&name.to_lowercase()) {
                return Err(SqlError::new(
                    8178,
                    16,
                    format!(
                        "The parameterized query expects the parameter '{name}', which was not supplied."
                    ),
                ));
            }
        }
        let flow = self.run(&prepared.text).await?;
        for (ordinal, name, told) in outputs {
            if let Some((sql_type, value)) = self.facts.variables.get(&name.to_lowercase()) {
                self.reply.return_value(
                    ordinal,
                    &told,
                    value,
                    *sql_type,
                    &self.facts.database_name,
                )?;
            }
        }
        Ok(flow)
    }
}

fn text(parameter: Option<Parameter>) -> Result<String> {
    match parameter.map(|parameter| parameter.value) {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(SqlError::new(
            214,
            16,
            "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar'.",
        )),
    }
}

fn text_or_empty(parameter: Parameter) -> String {
    match parameter.value {
        Value::Text(text) => text,
        _ => String::new(),
    }
}

fn handle(parameter: Option<Parameter>) -> Result<i32> {
    match parameter.map(|parameter| parameter.value) {
        Some(Value::Integer(number)) => {
            i32::try_from(number).map_err(|_| SqlError::unknown("handle"))
        }
        _ => Err(no_such_handle()),
    }
}

fn no_such_handle() -> SqlError {
    SqlError::new(8179, 16, "Could not find prepared statement.")
}
