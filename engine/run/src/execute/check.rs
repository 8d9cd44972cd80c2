//! Rules held against rows while they pass by.
//!
//! Row rules are conditions evaluated on each batch; rules about all rows together are one aggregate query that reads
//! copies of the batches that passed. Nothing is read twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{and, filter_record_batch, not};
use arrow::datatypes::SchemaRef;
use connectors::{BatchStream, Error, ErrorKind, Result};
use datafusion::common::ScalarValue;
use futures::{StreamExt, TryStreamExt};
use spec::model::{Otherwise, Rule, StepName};
use spec::plan::{PlannedCheck, PlannedStep};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::PollSender;

use super::executor::{Executor, sizes};
use super::load::StagedLoad;
use super::quarantine::{Quarantine, Rejected};
use super::rows::Rows;
use crate::progress::{Progress, ProgressEvent};
use crate::query::{RowCondition, Session, from_datafusion, not_a_condition, stream_table};

/// Batches that may wait between the rows and the query about all of them.
const WAITING_BATCHES: usize = 2;

impl Executor<'_> {
    /// Puts a check between a step and its readers.
    pub(super) async fn check(&mut self, step: &PlannedStep, check: &PlannedCheck) -> Result<()> {
        let Some(input) = step.inputs.first() else {
            return Ok(());
        };
        let rows = self.take(input)?;
        let schema = rows.schema();
        let mut conditions = Vec::new();
        for (at, rule) in check
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| !rule.aggregate)
        {
            conditions.push((
                at,
                RowCondition::plan(&self.attempt.session, &rule.expect, &schema)?,
            ));
        }
        let quarantine = Quarantine::open(&self.attempt, step, check, &schema).await?;
        let mut verdict = Verdict::new(step.name.clone(), check.rules.clone(), quarantine);
        let passed = Arc::new(AtomicU64::new(0));
        self.counts.push((step.name.clone(), Arc::clone(&passed)));
        let held = Arc::new(Held {
            step: step.name.clone(),
            passed,
            rules: check.rules.clone(),
            conditions,
            failed: Arc::clone(&verdict.failed),
            rejects: verdict.rejects(),
        });
        let mut streams = Vec::new();
        let mut copies = Vec::new();
        let aggregates = check.rules.iter().any(|rule| rule.aggregate);
        for stream in rows.into_streams(self.attempt.engine.parallel()).await? {
            let held = Arc::clone(&held);
            let passed = stream.and_then(move |batch| {
                let held = Arc::clone(&held);
                async move { held.pass(batch).await }
            });
            streams.push(if aggregates {
                let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
                copies.push(receiver_stream(receiver));
                copied(passed.boxed(), sender)
            } else {
                passed.boxed()
            });
        }
        if aggregates {
            let session = self.attempt.engine.session()?;
            let name = self.attempt.checked(&step.name);
            verdict.about_all(session, &name, &schema, copies);
        }
        self.verdicts.push(verdict);
        self.offer(step, Rows::Streams { schema, streams }).await
    }
}

/// Row rules, ready to be held against batches.
struct Held {
    step: StepName,
    passed: Arc<AtomicU64>,
    rules: Vec<Rule>,
    conditions: Vec<(usize, RowCondition)>,
    failed: Arc<Vec<AtomicU64>>,
    rejects: Option<mpsc::Sender<Rejected>>,
}

impl Held {
    /// The rows of a batch that go on.
    async fn pass(&self, mut batch: RecordBatch) -> Result<RecordBatch> {
        let mut keep: Option<BooleanArray> = None;
        for (at, condition) in &self.conditions {
            let Some(rule) = self.rules.get(*at) else {
                continue;
            };
            let passes = condition.passes(&batch)?;
            let failed = passes.len() - passes.true_count();
            if failed == 0 {
                continue;
            }
            if let Some(count) = self.failed.get(*at) {
                count.fetch_add(u64::try_from(failed).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            match rule.otherwise {
                Otherwise::Warn => {}
                Otherwise::Fail => {
                    return Err(
                        failed_rule(&self.step, rule).with("rows", format!("{failed} or more"))
                    );
                }
                Otherwise::Drop => keep = Some(both(keep, passes)?),
                Otherwise::Quarantine => {
                    // A row goes aside once, for the first rule that it fails.
                    let fails = not(&passes)?;
                    let aside = match &keep {
                        Some(keep) => and(keep, &fails)?,
                        None => fails,
                    };
                    if let Some(rejects) = &self.rejects {
                        let rows = filter_record_batch(&batch, &aside)?;
                        let rejected = Rejected {
                            rule: rule.name.clone(),
                            rows,
                        };
                        rejects.send(rejected).await.map_err(|_| stopped())?;
                    }
                    keep = Some(both(keep, passes)?);
                }
            }
        }
        if let Some(keep) = keep {
            batch = filter_record_batch(&batch, &keep)?;
        }
        self.passed.fetch_add(sizes(&batch).0, Ordering::Relaxed);
        Ok(batch)
    }
}

fn both(keep: Option<BooleanArray>, passes: BooleanArray) -> Result<BooleanArray> {
    Ok(match keep {
        Some(keep) => and(&keep, &passes)?,
        None => passes,
    })
}

fn stopped() -> Error {
    Error::new(
        ErrorKind::Internal,
        "whoever reads copies of the rows has stopped",
    )
}

fn failed_rule(step: &StepName, rule: &Rule) -> Error {
    Error::new(
        ErrorKind::CheckFailed,
        format!("rule `{}` of check `{step}` does not hold", rule.name),
    )
    .with("expected", &rule.expect)
    .help("nothing was committed; look at the source's rows, or change what `otherwise` says")
}

fn receiver_stream(mut receiver: mpsc::Receiver<RecordBatch>) -> BatchStream {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context).map(|batch| batch.map(Ok)))
        .boxed()
}

