//! Queries over the lake that somebody types: tables are `namespace.name`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use connectors::{BatchStream, Error, Result};
use futures::{StreamExt, TryStreamExt};
use spec::model::{PipelineId, StepKind, Target};
use spec::{SqlFault, SqlFaultKind, SqlOf, Texts};

use crate::engine::Engine;
use crate::findings;
use crate::lake::TableId;
use crate::query::{Session, faults_of, from_datafusion, listed};

impl Engine {
    /// The rows of a query over the lake.
    pub async fn query(&self, sql: &str) -> Result<(SchemaRef, BatchStream)> {
        let session = self.session()?;
        for relation in relations(&session, sql)? {
            if let [namespace, name] = relation.as_slice()
                && let Some(table) = self
                    .lake()
                    .await?
                    .table(&TableId::new(namespace, name))
                    .await?
            {
                session.register_lake_table(namespace, name, table.provider())?;
            }
        }
        self.answer(&session, sql).await
    }

    /// The answer to a query whose tables the session knows.
    pub(crate) async fn answer(
        &self,
        session: &Session,
        sql: &str,
    ) -> Result<(SchemaRef, BatchStream)> {
        let frame = match session.query(sql).await {
            Ok(frame) => frame,
            Err(error) => return Err(self.misunderstood(sql, error).await),
        };
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let rows = match frame.execute_stream().await {
            Ok(rows) => rows,
            Err(error) => return Err(wrong_by(sql, session.refused(sql, error).await)),
        };
        Ok((schema, rows.map_err(from_datafusion).boxed()))
    }

    async fn misunderstood(&self, sql: &str, error: Error) -> Error {
        let faults = faults_of(&error);
        if faults.is_empty() {
            return error;
        }
        let vague = faults
            .iter()
            .all(|fault| fault.kind == SqlFaultKind::Meaning);
        if let Some(fault) = spec::query_syntax(sql).filter(|_| vague) {
            return wrong(sql, vec![fault]);
        }
        let mut told = Vec::with_capacity(faults.len());
        for fault in faults {
            told.push(if fault.kind == SqlFaultKind::UnknownTable {
                self.no_table(fault.clone()).await
            } else {
                fault.clone()
            });
        }
        wrong(sql, told)
    }

    /// Says what a table may be that is not there: one that is not loaded yet, or another's name.
    async fn no_table(&self, fault: SqlFault) -> SqlFault {
        let Some(name) = fault.about.clone() else {
            return fault;
        };
        let loads = self.tables_to_load();
        if let Some(pipeline) = loads.get(&name) {
            return SqlFault {
                message: format!("table `{name}` has not been loaded yet"),
                help: Some(format!("`lakewright run {pipeline}` loads it")),
                ..fault
            };
        }
        let there = match self.lake().await {
            // Whoever cannot be asked has no names to offer: the table is missing all the same.
            Ok(lake) => lake.tables().await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let mut names: Vec<String> = there.iter().map(ToString::to_string).collect();
        let in_lake = names.len();
        names.extend(loads.into_keys());
        let suffix = format!(".{name}");
        // Whoever forgets the namespace means the table of that name.
        let near = names.iter().find(|known| known.ends_with(&suffix));
        let near = near.map(String::as_str);
        let near = near.or_else(|| spec::nearest(&name, names.iter().map(String::as_str)));
        let suggestion = near.map(str::to_owned);
        names.truncate(in_lake);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let help = if names.is_empty() {
            "the lake has no tables yet".to_owned()
        } else {
            format!("the lake has {}", listed(&names, "and"))
        };
        SqlFault {
            suggestion,
            help: Some(help),
            ..fault
        }
    }

    /// The tables of the lake that pipelines load, each with its pipeline.
    fn tables_to_load(&self) -> BTreeMap<String, &PipelineId> {
        let pipelines = self.project().pipelines.iter();
        let steps = pipelines.flat_map(|(id, pipeline)| {
            let steps = pipeline.steps.iter();
            steps.map(move |step| (id, &step.kind))
        });
        steps
            .filter_map(|(id, kind)| match kind {
                StepKind::Load(load) => match &load.target {
                    Target::Lake(table) => Some((table.to_string(), id)),
                    Target::Connection { .. } => None,
                },
                StepKind::Check(check) => Some((check.quarantine.as_ref()?.to_string(), id)),
                StepKind::Extract(_) | StepKind::Transform(_) => None,
            })
            .collect()
    }
}

/// The tables that a query names.
pub(crate) fn relations(session: &Session, sql: &str) -> Result<Vec<Vec<String>>> {
    session
        .relations(sql)
        .map_err(|error| match spec::query_syntax(sql) {
            Some(fault) => wrong(sql, vec![fault]),
            None => wrong_by(sql, error),
        })
}

fn wrong(sql: &str, faults: Vec<SqlFault>) -> Error {
    let faults: Vec<_> = faults
        .into_iter()
        .map(|fault| (SqlOf::Query, fault))
        .collect();
    findings::error_of(&Texts::of_query(sql), &faults)
}

/// The findings that an error brings; the error itself where it brings none.
fn wrong_by(sql: &str, error: Error) -> Error {
    match faults_of(&error) {
        [] => error,
        faults => wrong(sql, faults.to_vec()),
    }
}
