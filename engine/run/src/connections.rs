//! The connections of a project, each opened once, when it is first needed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use connectors::{Connection, Error, ErrorKind, Opening, Result, registry, wrap};
use spec::model::{ConnectionName, Project};
use tokio::sync::Mutex;

use crate::failpoint;
use crate::secret::ProjectSecrets;

/// How many sessions a connection has when its spec does not say.
const DEFAULT_SESSIONS: usize = 4;

/// The connections of a project.
pub(crate) struct Connections {
    root: PathBuf,
    secrets: ProjectSecrets,
    open: Mutex<BTreeMap<ConnectionName, Arc<dyn Connection>>>,
}

impl Connections {
    /// None is open yet.
    pub(crate) fn new(root: PathBuf) -> Self {
        let secrets = ProjectSecrets::new(root.clone());
        Self {
            root,
            secrets,
            open: Mutex::new(BTreeMap::new()),
        }
    }

    /// The connection of this name, opened if it is not.
    pub(crate) async fn get(
        &self,
        project: &Project,
        name: &ConnectionName,
        now: DateTime<Utc>,
    ) -> Result<Arc<dyn Connection>> {
        let mut open = self.open.lock().await;
        if let Some(connection) = open.get(name) {
            return Ok(Arc::clone(connection));
        }
        let spec = project.connections.get(name).ok_or_else(|| missing(name))?;
        let connector = registry::find(&spec.connector).ok_or_else(|| missing(name))?;
        allowed_now(spec, now)?;
        let sessions = sessions(spec);
        let opening = Opening {
            root: &self.root,
            secrets: &self.secrets,
            sessions,
        };
        let connection = connector
            .open(spec.options.clone(), opening)
            .await
            .map_err(|error| error.with("connection", name))?;
        let connection: Arc<dyn Connection> = Arc::from(limited(connection, spec));
        open.insert(name.clone(), Arc::clone(&connection));
        Ok(connection)
    }
}

/// How many sessions a connection may hold.
pub(crate) fn sessions(spec: &spec::model::Connection) -> usize {
    spec.limits.sessions.unwrap_or(DEFAULT_SESSIONS).max(1)
}

/// What its spec says around a connection.
fn limited(
    mut connection: Box<dyn Connection>,
    spec: &spec::model::Connection,
) -> Box<dyn Connection> {
    connection = failpoint::around(connection);
    if let Some(timeout) = spec.limits.statement_timeout {
        connection = wrap::timeout(connection, timeout);
    }
    if let Some(sessions) = spec.limits.sessions {
        connection = wrap::limit(connection, sessions);
    }
    wrap::trace(connection, spec.name.as_str())
}

fn allowed_now(spec: &spec::model::Connection, now: DateTime<Utc>) -> Result<()> {
    match spec.limits.window {
        Some(window) if !window.contains(now) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("connection `{}` is not to be used at this hour", spec.name),
        )
        .with("from", window.from.format("%H:%M"))
        .with("to", window.to.format("%H:%M"))
        .with("timezone", window.timezone)
        .help("run it in these hours, or change `limits: { window: … }` of the connection")
        .retry(false)),
        _ => Ok(()),
    }
}

fn missing(name: &ConnectionName) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("the project has no connection `{name}`"),
    )
    .help("the plan was made for another version of the project: plan again")
}
