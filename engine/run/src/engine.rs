//! The engine: a checked project with everything it needs to be planned, run and asked.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use connectors::{Connection, Error, ErrorKind, Result, registry};
use spec::Texts;
use spec::graph::Graph;
use spec::model::{ConnectionName, Pipeline, PipelineId, Project, StepName};
use spec::plan::{Action, Plan};
use tokio::sync::OnceCell;

use crate::clock::{Clock, SystemClock};
use crate::connections::{Connections, sessions};
use crate::lake::Lake;
use crate::query::{Resources, Session};
use crate::state::{self, RunEvent, RunRecord, Standing, StateStore, standing};
use crate::{facts, open};

/// How many runs are looked through first for the last one that succeeded.
const RUNS_LOOKED_AT: u32 = 100;

/// How long databases have to end what they are at when the engine closes.
const CLOSING: Duration = Duration::from_secs(5);

/// How long a part of the world has to say that it is there.
const ANSWERING: Duration = Duration::from_secs(20);

/// What a run may use of the machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most memory that queries hold before they spill, in bytes.
    pub memory_bytes: usize,
    /// How many partitions are read, computed and written at once.
    pub parallel: usize,
    /// Where rows are kept while a run needs them; the system's folder for temporary files when `None`.
    pub scratch: Option<PathBuf>,
    /// How long this process may stand still before another one takes over what it is at.
    pub lease: Duration,
}

/// How long a process may stand still, where nobody says.
pub const LEASE: Duration = Duration::from_secs(10);

impl Default for Settings {
    fn default() -> Self {
        let parallel = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            memory_bytes: 2 << 30,
            parallel,
            scratch: None,
            lease: LEASE,
        }
    }
}

/// A checked project, ready to be planned, run and asked.
pub struct Engine {
    root: PathBuf,
    project: Project,
    texts: Texts,
    graph: Graph,
    settings: Settings,
    clock: Arc<dyn Clock>,
    connections: Connections,
    lake: Arc<OnceCell<Lake>>,
    state: Arc<OnceCell<Box<dyn StateStore>>>,
    resources: Arc<OnceLock<Resources>>,
}

/// What one part of the world answered when it was asked whether it is there.
#[derive(Debug)]
pub struct Finding {
    /// The part: `connection his (postgres)`, `catalog`, `state`.
    pub subject: String,
    /// What it said.
    pub outcome: Result<String>,
}

/// What a run has done.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The run.
    pub run: String,
    /// How many attempts it took, those of an earlier process counted.
    pub attempt: u32,
    /// Whether it went on with a run that had been interrupted.
    pub resumed: bool,
    /// What became visible, in the order in which it did.
    pub loads: Vec<LoadReport>,
}

/// What a load has done.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// The load; the check, for a table of quarantined rows.
    pub step: String,
    /// Where.
    pub target: String,
    /// How many rows.
    pub rows: u64,
    /// The Iceberg snapshot, for a lake table.
    pub snapshot: Option<i64>,
    /// Whether an earlier attempt of the same run had done it.
    pub already: bool,
    /// Why nothing was loaded, where nothing was.
    pub kept: Option<&'static str>,
}

impl Engine {
    /// An engine over the project in `root`. Nothing is opened before it is needed.
    /// `texts` says where the project's SQL stands.
    pub fn new(root: PathBuf, project: Project, texts: Texts, settings: Settings) -> Self {
        let graph = Graph::of(&project);
        Self {
            connections: Connections::new(root.clone()),
            root,
            project,
            texts,
            graph,
            settings,
            clock: Arc::new(SystemClock),
            lake: Arc::default(),
            state: Arc::default(),
            resources: Arc::default(),
        }
    }

    /// An engine over another version of the project. Both may be at work for a while: they share the memory for queries
    /// and, where the project still says the same of them, lake and state. (Two that open one `SQLite` file in one process
    /// take each other's locks away.)
    #[must_use]
    pub fn replaced_by(&self, project: Project, texts: Texts) -> Self {
        let mut next = Self::new(self.root.clone(), project, texts, self.settings.clone());
        next.clock = Arc::clone(&self.clock);
        next.resources = Arc::clone(&self.resources);
        if next.project.lake == self.project.lake {
            next.lake = Arc::clone(&self.lake);
        }
        if next.project.state == self.project.state {
            next.state = Arc::clone(&self.state);
        }
        next
    }

    /// The project.
    pub const fn project(&self) -> &Project {
        &self.project
    }

    /// Where its SQL stands.
    pub(crate) const fn texts(&self) -> &Texts {
        &self.texts
    }

    /// The graph of its steps.
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What a run of a pipeline would do now. Looks at the world and changes nothing.
    pub async fn plan(&self, pipeline: &PipelineId) -> Result<Plan> {
        let pipeline = self.pipeline(pipeline)?;
        let facts = facts::look_up(self, &self.graph, pipeline).await?;
        Ok(Plan::make(&self.graph, pipeline, &facts))
    }

    /// How the newest runs stand, the newest first.
    pub async fn runs(&self, pipeline: Option<&PipelineId>, limit: usize) -> Result<Vec<Standing>> {
        let state = self.state().await?;
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        standing(state, state.runs(pipeline, limit).await?).await
    }

