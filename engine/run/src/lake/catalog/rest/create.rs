//! Tables that do not exist yet: how the server shows one before it is made, and how one is made and taken back.
//!
//! Most servers stage a table: they say what it will be and make nothing. One that does not is made to show it by
//! making the table and dropping it at once, where only the server can tell the table's place and keys. Knows nothing of
//! rows and snapshots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{PartitionSpec, SortOrder, TableMetadata};
use iceberg::{TableCreation, TableUpdate};
use iceberg_catalog_rest::CreateTableRequest;
use reqwest::StatusCode;
use uuid::Uuid;

use super::answer::Answer;
use super::client::{Client, Effect};
use super::{Loaded, paths, table_path, tables_path};
use crate::lake::id::TableId;

/// The making of one table.
#[derive(Clone)]
pub(super) struct Creation {
    client: Arc<Client>,
    /// Whether the server can show a table without making it, as far as is known.
    stages: Arc<AtomicBool>,
    id: TableId,
    request: CreateTableRequest,
}

impl Creation {
    /// The making of a table as the engine wants it.
    pub(super) fn new(
        client: Arc<Client>,
        stages: Arc<AtomicBool>,
        id: &TableId,
        wanted: &TableCreation,
    ) -> Self {
        let request = CreateTableRequest {
            name: id.name.clone(),
            location: wanted.location.clone(),
            schema: wanted.schema.clone(),
            partition_spec: wanted.partition_spec.clone(),
            write_order: wanted.sort_order.clone(),
            stage_create: Some(true),
            properties: wanted.properties.clone(),
        };
        Self {
            client,
            stages,
            id: id.clone(),
            request,
        }
    }

    /// The making of a table of which everything is known.
    pub(super) fn of(
        client: Arc<Client>,
        stages: Arc<AtomicBool>,
        id: &TableId,
        metadata: &TableMetadata,
    ) -> Self {
        let spec = PartitionSpec::clone(metadata.default_partition_spec());
        let request = CreateTableRequest {
            name: id.name.clone(),
            location: Some(metadata.location().to_owned()),
            schema: metadata.current_schema().as_ref().clone(),
            partition_spec: Some(spec.into_unbound()),
            write_order: Some(SortOrder::clone(metadata.default_sort_order())),
            stage_create: Some(true),
            properties: metadata.properties().clone(),
        };
        Self {
            client,
            stages,
            id: id.clone(),
            request,
        }
    }

    /// The same table in the place the server gave it.
    pub(super) fn at(mut self, location: &str) -> Self {
        self.request.location = Some(location.to_owned());
        self
    }

    /// Whether this is the place the table was asked to be in.
    pub(super) fn is_at(&self, location: &str) -> bool {
        let wanted = self.request.location.as_deref().unwrap_or_default();
        wanted.trim_end_matches('/') == location.trim_end_matches('/')
    }

    /// Has the server show the table without making it; `None` where it cannot.
    pub(super) async fn stage(&self) -> Result<Option<Answer>> {
        if !self.stages.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let answer = self.send(&self.request, Effect::Harmless).await?;
        if matches!(answer.status.as_u16(), 400 | 405 | 406 | 422 | 501) {
            tracing::debug!(table = %self.id, status = %answer.status, "the catalog stages no tables");
            self.stages.store(false, Ordering::Relaxed);
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Ok(Some(answer));
        }
        // A server that does not know the word makes the table at once, and tells by giving its metadata a place.
        let shown = Loaded::read(&answer, "the catalog does not stage the table")?;
        if shown.metadata_location.is_some() && self.withdraw(shown.metadata.uuid()).await? {
            self.stages.store(false, Ordering::Relaxed);
        }
        Ok(Some(answer))
    }

    /// Has the server show the table, by making it for a moment if there is no other way.
    pub(super) async fn preview(&self) -> Result<Answer> {
        if let Some(staged) = self.stage().await? {
            return Ok(staged);
        }
        let answer = self.make().await?;
        if answer.status.is_success() {
            let made = Loaded::read(&answer, "the catalog does not make the table")?;
            self.withdraw(made.metadata.uuid()).await?;
        }
        Ok(answer)
    }

    /// Makes the table, without rows.
    pub(super) async fn make(&self) -> Result<Answer> {
        let request = CreateTableRequest {
            stage_create: Some(false),
            ..self.request.clone()
        };
        self.send(&request, Effect::Once).await
    }

    /// Drops the table, unless it is another one by now or has rows. Its files are left alone. Whether it was there.
    pub(super) async fn withdraw(&self, uuid: Uuid) -> Result<bool> {
        let path = table_path(&self.id);
        let path = paths(&path);
        let answer = self.client.get(&path, &[]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        let now = Loaded::read(&answer, "the catalog does not give the table")?;
        if now.metadata.uuid() != uuid || now.metadata.snapshots().len() > 0 {
            return Ok(false);
        }
        let query = [("purgeRequested", "false")];
        let dropped = self.client.delete(&path, &query).await?;
        if dropped.status.is_success() || dropped.status == StatusCode::NOT_FOUND {
            return Ok(true);
        }
        Err(dropped
            .refusal("the catalog does not drop a table that was made in vain")
            .with("table", &self.id))
    }

    /// An error unless the table was made just as it was to be: rows are written for these very columns.
    pub(super) fn check(&self, made: &TableMetadata, wanted: &TableMetadata) -> Result<()> {
        let same = made.current_schema() == wanted.current_schema()
            && made.default_partition_spec() == wanted.default_partition_spec()
            && self.is_at(made.location());
        if same {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            "the catalog makes the table otherwise than it was asked to, and cannot stage it",
        )
        .with("table", &self.id)
        .with("made at", made.location())
        .help("make the table by other means first: rows can be added to it then"))
    }

    async fn send(&self, request: &CreateTableRequest, effect: Effect) -> Result<Answer> {
        let path = tables_path(&self.id.namespace);
        let sent = self.client.post(&paths(&path), effect, request).await;
        sent.map_err(|error| error.with("table", &self.id))
    }
}

/// The updates that make a table whose metadata the server has shown.
pub(super) fn making(metadata: &TableMetadata) -> Vec<TableUpdate> {
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
