//! Looks up what a plan needs to know of the world: sources' columns, new rows, tables that are there. Writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use connectors::{Error, ErrorKind, Read, Result};
use datafusion::datasource::empty::EmptyTable;
use spec::graph::Graph;
use spec::model::{
    Check, Extract, ExtractMode, From, Load, Pipeline, Splits, Step, StepKind, StepName, TableRef,
    Target, Transform,
};
use spec::plan::{ExtractFacts, Facts, PlannedExtract, PlannedWindow, TableFacts};

use crate::engine::Engine;
use crate::lake::check_layout;
use crate::last_read::last_read;
use crate::open::table_id;
use crate::query::{RowCondition, Session, columns_of, not_a_condition};
use crate::watermark;

/// What a plan of this pipeline needs to know.
pub(crate) async fn look_up(engine: &Engine, graph: &Graph, pipeline: &Pipeline) -> Result<Facts> {
    let mut survey = Survey {
        engine,
        pipeline,
        facts: Facts::default(),
        session: engine.session()?,
        schemas: BTreeMap::new(),
    };
    for name in graph.order(pipeline) {
        let Some(step) = pipeline.steps.iter().find(|step| step.name == name) else {
            continue;
        };
        let looked_up = match &step.kind {
            StepKind::Extract(extract) => survey.extract(graph, step, extract).await,
            StepKind::Transform(transform) => survey.transform(step, transform).await,
            StepKind::Check(check) => survey.check(step, check).await,
            StepKind::Load(load) => survey.load(step, load).await,
        };
        looked_up.map_err(|error| error.with("step", &step.name))?;
    }
    Ok(survey.facts)
}

/// The lookups of one plan, and what they have found so far.
struct Survey<'a> {
    engine: &'a Engine,
    pipeline: &'a Pipeline,
    facts: Facts,
    /// Steps are tables without rows here: enough to plan their readers.
    session: Session,
    schemas: BTreeMap<StepName, SchemaRef>,
}