    /// Closes state and lake, so that nothing is left beside their files. Nothing can be done after it.
    pub async fn close(&self) {
        let close = async {
            if let Some(state) = self.state.get() {
                state.close().await;
            }
            if let Some(lake) = self.lake.get() {
                lake.close().await;
            }
        };
        if tokio::time::timeout(CLOSING, close).await.is_err() {
            tracing::warn!("a database did not let go in time");
        }
    }

    /// Asks every part of the world that the project names whether it is there.
    pub async fn doctor(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, spec) in &self.project.connections {
            let subject = format!("connection {name} ({})", spec.connector);
            let asked = async { self.connection(name).await?.probe().await };
            let outcome = in_time(asked).await;
            findings.push(Finding { subject, outcome });
        }
        let lake = in_time(async { self.lake().await?.probe().await }).await;
        findings.push(Finding {
            subject: "lake".to_owned(),
            outcome: lake,
        });
        let state = in_time(async {
            let runs = self.runs(None, 1).await?;
            Ok(match runs.first() {
                Some(run) => format!("last run {}", run.run),
                None => "no run yet".to_owned(),
            })
        });
        findings.push(Finding {
            subject: "state".to_owned(),
            outcome: state.await,
        });
        findings
    }

    pub(crate) fn pipeline(&self, id: &PipelineId) -> Result<&Pipeline> {
        self.project.pipelines.get(id).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("the project has no pipeline `{id}`"),
            )
        })
    }

    pub(crate) async fn connection(&self, name: &ConnectionName) -> Result<Arc<dyn Connection>> {
        self.connections.get(&self.project, name, self.now()).await
    }

    /// How many sessions of one connection a run may hold at once, where reads hold them. `None` where nothing is held.
    pub(crate) fn sessions(&self, name: &ConnectionName) -> Option<usize> {
        let connection = self.project.connections.get(name)?;
        let holds = registry::find(&connection.connector)?
            .capability()
            .source?
            .sessions;
        let counted = holds || connection.limits.sessions.is_some();
        counted.then(|| sessions(connection))
    }

    pub(crate) async fn lake(&self) -> Result<&Lake> {
        self.lake
            .get_or_try_init(|| async { open::lake(&self.project.lake, &self.root) })
            .await
    }

    pub(crate) async fn state(&self) -> Result<&dyn StateStore> {
        let secrets = crate::secret::ProjectSecrets::new(self.root.clone());
        let state = self
            .state
            .get_or_try_init(|| {
                let lease = self.settings.lease;
                state::open(&self.project.state, &self.root, &secrets, lease)
            })
            .await?;
        Ok(state.as_ref())
    }

    /// A session without tables. All of them share one memory.
    pub(crate) fn session(&self) -> Result<Session> {
        if let Some(resources) = self.resources.get() {
            return Ok(Session::new(resources));
        }
        let Settings {
            memory_bytes,
            parallel,
            ..
        } = self.settings;
        let resources = Resources::new(memory_bytes, parallel, &self.scratch())?;
        Ok(Session::new(self.resources.get_or_init(|| resources)))
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.settings
            .scratch
            .clone()
            .unwrap_or_else(std::env::temp_dir)
    }

    pub(crate) const fn memory_bytes(&self) -> usize {
        self.settings.memory_bytes
    }

    /// How many partitions are read, computed and written at once.
    pub(crate) const fn parallel(&self) -> usize {
        self.settings.parallel
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The plan of the newest run of a pipeline that succeeded, however many failed after it.
    pub(crate) async fn last_success(&self, pipeline: &PipelineId) -> Result<Option<Plan>> {
        let mut limit = RUNS_LOOKED_AT;
        loop {
            let runs = self.state().await?.runs(Some(pipeline), limit).await?;
            let all = runs.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            let succeeded = runs.iter().find(|run| {
                let last = run.events.last();
                last.is_some_and(|event| event.event == RunEvent::Succeeded)
            });
            match succeeded {
                Some(run) => return Ok(planned(run)),
                None if all => return Ok(None),
                None => limit = limit.saturating_mul(RUNS_LOOKED_AT),
            }
        }
    }
}

/// An answer, or that there was none in time.
async fn in_time(answer: impl Future<Output = Result<String>>) -> Result<String> {
    let asked = tokio::time::timeout(ANSWERING, answer).await;
    asked.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", ANSWERING.as_secs());
        Err(Error::new(ErrorKind::Timeout, message))
    })
}

/// The plan that a run was started with.
pub(crate) fn planned(run: &RunRecord) -> Option<Plan> {
    run.events.iter().find_map(|event| match &event.event {
        RunEvent::Started { plan, .. } => Some(plan.as_ref().clone()),
        _ => None,
    })
}

/// The loads of a plan, but for those that leave their tables as they are.
pub(crate) fn loads(plan: &Plan) -> impl Iterator<Item = &StepName> {
    let loads = plan
        .steps
        .iter()
        .filter(|step| matches!(&step.action, Action::Load(load) if !load.change.is_idle()));
    loads.map(|step| &step.name)
}
