//! Rows into a stage: files of the lake, or another system's.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use connectors::{BatchStream, Error, ErrorKind, KnownBy, Result, Write};
use futures::StreamExt;
use spec::model::{ConnectionName, LoadMode, OnSchemaChange, Reaction, StepName, TableRef, Target};
use spec::plan::{Change, PlannedLoad, PlannedStep};
use tokio::task::JoinSet;

use super::executor::{Attempt, Executor, sizes};
use super::merge::StagedMeeting;
use super::rows::Rows;
use crate::failpoint::{self, Point};
use crate::lake::{self, StageRequest, Staged, TableStage, WriteMode, WrittenFiles};
use crate::last_read::goes_on_from;
use crate::open::table_id;
use crate::progress::{Progress, ProgressEvent};

/// Rows of one target, written and not visible.
pub(super) struct StagedLoad {
    pub(super) step: StepName,
    pub(super) target: String,
    pub(super) rows: u64,
    pub(super) staging: Staging,
    pub(super) watermarks_of: Vec<StepName>,
}

/// Where staged rows wait.
pub(super) enum Staging {
    /// In data files that no snapshot names yet.
    Lake(Box<Staged>),
    /// The same, for rows that meet some that are there.
    Meeting(Box<StagedMeeting>),
    /// In another system, which remembers the run.
    Connection {
        connection: ConnectionName,
        write: Box<Write>,
        staged: Box<dyn connectors::Staged>,
    },
}

impl Executor<'_> {
    /// Stages the rows of a load.
    pub(super) async fn load(&mut self, step: &PlannedStep, load: &PlannedLoad) -> Result<()> {
        let Some(input) = step.inputs.first() else {
            self.kept(step, idle(&load.change));
            return Ok(());
        };
        if self.attempt.done.contains(&step.name) {
            return Ok(());
        }
        let rows = self.take(input)?;
        let staged = match &load.target {
            Target::Lake(table) => self.attempt.stage_in_lake(step, load, table, rows).await?,
            Target::Connection { connection, table } => {
                self.attempt
                    .stage_in_connection(step, load, connection, table, rows)
                    .await?
            }
        };
        self.attempt.progress.event(ProgressEvent::StepFinished {
            step: step.name.clone(),
            rows: staged.rows,
        });
        self.staged.push_back(staged);
        Ok(())
    }
}

/// Why a load leaves its table as it is.
pub(crate) const fn idle(change: &Change) -> &'static str {
    match change {
        Change::Ahead => "it has what the others get now",
        _ => "the table is there",
    }
}

impl Executor<'_> {
    /// Tells of a load that leaves its table as it is.
    fn kept(&self, step: &PlannedStep, why: &str) {
        let progress = &self.attempt.progress;
        progress.event(ProgressEvent::Note {
            text: format!("{}: unchanged: {why}", step.name),
        });
        let step = step.name.clone();
        progress.event(ProgressEvent::StepFinished { step, rows: 0 });
    }
}

impl Attempt<'_> {
    async fn stage_in_lake(
        &self,
        step: &PlannedStep,
        load: &PlannedLoad,
        table: &TableRef,
        rows: Rows,
    ) -> Result<StagedLoad> {
        let (mode, rows) = match &load.mode {
            LoadMode::Append => (
                WriteMode::Append,
                self.only_new(&step.name, table, rows, &load.renamed_from)
                    .await?,
            ),
            LoadMode::Replace => (WriteMode::Replace, rows),
            LoadMode::ReplacePartitions => (WriteMode::ReplacePartitions, rows),
            LoadMode::CreateOnly => (WriteMode::Create, rows),
            LoadMode::Merge(_) | LoadMode::AppendNew(_) | LoadMode::ReplaceWhere(_) => {
                return self.meet_in_lake(step, load, table, rows).await;
            }
        };
        let request = request_of(load, table, mode, &rows.schema());
        failpoint::before(Point::LoadStage).await?;
        let stage = Arc::new(self.engine.lake().await?.stage(request).await?);
        let streams = rows.into_streams(self.engine.parallel()).await?;
        let (files, written) = self.write_all(&stage, &step.name, streams).await?;
        let alone = Arc::into_inner(stage)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a writer outlived its stage"))?;
        let staged = alone.staged(files);
        failpoint::after(Point::LoadStage).await?;
        Ok(StagedLoad {
            step: step.name.clone(),
            target: table.to_string(),
            rows: written,
            staging: Staging::Lake(Box::new(staged)),
            watermarks_of: load.watermarks_of.clone(),
        })
    }

    /// Writes rows into files of a stage; how many they were.
    pub(super) async fn write_all(
        &self,
        stage: &Arc<TableStage>,
        step: &StepName,
        streams: Vec<BatchStream>,
    ) -> Result<(Vec<WrittenFiles>, u64)> {
        let mut writers = JoinSet::new();
        for mut stream in streams {
            let (stage, progress, name) =
                (Arc::clone(stage), Arc::clone(&self.progress), step.clone());
            writers.spawn(async move {
                let mut writer = stage.writer()?;
                let mut written = 0_u64;
                while let Some(batch) = stream.next().await {
                    let batch = batch?;
                    writer.write(&batch).await?;
                    written += tell(progress.as_ref(), &name, &batch);
                }
                Ok::<_, Error>((writer.finish().await?, written))
            });
        }
        let (mut files, mut written) = (Vec::new(), 0);
        while let Some(done) = writers.join_next().await {
            let (some, rows) = done.map_err(died)??;
            files.push(some);
            written += rows;
        }
        Ok((files, written))
    }

    async fn stage_in_connection(
        &self,
        step: &PlannedStep,
        load: &PlannedLoad,
        name: &ConnectionName,
        table: &str,
        rows: Rows,
    ) -> Result<StagedLoad> {
        let connection = self.engine.connection(name).await?;
        let sink = connection.sink().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "this connection cannot be written to",
            )
        })?;
        let remembered = sink.remembered(table).await?;
        let write = Write {
            known_by: self.known_by(step, load),
            stamp: Some(self.stamp(&step.name, &load.watermarks_of)),
            after: goes_on_from(self.plan, step, load, &remembered)?,
            fence: Some(self.fence.clone()),
            ..write_of(load, table, self.run, &step.name)?
        };
        let mut stage = sink.stage(&write, rows.schema()).await?;
        let streams = rows.into_streams(self.engine.parallel()).await?;
        let mut all: BatchStream = futures::stream::select_all(streams).boxed();
        let mut written = 0;
        while let Some(batch) = all.next().await {
            let batch = batch?;
            stage.write(&batch).await?;
            written += tell(self.progress.as_ref(), &step.name, &batch);
        }
        let staged = stage.finish().await?;
        Ok(StagedLoad {
            step: step.name.clone(),
            target: format!("{name}: {table}"),
            rows: written,
            staging: Staging::Connection {
                connection: name.clone(),
                write: Box::new(write),
                staged,
            },
            watermarks_of: load.watermarks_of.clone(),
        })
    }
}