/// The same batches, each copied (no more than a reference) to whoever asks about all of them.
fn copied(stream: BatchStream, sender: mpsc::Sender<RecordBatch>) -> BatchStream {
    let sender = PollSender::new(sender);
    stream
        .and_then(move |batch| {
            let mut sender = sender.clone();
            async move {
                // A query that has its answer stops reading; the rows go on.
                if futures::future::poll_fn(|context| sender.poll_reserve(context))
                    .await
                    .is_ok()
                {
                    let _ = sender.send_item(batch.clone());
                }
                Ok(batch)
            }
        })
        .boxed()
}

/// What a check has found, complete when the last row has passed.
pub(super) struct Verdict {
    step: StepName,
    rules: Vec<Rule>,
    failed: Arc<Vec<AtomicU64>>,
    about_all: JoinSet<Result<Vec<Option<bool>>>>,
    quarantine: Option<Quarantine>,
}

impl Verdict {
    fn new(step: StepName, rules: Vec<Rule>, quarantine: Option<Quarantine>) -> Self {
        let failed = Arc::new(rules.iter().map(|_| AtomicU64::new(0)).collect());
        Self {
            step,
            rules,
            failed,
            about_all: JoinSet::new(),
            quarantine,
        }
    }

    fn rejects(&self) -> Option<mpsc::Sender<Rejected>> {
        self.quarantine.as_ref().and_then(Quarantine::sender)
    }

    /// Starts the query about all rows.
    fn about_all(
        &mut self,
        session: Session,
        name: &StepName,
        schema: &SchemaRef,
        copies: Vec<BatchStream>,
    ) {
        let asked: Vec<String> = self
            .rules
            .iter()
            .filter(|rule| rule.aggregate)
            .map(|rule| rule.expect.clone())
            .collect();
        let (name, schema) = (name.clone(), Arc::clone(schema));
        self.about_all.spawn(async move {
            session.register_step(name.as_str(), stream_table(&schema, copies)?)?;
            let asked: Vec<String> = asked
                .iter()
                .enumerate()
                .map(|(i, rule)| format!("({rule}) AS r{i}"))
                .collect();
            let frame = session
                .query(&format!("SELECT {} FROM \"{name}\"", asked.join(", ")))
                .await?;
            let batches = frame.collect().await.map_err(from_datafusion)?;
            answers(&batches)
        });
    }

    /// Waits for all answers, tells them, and fails when a rule that must hold does not. Returns the rows that were set
    /// aside, staged.
    pub(super) async fn settle(&mut self, progress: &dyn Progress) -> Result<Option<StagedLoad>> {
        let mut about_all = Vec::new().into_iter();
        if let Some(answered) = self.about_all.join_next().await {
            let answered = answered.map_err(|error| {
                Error::new(ErrorKind::Internal, "a check died").caused_by(error)
            })?;
            about_all = answered
                .map_err(|error| error.with("step", &self.step))?
                .into_iter();
        }
        let mut broken = None;
        for (rule, failed) in self.rules.iter().zip(self.failed.iter()) {
            let failed = if rule.aggregate {
                u64::from(!about_all.next().flatten().unwrap_or(false))
            } else {
                failed.load(Ordering::Relaxed)
            };
            progress.event(ProgressEvent::Check {
                step: self.step.clone(),
                rule: rule.name.clone(),
                failed,
                otherwise: rule.otherwise,
            });
            if failed > 0 && rule.otherwise == Otherwise::Fail && broken.is_none() {
                broken = Some(failed_rule(&self.step, rule));
            }
        }
        match (broken, self.quarantine.take()) {
            (Some(error), _) => Err(error),
            (None, Some(quarantine)) => quarantine.finish().await,
            (None, None) => Ok(None),
        }
    }
}

/// The answers to rules about all rows: true, false, or NULL, which is not true.
pub(super) fn answers(batches: &[RecordBatch]) -> Result<Vec<Option<bool>>> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Ok(Vec::new());
    };
    batch
        .columns()
        .iter()
        .map(
            |column| match ScalarValue::try_from_array(column, 0).map_err(from_datafusion)? {
                ScalarValue::Boolean(value) => Ok(value),
                other => Err(not_a_condition(&other.data_type())),
            },
        )
        .collect()
}