impl Survey<'_> {
    fn learn(&mut self, step: &StepName, schema: &SchemaRef) -> Result<()> {
        self.session
            .register_step(step.as_str(), Arc::new(EmptyTable::new(Arc::clone(schema))))?;
        self.schemas.insert(step.clone(), Arc::clone(schema));
        Ok(())
    }

    async fn extract(&mut self, graph: &Graph, step: &Step, extract: &Extract) -> Result<()> {
        let connection = self.engine.connection(&extract.connection).await?;
        let source = connection.source().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "this connection cannot be read from",
            )
        })?;
        let mut read = read_of(extract);
        let mut window = None;
        if let ExtractMode::Incremental(by) = &extract.mode {
            let last = last_read(self.engine, graph, self.pipeline, step).await?;
            read.window = Some(watermark::for_source(&watermark::window(by, None, None)?)?);
            let until = source.highest(&read).await?;
            let planned = watermark::window(by, last.as_ref(), until)?;
            read.window = Some(watermark::for_source(&planned)?);
            window = Some(planned);
        }
        let scan = source.scan(&read).await?;
        let schema = scan.schema();
        let columns = columns_of(&schema)?;
        if let Some(window) = &window {
            require_columns(window, &schema)?;
        }
        self.facts.extracts.insert(
            step.name.clone(),
            ExtractFacts {
                columns,
                window,
                how: scan.describe(),
            },
        );
        self.learn(&step.name, &schema)
    }

    async fn transform(&mut self, step: &Step, transform: &Transform) -> Result<()> {
        for table in &transform.tables {
            let snapshot = self.lake_table(table).await?;
            self.facts.snapshots.insert(table.clone(), snapshot);
        }
        let frame = self.session.query(&transform.sql).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        self.facts
            .transforms
            .insert(step.name.clone(), columns_of(&schema)?);
        self.learn(&step.name, &schema)
    }

    async fn lake_table(&self, table: &TableRef) -> Result<Option<i64>> {
        let found = self.engine.lake().await?.table(&table_id(table)).await?;
        let found = found.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("the lake has no table `{table}` yet"),
            )
            .help("run the pipeline that loads it first")
        })?;
        self.session
            .register_lake_table(&table.namespace, &table.name, found.provider())?;
        Ok(found.snapshot_id())
    }

    /// Conditions are planned here so that a run never starts with one that cannot be.
    async fn check(&mut self, step: &Step, check: &Check) -> Result<()> {
        let Some(schema) = self.schemas.get(&check.on).cloned() else {
            return Ok(());
        };
        let checked = self.checked(check);
        for rule in &check.rules {
            let planned = if rule.aggregate {
                self.about_all(&rule.expect, checked).await
            } else {
                RowCondition::plan(&self.session, &rule.expect, &schema).map(drop)
            };
            planned.map_err(|error| error.with("rule", &rule.name))?;
        }
        self.schemas.insert(step.name.clone(), schema);
        Ok(())
    }

    /// A condition about all rows is a query of one column that is true or false.
    async fn about_all(&self, expect: &str, checked: &StepName) -> Result<()> {
        let sql = format!("SELECT ({expect}) AS expected FROM \"{checked}\"");
        let frame = self.session.query(&sql).await?;
        match frame.schema().as_arrow().fields().first() {
            Some(field) if *field.data_type() != DataType::Boolean => {
                Err(not_a_condition(field.data_type()))
            }
            _ => Ok(()),
        }
    }

    /// The step that a check is about, through the checks in between: the name under which its rows are known.
    fn checked<'c>(&'c self, check: &'c Check) -> &'c StepName {
        let mut on = &check.on;
        while let Some(step) = self.pipeline.steps.iter().find(|step| step.name == *on)
            && let StepKind::Check(below) = &step.kind
        {
            on = &below.on;
        }
        on
    }

    async fn load(&mut self, step: &Step, load: &Load) -> Result<()> {
        if let (Target::Lake(_), Some(rows)) = (&load.target, self.schemas.get(&load.from)) {
            check_layout(rows, &load.partition_by, &load.sort_by)?;
        }
        let facts = match &load.target {
            Target::Lake(table) => match self.engine.lake().await?.table(&table_id(table)).await? {
                Some(found) => TableFacts {
                    columns: Some(columns_of(&found.arrow_schema())?),
                    snapshot: found.snapshot_id(),
                },
                None => TableFacts::default(),
            },
            Target::Connection { connection, table } => {
                let connection = self.engine.connection(connection).await?;
                let sink = connection.sink().ok_or_else(|| {
                    Error::new(
                        ErrorKind::Unsupported,
                        "this connection cannot be written to",
                    )
                })?;
                let schema = sink.table(table).await?;
                let columns = schema.map(|schema| columns_of(&schema)).transpose()?;
                TableFacts {
                    columns,
                    snapshot: None,
                }
            }
        };
        self.facts.targets.insert(step.name.clone(), facts);
        Ok(())
    }
}

/// A full read of what an extract names.
fn read_of(extract: &Extract) -> Read {
    read_from(
        &extract.from,
        &extract.columns,
        &extract.splits,
        &extract.options,
    )
}

fn read_from(
    from: &From,
    columns: &[String],
    splits: &Splits,
    options: &serde_json::Value,
) -> Read {
    Read {
        from: match from {
            From::Table(table) => connectors::From::Table(table.clone()),
            From::Query(query) => connectors::From::Query(query.clone()),
        },
        columns: (!columns.is_empty()).then(|| columns.to_vec()),
        predicate: None,
        limit: None,
        window: None,
        splits: connectors::SplitBy {
            column: splits.by.clone(),
            target_rows: splits.target_rows,
        },
        options: options.clone(),
    }
}

/// A full read of what a planned extract names.
pub(crate) fn read_of_planned(extract: &PlannedExtract) -> Read {
    read_from(
        &extract.from,
        &extract.projection,
        &extract.splits,
        &extract.options,
    )
}

/// The watermark and key columns must be among those that are read.
fn require_columns(window: &PlannedWindow, schema: &SchemaRef) -> Result<()> {
    for column in window
        .column
        .iter()
        .chain(window.edge.key().unwrap_or_default())
    {
        if schema.field_with_name(column).is_err() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the extract has no column `{column}`"),
            )
            .help("the watermark and the columns of `key` must be among `columns`"));
        }
    }
    Ok(())
}