impl Attempt<'_> {
    /// How the rows of an append that are read again at the edge of their window are known.
    fn known_by(&self, step: &PlannedStep, load: &PlannedLoad) -> Option<KnownBy> {
        let window = match load.mode {
            LoadMode::Append => self.window_above(&step.name)?,
            LoadMode::AppendNew(_)
            | LoadMode::Replace
            | LoadMode::ReplaceWhere(_)
            | LoadMode::ReplacePartitions
            | LoadMode::Merge(_)
            | LoadMode::CreateOnly => return None,
        };
        Some(KnownBy {
            key: window.edge.key()?.to_vec(),
            watermark: window.column.clone()?,
        })
    }
}

/// The write that a planned load asks the lake for.
pub(super) fn request_of(
    load: &PlannedLoad,
    table: &TableRef,
    mode: WriteMode,
    rows: &SchemaRef,
) -> StageRequest {
    StageRequest {
        partition_by: load.partition_by.clone(),
        sort_by: load.sort_by.clone(),
        properties: load.properties.clone(),
        target_file_bytes: load
            .target_file_bytes
            .unwrap_or(lake::DEFAULT_TARGET_FILE_BYTES),
        on_schema_change: reactions(load.on_schema_change),
        renamed_from: load.renamed_from.clone(),
        base_snapshot: load.base,
        ..StageRequest::new(table_id(table), mode, Arc::clone(rows))
    }
}

/// The write that a planned load asks another system for: by it the system knows whether it has taken it.
pub(super) fn write_of(
    load: &PlannedLoad,
    table: &str,
    run: &str,
    step: &StepName,
) -> Result<Write> {
    let mode = match &load.mode {
        LoadMode::Append => connectors::WriteMode::Append,
        LoadMode::Replace => connectors::WriteMode::Replace,
        LoadMode::Merge(merge) => connectors::WriteMode::Merge {
            key: merge.key.clone(),
        },
        LoadMode::AppendNew(_)
        | LoadMode::ReplaceWhere(_)
        | LoadMode::ReplacePartitions
        | LoadMode::CreateOnly => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "only tables of the lake can be loaded in this way",
            ));
        }
    };
    Ok(Write {
        options: load.options.clone(),
        // Two loads of one run may write to the same system.
        ..Write::new(table, mode, format!("{run}-{step}"))
    })
}

/// What may change, in the lake's words.
pub(crate) fn reactions(said: OnSchemaChange) -> lake::OnSchemaChange {
    let one = |reaction| match reaction {
        Reaction::Accept => lake::Reaction::Accept,
        Reaction::Reject => lake::Reaction::Reject,
        Reaction::Keep => lake::Reaction::Ignore,
    };
    lake::OnSchemaChange {
        add: one(said.add),
        widen: one(said.widen),
        narrow: one(said.narrow),
        drop: one(said.drop),
        relax: one(said.relax),
        reorder: one(said.reorder),
        partition: one(said.partition),
    }
}

pub(super) fn tell(progress: &dyn Progress, step: &StepName, batch: &RecordBatch) -> u64 {
    let (rows, bytes) = sizes(batch);
    progress.event(ProgressEvent::Wrote {
        step: step.clone(),
        rows,
        bytes,
    });
    rows
}

pub(super) fn died(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "a writer died").caused_by(error)
}
