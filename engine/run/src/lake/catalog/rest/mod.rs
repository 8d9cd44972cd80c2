//! A catalog behind the Iceberg REST protocol.
//!
//! The server checks requirements and writes metadata. Its commit answers 409 when somebody was first; anything that
//! is neither that nor a plain refusal may have happened.

mod client;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use connectors::{Error, ErrorKind, Result};
use iceberg::io::FileIO;
use iceberg::spec::{PartitionSpec, SortOrder, TableMetadata};
use iceberg::table::Table;
use iceberg::{TableCreation, TableUpdate};
use iceberg_catalog_rest::{
    CommitTableRequest, CreateNamespaceRequest, CreateTableRequest, ListNamespaceResponse,
    ListTablesResponse, LoadTableResult,
};
use reqwest::{Method, StatusCode};

use self::client::{Client, answer, refusal};
use super::{Catalog, Change, CommitError, Draft, table};
use crate::lake::id::TableId;
use crate::lake::options::RestOptions;
use crate::lake::storage::Warehouse;

/// What separates the levels of a namespace in an address.
const LEVELS: &str = "\u{1f}";
/// Pages of a listing at most; a server that never ends is a defect of its own.
const MAX_PAGES: usize = 10_000;

/// The catalog behind one server.
pub(super) struct RestCatalog {
    client: Client,
    warehouse: Arc<Warehouse>,
}

impl RestCatalog {
    /// A catalog; nothing is asked yet.
    pub(super) fn new(options: RestOptions, warehouse: Arc<Warehouse>) -> Result<Self> {
        Ok(Self {
            client: Client::new(options)?,
            warehouse,
        })
    }

    async fn get<T: serde::de::DeserializeOwned>(
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
        let response = self
            .client
            .send::<()>(Method::GET, path, &query, None)
            .await?;
        answer(response, message).await
    }

