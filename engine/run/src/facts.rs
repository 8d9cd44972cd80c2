//! Looks up what a plan needs to know of the world: sources' columns, new rows, tables that are there. Writes nothing.

mod columns;
mod loads;
mod of_table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use connectors::{CHANGE, Error, ErrorKind, Read, Result, Source, VERSION};
use datafusion::datasource::empty::EmptyTable;
use spec::graph::Graph;
use spec::model::{
    Check, Extract, ExtractMode, From, LoadMode, Pipeline, Splits, Step, StepKind, StepName,
    TableRef, Target, Transform,
};
use spec::plan::{ExtractFacts, Facts, PlannedExtract, TableFacts};
use spec::{SqlFault, SqlFaultKind, SqlOf, SqlPlace, Word};

use crate::engine::Engine;
use crate::findings;
use crate::lake::LakeTable;
use crate::last_read::{disagree, last_read};
use crate::open::table_id;
use crate::query::{RowCondition, Session, columns_of, duplicate, faults_of, no_condition};
use crate::watermark;

/// What a plan of this pipeline needs to know. What is wrong with its SQL, and with columns that it names, is told of all
/// steps at once.
pub(crate) async fn look_up(engine: &Engine, graph: &Graph, pipeline: &Pipeline) -> Result<Facts> {
    let mut survey = Survey {
        engine,
        pipeline,
        facts: Facts::default(),
        session: engine.session()?,
        schemas: BTreeMap::new(),
        faults: Vec::new(),
        unknown: BTreeSet::new(),
    };
    survey.made().await?;
    let kept = survey.facts.kept(pipeline);
    let idle = graph.only_feeding(pipeline, &kept);
    for name in graph.order(pipeline) {
        if idle.contains(&name) || survey.facts.ahead.contains(&name) {
            continue;
        }
        let Some(step) = pipeline.steps.iter().find(|step| step.name == name) else {
            continue;
        };
        let inputs = graph.inputs(&pipeline.id, &name);
        if inputs.iter().any(|input| survey.unknown.contains(input)) {
            // What only follows from another fault is not looked at.
            survey.unknown.insert(name);
            continue;
        }
        let looked_up = match &step.kind {
            StepKind::Extract(extract) => survey.extract(graph, step, extract).await,
            StepKind::Transform(transform) => survey.transform(step, transform).await,
            StepKind::Check(check) => survey.check(step, check).await,
            StepKind::Load(load) => survey.load(step, load).await,
        };
        match looked_up {
            Err(error) if survey.faults.is_empty() => return Err(survey.placed(step, error)),
            Err(_) => break,
            Ok(()) => {}
        }
    }
    if survey.faults.is_empty() {
        survey.goes_on()?;
        survey.published().await?;
        Ok(survey.facts)
    } else {
        Err(findings::error_of(engine.texts(), &survey.faults))
    }
}

/// The lookups of one plan, and what they have found so far.
struct Survey<'a> {
    engine: &'a Engine,
    pipeline: &'a Pipeline,
    facts: Facts,
    /// Steps are tables without rows here: enough to plan their readers.
    session: Session,
    schemas: BTreeMap<StepName, SchemaRef>,
    /// What is wrong with the SQL and the names of columns.
    faults: Vec<(SqlOf, SqlFault)>,
    /// Steps whose columns nobody can know, because of that.
    unknown: BTreeSet<StepName>,
}

