//! A catalog behind the Iceberg REST protocol.
//!
//! The server checks requirements and writes metadata. Its commit answers 409 when somebody was first; anything that
//! is neither that nor a plain refusal may have happened.

mod answer;
mod client;
mod create;
mod first;
mod keys;

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use connectors::{Error, ErrorKind, Result};
use iceberg::TableCreation;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadata;
use iceberg::table::Table;
use iceberg_catalog_rest::{
    CommitTableRequest, CreateNamespaceRequest, ListNamespaceResponse, ListTablesResponse,
};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use self::answer::Answer;
use self::client::{Client, Effect};
use self::create::{Creation, making};
use self::keys::{Given, Held, VendedKeys, no_keys};
use super::{Catalog, Change, CommitError, Draft, table};
use crate::failpoint::{self, Point};
use crate::lake::id::TableId;
use crate::lake::options::RestOptions;
use crate::lake::storage::Warehouse;

/// What separates the levels of a namespace in an address.
const LEVELS: &str = "\u{1f}";
/// Pages of a listing at most; a server that never ends is a defect of its own.
const MAX_PAGES: usize = 10_000;

/// The catalog behind one server.
pub(super) struct RestCatalog {
    client: Arc<Client>,
    warehouse: Arc<Warehouse>,
    /// Whether the server can show a table without making it, as far as is known.
    stages: Arc<AtomicBool>,
}

/// A table as the server gives it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Loaded {
    #[serde(default)]
    metadata_location: Option<String>,
    metadata: TableMetadata,
}

impl Loaded {
    fn read(answer: &Answer, message: &str) -> Result<Self> {
        answer.success(message)
    }
}

/// Where the tables of a namespace are, below the catalog's own address.
fn tables_path(namespace: &str) -> [String; 3] {
    let levels = namespace.replace('.', LEVELS);
    ["namespaces".to_owned(), levels, "tables".to_owned()]
}

/// Where a table is, below the catalog's own address.
fn table_path(id: &TableId) -> [String; 4] {
    let [namespaces, levels, tables] = tables_path(&id.namespace);
    [namespaces, levels, tables, id.name.clone()]
}

fn paths(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

impl RestCatalog {
    /// A catalog; nothing is asked yet.
    pub(super) fn new(options: RestOptions, warehouse: Arc<Warehouse>) -> Result<Self> {
        Ok(Self {
            client: Arc::new(Client::new(options)?),
            warehouse,
            stages: Arc::new(AtomicBool::new(true)),
        })
    }

    async fn page<T: serde::de::DeserializeOwned>(
        &self,
        path: &[&str],
        page: &str,
        message: &str,
    ) -> Result<T> {
        let query = if page.is_empty() {
            vec![]
        } else {
            vec![("pageToken", page)]
        };
        self.client.get(path, &query).await?.success(message)
    }

    async fn namespaces(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut page = String::new();
        for _ in 0..MAX_PAGES {
            let listed: ListNamespaceResponse = self
                .page(
                    &["namespaces"],
                    &page,
                    "the catalog does not list its namespaces",
                )
                .await?;
            found.extend(listed.namespaces.iter().map(ToString::to_string));
            match listed.next_page_token {
                Some(next) if !next.is_empty() => page = next,
                _ => break,
            }
        }
        Ok(found)
    }

    async fn tables_in(&self, namespace: &str) -> Result<Vec<TableId>> {
        let mut found = Vec::new();
        let mut page = String::new();
        let path = tables_path(namespace);
        for _ in 0..MAX_PAGES {
            let listed: ListTablesResponse = self
                .page(&paths(&path), &page, "the catalog does not list its tables")
                .await?;
            found.extend(
                listed
                    .identifiers
                    .into_iter()
                    .map(|id| TableId::new(namespace, id.name)),
            );
            match listed.next_page_token {
                Some(next) if !next.is_empty() => page = next,
                _ => break,
            }
        }
        Ok(found)
    }

    /// Makes the namespace known; one that is there is fine.
    async fn ensure_namespace(&self, id: &TableId) -> Result<()> {
        let body = CreateNamespaceRequest {
            namespace: id.ident()?.namespace,
            properties: HashMap::new(),
        };
        let answer = self
            .client
            .post(&["namespaces"], Effect::Harmless, &body)
            .await?;
        if answer.status.is_success() || answer.status == StatusCode::CONFLICT {
            return Ok(());
        }
        Err(answer
            .refusal("the catalog does not make the namespace")
            .with("table", id))
    }

    /// Access to the files of a table, with the keys that came with it where the server hands them out.
    fn file_io(
        &self,
        id: &TableId,
        answer: &Answer,
        location: &str,
        creation: Option<Creation>,
    ) -> Result<FileIO> {
        if !self.hands_out_keys() {
            return Ok(self.warehouse.file_io());
        }
        let given: Given = answer.secret("the catalog does not give the table")?;
        let place = given.at(location);
        let Some(held) = Held::of(&place, answer.now_ms) else {
            if self.warehouse.has_keys() {
                return Ok(self.warehouse.file_io());
            }
            return Err(no_keys().with("table", id));
        };
        let keys = VendedKeys::new(
            Arc::clone(&self.client),
            id.clone(),
            location.to_owned(),
            creation,
            held,
        );
        Ok(self.warehouse.vended_io(&place, Arc::new(keys)))
    }

    /// A table that the server has shown and not made.
    fn shown(&self, id: &TableId, answer: &Answer, creation: Creation) -> Result<Draft> {
        let shown = Loaded::read(answer, "the catalog does not make the table")?;
        let location = shown.metadata.location();
        let file_io = self.file_io(id, answer, location, Some(creation.at(location)))?;
        Ok(Draft {
            file_io,
            updates: making(&shown.metadata),
            metadata: shown.metadata,
        })
    }

    /// A table that the server cannot show: its place is the project's to choose, as its keys are.
    fn imagined(&self, id: &TableId, creation: TableCreation) -> Result<Draft> {
        let draft = Draft::chosen(id, creation, &self.warehouse)?;
        Ok(Draft {
            updates: making(&draft.metadata),
            ..draft
        })
    }

    /// Sends a commit. Its answer says what became of it; without one it may have happened.
    async fn send(&self, id: &TableId, body: &CommitTableRequest) -> Result<Answer, CommitError> {
        failpoint::before(Point::CommitSwap)
            .await
            .map_err(CommitError::Failed)?;
        let path = table_path(id);
        let sent = self.client.post(&paths(&path), Effect::Once, body).await;
        failpoint::after(Point::CommitSwap)
            .await
            .map_err(CommitError::Unknown)?;
        sent.map_err(|error| not_taken(id, error))
    }
}

/// Changes of several tables, all or none.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct CommitTransaction {
    table_changes: Vec<CommitTableRequest>,
}

