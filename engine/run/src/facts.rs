//! Looks up what a plan needs to know of the world: sources' columns, new rows, tables that are there. Writes nothing.

mod known;
mod of_table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use connectors::{Error, ErrorKind, Read, Result};
use datafusion::datasource::empty::EmptyTable;
use spec::graph::Graph;
use spec::model::{
    Check, Deletes, Extract, ExtractMode, From, IS_CURRENT, Load, LoadMode, Merge, Pipeline,
    Splits, Step, StepKind, StepName, TableRef, Target, Transform, VALID_FROM, VALID_TO,
};
use spec::plan::{ExtractFacts, Facts, Layout, PlannedExtract, PlannedWindow, TableFacts};
use spec::{SqlFault, SqlOf, SqlPlace};

use self::known::{require_dedupe_columns, require_known};
use crate::engine::Engine;
use crate::execute::{reactions, written};
use crate::findings;
use crate::lake::{LakeTable, StageRequest, WriteMode, check_layout};
use crate::last_read::last_read;
use crate::open::table_id;
use crate::query::{RowCondition, Session, columns_of, duplicate, faults_of, no_condition};
use crate::watermark;

/// How the names of columns begin that a merge adds to rows on their way.
const RESERVED: &str = "__lakewright_";

/// What a plan of this pipeline needs to know. What is wrong with its SQL is told of all steps at once.
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
        if idle.contains(&name) {
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
            Err(error) if survey.faults.is_empty() => return Err(error.with("step", &step.name)),
            Err(_) => break,
            Ok(()) => {}
        }
    }
    if survey.faults.is_empty() {
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
    /// What is wrong with the SQL.
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
        self.know(step, schema)?;
        self.schemas.insert(step.clone(), Arc::clone(schema));
        Ok(())
    }

    /// Makes columns known to SQL under the name of a step.
    fn know(&self, step: &StepName, schema: &SchemaRef) -> Result<()> {
        let table = EmptyTable::new(Arc::clone(schema));
        self.session.register_step(step.as_str(), Arc::new(table))
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

    /// Notes what is wrong with a transform; what it returns is unknown from there on.
    fn note_transform(&mut self, step: &Step, faults: Vec<SqlFault>) {
        let of = SqlOf::Transform(self.pipeline.id.clone(), step.name.clone());
        let faults = faults.into_iter().map(|fault| (of.clone(), fault));
        self.faults.extend(faults);
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
            let faults = self.condition(&rule.expect, &checked).await;
            let faults = faults.map_err(|error| error.with("rule", &rule.name))?;
            if faults.is_empty() && !rule.aggregate {
                RowCondition::plan(&self.session, &rule.expect, &schema)
                    .map_err(|error| error.with("rule", &rule.name))?;
            }
            let (pipeline, step) = (self.pipeline.id.clone(), step.name.clone());
            let of = SqlOf::Rule(pipeline, step, rule.name.clone());
            let faults = faults.into_iter().map(|fault| (of.clone(), fault));
            self.faults.extend(faults);
        }
        self.schemas.insert(step.name.clone(), schema);
        Ok(())
    }

    /// A merge names columns that the rows have, and its condition goes with them.
    async fn merge(
        &mut self,
        step: &Step,
        load: &Load,
        merge: &Merge,
        rows: &SchemaRef,
    ) -> Result<()> {
        require_merge_columns(merge, rows)?;
        if let Deletes::Flagged { when, .. } = &merge.deletes {
            let from = self.rows_name(&load.from);
            let faults = self.condition(when, from).await?;
            if faults.is_empty() {
                RowCondition::plan(&self.session, when, rows)?;
            }
            let of = SqlOf::Deletes(self.pipeline.id.clone(), step.name.clone());
            let faults = faults.into_iter().map(|fault| (of.clone(), fault));
            self.faults.extend(faults);
        }
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

    async fn load(&mut self, step: &Step, load: &Load) -> Result<()> {
        let rows = self.schemas.get(&load.from).cloned();
        if let (LoadMode::Merge(merge), Some(rows)) = (&load.mode, &rows) {
            self.merge(step, load, merge, rows).await?;
        }
        if let (LoadMode::AppendNew(dedupe), Some(rows)) = (&load.mode, &rows) {
            require_dedupe_columns(dedupe, rows)?;
        }
        if let (Target::Lake(table), Some(rows)) = (&load.target, &rows) {
            let (cut, order) = (&load.partition_by, &load.sort_by);
            check_layout(rows, cut, order, &load.renamed_from)
                .map_err(|error| error.with("table", table))?;
        }
        let facts = match &load.target {
            Target::Lake(table) => {
                let found = self.engine.lake().await?.table(&table_id(table)).await?;
                if let (LoadMode::ReplaceWhere(condition), Some(rows)) = (&load.mode, &rows) {
                    self.part(step, condition, rows, found.as_ref()).await?;
                }
                if let Some(rows) = rows.as_ref().filter(|_| !load.audit.is_empty()) {
                    self.audit(step, load, rows, found.as_ref()).await?;
                }
                match found {
                    Some(found) => lake_facts(load, &found, rows.as_ref())?,
                    None => TableFacts::default(),
                }
            }
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
                    ..TableFacts::default()
                }
            }
        };
        self.facts.targets.insert(step.name.clone(), facts);
        Ok(())
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

