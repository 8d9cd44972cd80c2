//! Rows that were set aside: a table beside the load's, with the rule that each row failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use connectors::{Error, ErrorKind, Result};
use futures::StreamExt;
use spec::model::{OnSchemaChange, Otherwise, StepName, TableRef};
use spec::plan::{PlannedCheck, PlannedStep};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::executor::Attempt;
use super::load::{StagedLoad, Staging, reactions};
use super::rows::Rows;
use crate::lake::{DEFAULT_TARGET_FILE_BYTES, StageRequest, Staged, WriteMode};
use crate::open::table_id;

/// The column that names the rule.
const RULE: &str = "_rule";
/// The column that names the run.
const RUN: &str = "_run";
/// Batches of rejected rows that may wait for the writer.
const WAITING_BATCHES: usize = 4;

/// Rows that failed a rule.
pub(super) struct Rejected {
    /// The rule.
    pub(super) rule: String,
    /// The rows.
    pub(super) rows: RecordBatch,
}

/// The writer of rows that were set aside.
pub(super) struct Quarantine {
    step: StepName,
    table: TableRef,
    sender: Option<mpsc::Sender<Rejected>>,
    writer: JoinSet<Result<(Staged, u64)>>,
}

impl Quarantine {
    /// Opens a stage beside the load's table, where a rule needs one.
    pub(super) async fn open(
        attempt: &Attempt<'_>,
        step: &PlannedStep,
        check: &PlannedCheck,
        rows: &SchemaRef,
    ) -> Result<Option<Self>> {
        let needed = check
            .rules
            .iter()
            .any(|rule| rule.otherwise == Otherwise::Quarantine);
        let (true, Some(table)) = (needed, &check.quarantine) else {
            return Ok(None);
        };
        let schema = with_reason(rows)?;
        let lake = attempt.engine.lake().await?;
        let request = StageRequest {
            table: table_id(table),
            mode: WriteMode::Append,
            schema: Arc::clone(&schema),
            partition_by: Vec::new(),
            sort_by: Vec::new(),
            properties: BTreeMap::new(),
            target_file_bytes: DEFAULT_TARGET_FILE_BYTES,
            on_schema_change: reactions(OnSchemaChange::default()),
            renamed_from: BTreeMap::new(),
            base_snapshot: None,
        };
        let stage = lake.stage(request).await?;
        let (sender, mut receiver) = mpsc::channel::<Rejected>(WAITING_BATCHES);
        let (run, columns) = (attempt.run.to_owned(), Arc::clone(&schema));
        let reasoned = futures::stream::poll_fn(move |context| receiver.poll_recv(context))
            .map(move |rejected| reasoned(&columns, &rejected, &run));
        let rejects = Rows::Streams {
            schema,
            streams: vec![reasoned.boxed()],
        };
        // A row that is read again at the edge of a window is set aside once.
        let rejects = attempt
            .only_new(&step.name, table, rejects, &BTreeMap::new())
            .await?;
        let streams = rejects.into_streams(1).await?;
        let mut rejects = futures::stream::select_all(streams);
        let mut writer = JoinSet::new();
        writer.spawn(async move {
            let mut open = stage.writer()?;
            let mut count = 0_u64;
            while let Some(batch) = rejects.next().await {
                let batch = batch?;
                count += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
                open.write(&batch).await?;
            }
            let files = open.finish().await?;
            Ok((stage.staged(vec![files]), count))
        });
        Ok(Some(Self {
            step: step.name.clone(),
            table: table.clone(),
            sender: Some(sender),
            writer,
        }))
    }

    /// Where rejected rows go. The writer ends when the last of these is dropped.
    pub(super) fn sender(&self) -> Option<mpsc::Sender<Rejected>> {
        self.sender.clone()
    }

    /// Waits for the last row; what was staged, if there was any.
    pub(super) async fn finish(mut self) -> Result<Option<StagedLoad>> {
        self.sender = None;
        let Some(done) = self.writer.join_next().await else {
            return Ok(None);
        };
        let died = |error| {
            Error::new(ErrorKind::Internal, "the writer of quarantined rows died").caused_by(error)
        };
        let (staged, rows) = done.map_err(died)??;
        let staging = Staging::Lake(Box::new(staged));
        let load = StagedLoad {
            step: self.step,
            target: self.table.to_string(),
            rows,
            staging,
            watermarks_of: Vec::new(),
        };
        Ok((rows > 0).then_some(load))
    }
}

fn with_reason(rows: &SchemaRef) -> Result<SchemaRef> {
    let mut fields: Vec<Arc<Field>> = Vec::new();
    for field in rows.fields() {
        if field.name() == RULE || field.name() == RUN {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("rows to quarantine have a column `{}`", field.name()),
            )
            .help("that name is taken by the quarantine table: call it something else"));
        }
        // A row may be here because it is NULL where it must not be.
        fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
    }
    fields.push(Arc::new(Field::new(RULE, DataType::Utf8, false)));
    fields.push(Arc::new(Field::new(RUN, DataType::Utf8, false)));
    Ok(Arc::new(Schema::new(fields)))
}

fn reasoned(schema: &SchemaRef, rejected: &Rejected, run: &str) -> Result<RecordBatch> {
    let repeat =
        |text: &str| Arc::new(StringArray::from(vec![text; rejected.rows.num_rows()])) as ArrayRef;
    let mut columns = rejected.rows.columns().to_vec();
    columns.push(repeat(&rejected.rule));
    columns.push(repeat(run));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