impl Survey<'_> {
    /// Looks for the tables that loads only make.
    async fn made(&mut self) -> Result<()> {
        for step in &self.pipeline.steps {
            if let StepKind::Load(load) = &step.kind
                && let (LoadMode::CreateOnly, Target::Lake(table)) = (&load.mode, &load.target)
                && let Some(found) = self.engine.lake().await?.table(&table_id(table)).await?
            {
                let facts = table_facts(&found)?;
                self.facts.targets.insert(step.name.clone(), facts);
            }
        }
        Ok(())
    }

    /// Loads that wait for each other would wait for ever.
    fn goes_on(&self) -> Result<()> {
        let idle = self.facts.idle(self.pipeline);
        let steps = self.pipeline.steps.iter();
        let mut loads = steps.filter(|step| matches!(step.kind, StepKind::Load(_)));
        let mut ahead = self.facts.ahead.iter();
        match (ahead.next(), ahead.next()) {
            (Some(one), Some(other)) if loads.all(|load| idle.contains(&load.name)) => {
                Err(disagree(one, other))
            }
            _ => Ok(()),
        }
    }

    /// Asks whether the tables that are written can become visible in one step.
    async fn published(&mut self) -> Result<()> {
        let to_lake = |step: &&Step| match &step.kind {
            StepKind::Load(load) => matches!(load.target, Target::Lake(_)),
            StepKind::Check(check) => check.quarantine.is_some(),
            StepKind::Extract(_) | StepKind::Transform(_) => false,
        };
        let tables = self.pipeline.steps.iter().filter(to_lake).count();
        if tables > 1 && self.pipeline.publishes_together {
            let mut targets = self.facts.targets.values();
            // Where there is an audit, tables are made before.
            let makes_tables =
                !self.pipeline.audits && targets.any(|target| target.columns.is_none());
            let lake = self.engine.lake().await?;
            self.facts.publishes_together = lake.publishes_together(makes_tables).await?;
        }
        Ok(())
    }

    fn learn(&mut self, step: &StepName, schema: &SchemaRef) -> Result<()> {
        self.register(step, schema)?;
        self.schemas.insert(step.clone(), Arc::clone(schema));
        Ok(())
    }

    /// Makes columns known under the name of a step.
    fn register(&self, step: &StepName, schema: &SchemaRef) -> Result<()> {
        let empty = EmptyTable::new(Arc::clone(schema));
        self.session.register_step(step.as_str(), Arc::new(empty))
    }

    /// An error with the step that it came up in, and where that stands.
    fn placed(&self, step: &Step, error: Error) -> Error {
        let of = SqlOf::Step(self.pipeline.id.clone(), step.name.clone());
        let error = error.with("step", &step.name);
        match self.engine.texts().place(&of) {
            Some(place) => error.with("at", place),
            None => error,
        }
    }

    async fn extract(&mut self, graph: &Graph, step: &Step, extract: &Extract) -> Result<()> {
        let connection = self.engine.connection(&extract.connection).await?;
        let source = connection.source().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "this connection cannot be read from",
            )
        })?;
        let error = match self.source(graph, step, extract, source).await {
            Err(error) if !error.is_retryable() => error,
            done => return done,
        };
        let before = self.faults.len();
        self.names_of_source(step, extract, source).await;
        if self.faults.len() == before {
            return Err(error);
        }
        self.unknown.insert(step.name.clone());
        Ok(())
    }

    async fn source(
        &mut self,
        graph: &Graph,
        step: &Step,
        extract: &Extract,
        source: &dyn Source,
    ) -> Result<()> {
        let mut read = read_of(extract);
        let mut window = None;
        if let ExtractMode::Incremental(by) = &extract.mode {
            let last = last_read(self.engine, graph, self.pipeline, step).await?;
            read.window = Some(watermark::for_source(&watermark::window(by, None, None)?)?);
            let highest = source.highest(&read).await?;
            let from = last.from.as_ref();
            let planned = match &last.to {
                Some(to) => watermark::up_to(by, from, to, highest.as_ref())?,
                None => watermark::window(by, from, highest)?,
            };
            self.facts.ahead.extend(last.ahead);
            read.window = Some(watermark::for_source(&planned)?);
            window = Some(planned);
        }
        let scan = source.scan(&read).await?;
        let schema = scan.schema();
        if let ExtractMode::Incremental(by) = &extract.mode {
            let before = self.faults.len();
            self.named(step, Word::Watermark, by.column.as_slice(), &schema);
            self.named(step, Word::Key, &by.key, &schema);
            if self.faults.len() > before {
                self.unknown.insert(step.name.clone());
                return Ok(());
            }
        }
        self.facts.extracts.insert(
            step.name.clone(),
            ExtractFacts {
                columns: columns_of(&schema)?,
                window,
                how: scan.describe(),
            },
        );
        self.learn(&step.name, &schema)
    }

    /// Looks whether the source has what an extract names: where a read was refused, this may be why.
    async fn names_of_source(&mut self, step: &Step, extract: &Extract, source: &dyn Source) {
        let all = Read {
            columns: None,
            splits: connectors::SplitBy::default(),
            ..read_of(extract)
        };
        let Ok(scan) = source.scan(&all).await else {
            return;
        };
        let there = scan.schema();
        // Which columns tell of a change only a read of changes knows.
        let changes = matches!(&extract.mode, ExtractMode::Incremental(by) if by.changes);
        let columns = extract.columns.iter().cloned();
        let columns: Vec<String> = columns
            .filter(|name| !(changes && [CHANGE, VERSION].contains(&name.as_str())))
            .collect();
        self.named(step, Word::Columns, &columns, &there);
        self.named(step, Word::SplitsBy, extract.splits.by.as_slice(), &there);
        if let ExtractMode::Incremental(by) = &extract.mode
            && !changes
        {
            self.named(step, Word::Watermark, by.column.as_slice(), &there);
            self.named(step, Word::Key, &by.key, &there);
        }
    }

    async fn transform(&mut self, step: &Step, transform: &Transform) -> Result<()> {
        for table in &transform.tables {
            let snapshot = self.lake_table(table).await?;
            self.facts.snapshots.insert(table.clone(), snapshot);
        }
        let answer = self.session.columns_of_query(&transform.sql).await;
        let schema = match answer.map_err(of_sql) {
            Ok(schema) => schema,
            Err(faults) => {
                self.note_transform(step, faults?);
                return Ok(());
            }
        };
        if let Some(twice) = twice(&schema) {
            let twice = duplicate(twice);
            self.note_transform(step, vec![twice]);
            return Ok(());
        }
        self.facts
            .transforms
            .insert(step.name.clone(), columns_of(&schema)?);
        self.learn(&step.name, &schema)
    }

    fn note(&mut self, of: &SqlOf, faults: Vec<SqlFault>) {
        let faults = faults.into_iter().map(|fault| (of.clone(), fault));
        self.faults.extend(faults);
    }

    /// Notes what is wrong with a transform; what it returns is unknown from there on.
    fn note_transform(&mut self, step: &Step, faults: Vec<SqlFault>) {
        let of = SqlOf::Transform(self.pipeline.id.clone(), step.name.clone());
        self.note(&of, faults);
        self.unknown.insert(step.name.clone());
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
        let checked = self.rows_name(&check.on).clone();
        for rule in &check.rules {
            let about = |error: Error| error.with("rule", &rule.name);
            let faults = self.condition(&rule.expect, &checked).await;
            let mut faults = faults.map_err(about)?;
            if faults.is_empty() && !rule.aggregate {
                let planned = RowCondition::plan(&self.session, &rule.expect, &schema);
                faults = of_condition(planned).map_err(about)?;
            }
            let (pipeline, step) = (self.pipeline.id.clone(), step.name.clone());
            let of = SqlOf::Rule(pipeline, step, rule.name.clone());
            self.note(&of, faults);
        }
        self.schemas.insert(step.name.clone(), schema);
        Ok(())
    }

    /// What is wrong with a condition: it is planned as a query of one column that is true or false.
    async fn condition(&self, expect: &str, checked: &StepName) -> Result<Vec<SqlFault>> {
        // On lines of its own it may end in a comment, and places in it are one line off.
        let sql = format!("SELECT (\n{expect}\n) AS expected FROM \"{checked}\"");
        let schema = match self.session.columns_of_query(&sql).await.map_err(of_sql) {
            Ok(schema) => schema,
            Err(faults) => return Ok(faults?.into_iter().map(one_line_up).collect()),
        };
        let field = schema.fields().first().map(|field| field.data_type());
        let wrong = field.filter(|r#type| **r#type != DataType::Boolean);
        Ok(wrong
            .map(|r#type| no_condition(&r#type.to_string()))
            .into_iter()
            .collect())
    }

    /// The name under which the rows of a step are known: of a check, that of the step it is about.
    fn rows_name<'c>(&'c self, mut on: &'c StepName) -> &'c StepName {
        while let Some(step) = self.pipeline.steps.iter().find(|step| step.name == *on)
            && let StepKind::Check(below) = &step.kind
        {
            on = &below.on;
        }
        on
    }
}

/// What a plan needs to know of a table that is there.
fn table_facts(table: &LakeTable) -> Result<TableFacts> {
    Ok(TableFacts {
        columns: Some(columns_of(&table.arrow_schema())?),
        snapshot: table.snapshot_id(),
        ..TableFacts::default()
    })
}

/// What an error says is wrong with SQL; the error itself where it is about something else.
fn of_sql(error: Error) -> Result<Vec<SqlFault>> {
    match faults_of(&error) {
        [] => Err(error),
        faults => Ok(faults.to_vec()),
    }
}

/// What is wrong with a condition that goes with the columns and cannot be held against rows one by one.
fn of_condition<T>(planned: Result<T>) -> Result<Vec<SqlFault>> {
    let error = match planned {
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::InvalidInput => error,
        Err(error) => return Err(error),
    };
    // A place in them would be one of another text than the specs have.
    let faults = faults_of(&error).iter().cloned();
    let faults: Vec<SqlFault> = faults
        .map(|fault| SqlFault {
            place: None,
            ..fault
        })
        .collect();
    if !faults.is_empty() {
        return Ok(faults);
    }
    Ok(vec![SqlFault {
        help: error.help_text().map(str::to_owned),
        ..SqlFault::new(SqlFaultKind::Meaning, error.message())
    }])
}

fn one_line_up(fault: SqlFault) -> SqlFault {
    let place = fault.place.and_then(|place| {
        let line = place.line.checked_sub(1).filter(|line| *line > 0)?;
        Some(SqlPlace { line, ..place })
    });
    SqlFault { place, ..fault }
}

/// A name that two columns have.
fn twice(schema: &SchemaRef) -> Option<&str> {
    let mut seen = BTreeSet::new();
    let mut names = schema.fields().iter().map(|field| field.name().as_str());
    names.find(|name| !seen.insert(*name))
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