/// What a load finds in the lake. What it could not do to the table is an error; what it may not do, the plan tells.
fn lake_facts(load: &Load, found: &LakeTable, rows: Option<&SchemaRef>) -> Result<TableFacts> {
    let mut facts = table_facts(found)?;
    let Some(rows) = rows else {
        return Ok(facts);
    };
    let written = match &load.mode {
        LoadMode::Merge(merge) => {
            require_key(&merge.key, &found.renamed(rows, &load.renamed_from)?)?;
            written(merge, rows)?
        }
        LoadMode::AppendNew(dedupe) => {
            require_known(dedupe, &found.renamed(rows, &load.renamed_from)?)?;
            Arc::clone(rows)
        }
        _ => Arc::clone(rows),
    };
    let changes = found.relayout(&StageRequest {
        partition_by: load.partition_by.clone(),
        sort_by: load.sort_by.clone(),
        on_schema_change: reactions(load.on_schema_change),
        renamed_from: load.renamed_from.clone(),
        ..StageRequest::new(found.id().clone(), WriteMode::Append, written)
    })?;
    let to = |from, to: &Vec<String>| Layout {
        from,
        to: to.clone(),
    };
    facts.partitions = changes
        .partitions
        .then(|| to(found.partitioning(), &load.partition_by));
    facts.order = changes.order.then(|| to(found.sorting(), &load.sort_by));
    Ok(facts)
}

/// Rows of a table that lacks a column of the key could never be found again.
fn require_key(key: &[String], table: &LakeTable) -> Result<()> {
    let columns = table.arrow_schema();
    let missing = key.iter().find(|key| columns.field_with_name(key).is_err());
    let Some(missing) = missing.filter(|_| table.snapshot_id().is_some()) else {
        return Ok(());
    };
    let fields = columns.fields().iter();
    let alike = fields
        .map(|field| field.name())
        .find(|name| name.eq_ignore_ascii_case(missing));
    let help = match alike {
        Some(alike) => format!("it has `{alike}`: names are taken as they are written"),
        None => "name columns that it has, or write it once with `mode: replace`".to_owned(),
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("the table has no column `{missing}`, which is part of the key"),
    )
    .with("table", table.id())
    .help(help))
}

/// The columns that a merge names must be among those that are read.
fn require_merge_columns(merge: &Merge, rows: &SchemaRef) -> Result<()> {
    let named = [
        ("key", merge.key.as_slice()),
        ("latest_by", merge.latest_by.as_slice()),
        ("without", merge.deletes.without()),
    ];
    require_named(&named, rows)?;
    require_free_names(rows)?;
    require_exact(&merge.key, rows)?;
    let told = [VALID_FROM, VALID_TO, IS_CURRENT];
    let own = told.iter().find(|name| rows.field_with_name(name).is_ok());
    if let Some(name) = own.filter(|_| merge.history) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the rows have a column `{name}`, which `history` writes itself"),
        )
        .help("give it another name in a transform before"));
    }
    Ok(())
}

/// Columns that a spec names under these words must be there.
fn require_named(named: &[(&str, &[String])], rows: &SchemaRef) -> Result<()> {
    for (word, columns) in named {
        for column in *columns {
            if rows.field_with_name(column).is_err() {
                let there = rows.fields().iter().map(|field| field.name().as_str());
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("`{word}` names column `{column}`, which the rows do not have"),
                )
                .help(format!(
                    "they have `{}`",
                    there.collect::<Vec<_>>().join("`, `")
                )));
            }
        }
    }
    Ok(())
}

/// The names that merges give to columns of their own must be free.
fn require_free_names(rows: &SchemaRef) -> Result<()> {
    if let Some(field) = rows
        .fields()
        .iter()
        .find(|f| f.name().starts_with(RESERVED))
    {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "column `{}` has a name that merges use themselves",
                field.name()
            ),
        )
        .help("give it another name in a transform before"));
    }
    Ok(())
}

/// A key must be the same each time.
fn require_exact(key: &[String], rows: &SchemaRef) -> Result<()> {
    for column in key {
        if rows.field_with_name(column)?.data_type().is_floating() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("column `{column}` of the key is floating point: a row could not surely be found again"),
            )
            .help("cast it in a transform before: `CAST(… AS DECIMAL(18, 6))`"));
        }
    }
    Ok(())
}

/// What an error says is wrong with SQL; the error itself where it is about something else.
fn of_sql(error: Error) -> Result<Vec<SqlFault>> {
    match faults_of(&error) {
        [] => Err(error),
        faults => Ok(faults.to_vec()),
    }
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