/// What it means for a commit that there is no answer.
fn not_taken(about: impl Display, error: Error) -> CommitError {
    let unknown = error.kind() == ErrorKind::CommitUnknown;
    let error = error.with("table", about);
    if unknown {
        CommitError::Unknown(error)
    } else {
        CommitError::Failed(error)
    }
}

/// What an answer to a commit says about it.
fn outcome(about: impl Display, answer: &Answer) -> Result<(), CommitError> {
    if answer.status.is_success() {
        return Ok(());
    }
    let error = answer
        .refusal("the catalog does not take the commit")
        .with("table", about);
    Err(match answer.status.as_u16() {
        // Too many requests: this one was not looked at, and may come again.
        409 | 429 => CommitError::Conflict(error),
        // The request was read and refused.
        400..=499 if answer.status != StatusCode::REQUEST_TIMEOUT => CommitError::Failed(error),
        _ => CommitError::Unknown(error),
    })
}

#[async_trait]
impl Catalog for RestCatalog {
    async fn tables(&self) -> Result<Vec<TableId>> {
        let mut found = Vec::new();
        for namespace in self.namespaces().await? {
            found.extend(self.tables_in(&namespace).await?);
        }
        found.sort();
        Ok(found)
    }

    async fn load(&self, id: &TableId) -> Result<Option<Table>> {
        let path = table_path(id);
        let answer = self.client.get(&paths(&path), &[]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let loaded = Loaded::read(&answer, "the catalog does not give the table")
            .map_err(|error| error.with("table", id))?;
        let file_io = self.file_io(id, &answer, loaded.metadata.location(), None)?;
        table(id, file_io, loaded.metadata_location, loaded.metadata).map(Some)
    }

    async fn draft(&self, id: &TableId, creation: TableCreation) -> Result<Draft> {
        self.ensure_namespace(id).await?;
        let making = Creation::new(
            Arc::clone(&self.client),
            Arc::clone(&self.stages),
            id,
            &creation,
        );
        let vended = self.hands_out_keys();
        let answer = match making.stage().await? {
            Some(answer) => answer,
            // Only the server knows where the files go and what opens that place.
            None if vended => making.preview().await?,
            None => return self.imagined(id, creation),
        };
        let draft = self.shown(id, &answer, making);
        draft.map_err(|error| error.with("table", id))
    }

    async fn commit(&self, change: Change<'_>) -> Result<(), CommitError> {
        let id = change.id;
        let mut updates = change.initial_updates.to_vec();
        let initial = updates.len();
        updates.extend(change.updates);
        let mut body = CommitTableRequest {
            identifier: Some(id.ident().map_err(CommitError::Failed)?),
            requirements: change.requirements,
            updates,
        };
        let answer = self.send(id, &body).await?;
        let makes = change.base.is_none() && !self.stages.load(Ordering::Relaxed);
        if makes && matches!(answer.status.as_u16(), 400 | 404 | 405 | 406 | 422 | 501) {
            // It makes tables only when they are asked for by that name.
            body.updates.drain(..initial);
            return self.make_and_commit(id, change.initial, body).await;
        }
        outcome(id, &answer)
    }

    async fn commit_together(&self, changes: Vec<Change<'_>>) -> Result<(), CommitError> {
        let mut tables = Vec::new();
        let mut table_changes = Vec::new();
        for change in changes {
            tables.push(change.id.to_string());
            table_changes.push(CommitTableRequest {
                identifier: Some(change.id.ident().map_err(CommitError::Failed)?),
                requirements: change.requirements,
                updates: change.updates,
            });
        }
        let tables = tables.join(", ");
        let body = CommitTransaction { table_changes };
        let path = ["transactions", "commit"];
        let sent = self.client.post(&path, Effect::Once, &body).await;
        let answer = sent.map_err(|error| not_taken(&tables, error))?;
        outcome(&tables, &answer)
    }

    /// Servers differ in what they do about tables that a transaction is to make.
    async fn commits_together(&self, makes_tables: bool) -> Result<bool> {
        Ok(!makes_tables && self.client.commits_together().await?)
    }

    fn hands_out_keys(&self) -> bool {
        self.client.options().vended && self.warehouse.takes_keys()
    }

    async fn probe(&self) -> Result<String> {
        let namespaces = self.namespaces().await?.len();
        Ok(format!(
            "REST catalog {}, {namespaces} namespaces",
            self.client.options().uri
        ))
    }
}