    async fn namespaces(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut page = String::new();
        for _ in 0..MAX_PAGES {
            let listed: ListNamespaceResponse = self
                .get(
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
        let levels = namespace.replace('.', LEVELS);
        for _ in 0..MAX_PAGES {
            let path = ["namespaces", levels.as_str(), "tables"];
            let listed: ListTablesResponse = self
                .get(&path, &page, "the catalog does not list its tables")
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
        let namespace = id.ident()?.namespace;
        let body = CreateNamespaceRequest {
            namespace,
            properties: HashMap::new(),
        };
        let response = self
            .client
            .send(Method::POST, &["namespaces"], &[], Some(&body))
            .await?;
        if response.status().is_success() || response.status() == StatusCode::CONFLICT {
            return Ok(());
        }
        Err(refusal(response, "the catalog does not make the namespace")
            .await
            .with("table", id))
    }

    /// Makes a table, or only its metadata when `staged`; `None` where the server cannot do that.
    async fn create(
        &self,
        id: &TableId,
        creation: &TableCreation,
        staged: bool,
    ) -> Result<Option<LoadTableResult>> {
        let body = CreateTableRequest {
            name: id.name.clone(),
            location: None,
            schema: creation.schema.clone(),
            partition_spec: creation.partition_spec.clone(),
            write_order: creation.sort_order.clone(),
            stage_create: Some(staged),
            properties: creation.properties.clone(),
        };
        let levels = id.namespace.replace('.', LEVELS);
        let path = ["namespaces", levels.as_str(), "tables"];
        let response = self
            .client
            .send(Method::POST, &path, &[], Some(&body))
            .await?;
        let status = response.status().as_u16();
        if staged && matches!(status, 400 | 405 | 406 | 422 | 501) {
            return Ok(None);
        }
        let made: Result<LoadTableResult> =
            answer(response, "the catalog does not make the table").await;
        made.map(Some).map_err(|error| error.with("table", id))
    }

    fn file_io(&self, loaded: &LoadTableResult) -> FileIO {
        if !self.client.options().vended {
            return self.warehouse.file_io();
        }
        let mut config = loaded.config.clone();
        let location = loaded.metadata.location();
        let given = loaded.storage_credentials.iter().flatten();
        let fitting = given.filter(|credential| location.starts_with(&credential.prefix));
        if let Some(credential) = fitting.max_by_key(|credential| credential.prefix.len()) {
            config.extend(credential.config.clone());
        }
        self.warehouse.vended_io(&config)
    }

    fn built(&self, id: &TableId, loaded: LoadTableResult) -> Result<Table> {
        let file_io = self.file_io(&loaded);
        table(id, file_io, loaded.metadata_location, loaded.metadata)
    }
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
        let levels = id.namespace.replace('.', LEVELS);
        let path = ["namespaces", levels.as_str(), "tables", id.name.as_str()];
        let response = self
            .client
            .send::<()>(Method::GET, &path, &[], None)
            .await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let loaded: LoadTableResult = answer(response, "the catalog does not give the table")
            .await
            .map_err(|error| error.with("table", id))?;
        self.built(id, loaded).map(Some)
    }

    async fn draft(&self, id: &TableId, creation: TableCreation) -> Result<Draft> {
        self.ensure_namespace(id).await?;
        if let Some(staged) = self.create(id, &creation, true).await? {
            // A server that does not know the word makes the table at once, and tells by giving its metadata a place.
            let made = match &staged.metadata_location {
                Some(_) => self.load(id).await?,
                None => None,
            };
            return Ok(Draft {
                file_io: self.file_io(&staged),
                updates: making(&staged.metadata),
                metadata: staged.metadata,
                made,
            });
        }
        let made = self.create(id, &creation, false).await?.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "a table was made without an answer").with("table", id)
        })?;
        Ok(Draft {
            file_io: self.file_io(&made),
            updates: Vec::new(),
            metadata: made.metadata.clone(),
            made: Some(self.built(id, made)?),
        })
    }

    async fn commit(&self, change: Change<'_>) -> Result<(), CommitError> {
        let id = change.id;
        let mut updates = change.initial_updates.to_vec();
        updates.extend(change.updates);
        let body = CommitTableRequest {
            identifier: Some(id.ident().map_err(CommitError::Failed)?),
            requirements: change.requirements,
            updates,
        };
        let levels = id.namespace.replace('.', LEVELS);
        let path = ["namespaces", levels.as_str(), "tables", id.name.as_str()];
        let response = match self
            .client
            .send(Method::POST, &path, &[], Some(&body))
            .await
        {
            Ok(response) => response,
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                return Err(CommitError::Failed(error.with("table", id)));
            }
            Err(error) => return Err(CommitError::Unknown(error.with("table", id))),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let error = refusal(response, "the catalog does not take the commit")
            .await
            .with("table", id);
        Err(match status.as_u16() {
            409 => CommitError::Conflict(error),
            // The request was read and refused.
            400..=499 if status != StatusCode::REQUEST_TIMEOUT => CommitError::Failed(error),
            _ => CommitError::Unknown(error),
        })
    }

    async fn probe(&self) -> Result<String> {
        let namespaces = self.namespaces().await?.len();
        Ok(format!(
            "REST catalog {}, {namespaces} namespaces",
            self.client.options().uri
        ))
    }
}

/// The updates that make a table whose metadata the server has staged.
fn making(metadata: &TableMetadata) -> Vec<TableUpdate> {
    let spec = PartitionSpec::clone(metadata.default_partition_spec()).into_unbound();
    let sort_order = SortOrder::clone(metadata.default_sort_order());
    vec![
        TableUpdate::AssignUuid {
            uuid: metadata.uuid(),
        },
        TableUpdate::UpgradeFormatVersion {
            format_version: metadata.format_version(),
        },
        TableUpdate::AddSchema {
            schema: metadata.current_schema().as_ref().clone(),
        },
        TableUpdate::SetCurrentSchema { schema_id: -1 },
        TableUpdate::AddSpec { spec },
        TableUpdate::SetDefaultSpec { spec_id: -1 },
        TableUpdate::AddSortOrder { sort_order },
        TableUpdate::SetDefaultSortOrder { sort_order_id: -1 },
        TableUpdate::SetLocation {
            location: metadata.location().to_owned(),
        },
        TableUpdate::SetProperties {
            updates: metadata.properties().clone(),
        },
    ]
}
