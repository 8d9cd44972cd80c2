//! The table a stage writes for: what it is, what it will be, and what a commit must tell the catalog.

use std::sync::Arc;

use connectors::{Error, ErrorKind, Result};
use iceberg::io::FileIO;
use iceberg::spec::{
    MAIN_BRANCH, Schema, Snapshot, SnapshotReference, SnapshotRetention, TableMetadata,
    TableMetadataBuilder,
};
use iceberg::table::Table;
use iceberg::{TableRequirement, TableUpdate};

use super::current;
use super::snapshot::ConflictPolicy;
use crate::lake::catalog::Draft;
use crate::lake::failure::failed;
use crate::lake::history;
use crate::lake::id::TableId;

/// The table a stage writes for.
pub(in crate::lake) struct Target {
    id: TableId,
    base: Option<Table>,
    /// What the commit builds on: the base with its new columns, or the first metadata of a new table.
    metadata: TableMetadata,
    /// The updates that lead to `metadata`.
    leading: Vec<TableUpdate>,
    file_io: FileIO,
    /// The new columns, to be put on the table again should it move.
    evolved: Option<Schema>,
}

impl Target {
    /// A table that the commit makes.
    pub(in crate::lake) fn create(id: TableId, draft: Draft) -> Self {
        Self {
            id,
            file_io: draft.file_io,
            metadata: draft.metadata,
            leading: draft.updates,
            base: None,
            evolved: None,
        }
    }

    /// A table that is there, with these columns instead of its own.
    pub(in crate::lake) fn existing(
        id: TableId,
        base: Table,
        evolved: Option<Schema>,
    ) -> Result<Self> {
        let (metadata, leading) = lead(&base, evolved.as_ref())?;
        Ok(Self {
            id,
            file_io: base.file_io().clone(),
            base: Some(base),
            metadata,
            leading,
            evolved,
        })
    }

    pub(in crate::lake) const fn id(&self) -> &TableId {
        &self.id
    }

    pub(in crate::lake) const fn base(&self) -> Option<&Table> {
        self.base.as_ref()
    }

    /// What the commit builds on.
    pub(in crate::lake) const fn metadata(&self) -> &TableMetadata {
        &self.metadata
    }

    pub(in crate::lake) const fn file_io(&self) -> &FileIO {
        &self.file_io
    }

    pub(super) const fn initial(&self) -> &TableMetadata {
        &self.metadata
    }

    /// The updates that make the table; none where it is there.
    pub(super) fn initial_updates(&self) -> &[TableUpdate] {
        if self.base.is_none() {
            &self.leading
        } else {
            &[]
        }
    }

    /// What must hold for the commit.
    pub(super) fn requirements(&self) -> Vec<TableRequirement> {
        let Some(base) = self.base.as_ref().map(Table::metadata) else {
            return vec![TableRequirement::NotExist];
        };
        let mut requirements = vec![
            TableRequirement::UuidMatch { uuid: base.uuid() },
            TableRequirement::RefSnapshotIdMatch {
                r#ref: MAIN_BRANCH.to_owned(),
                snapshot_id: base.current_snapshot_id(),
            },
        ];
        if !self.leading.is_empty() {
            requirements.push(TableRequirement::CurrentSchemaIdMatch {
                current_schema_id: base.current_schema_id(),
            });
            requirements.push(TableRequirement::LastAssignedFieldIdMatch {
                last_assigned_field_id: base.last_column_id(),
            });
        }
        requirements
    }

    /// What the commit changes, beyond making the table.
    pub(super) fn updates(&self, snapshot: Snapshot) -> Vec<TableUpdate> {
        let reference = SnapshotReference::new(
            snapshot.snapshot_id(),
            SnapshotRetention::branch(None, None, None),
        );
        let mut updates = if self.base.is_some() {
            self.leading.clone()
        } else {
            Vec::new()
        };
        updates.push(TableUpdate::AddSnapshot { snapshot });
        updates.push(TableUpdate::SetSnapshotRef {
            ref_name: MAIN_BRANCH.to_owned(),
            reference,
        });
        updates
    }

    /// The same target on what the table is now, where the operation and the columns written allow it; `None` where it
    /// is on that already.
    pub(super) fn rebased(
        &self,
        now: Option<Table>,
        policy: &ConflictPolicy,
    ) -> Result<Option<Self>> {
        let (base, now) = match (&self.base, now) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                return Err(self
                    .moved("the table was made by somebody else")
                    .retry(false));
            }
            (Some(_), None) => {
                return Err(self
                    .moved("the table was dropped by somebody else")
                    .retry(false));
            }
            (Some(base), Some(now)) => (base, now),
        };
        let (was, is) = (base.metadata(), now.metadata());
        if was.uuid() != is.uuid() {
            return Err(self
                .moved("the table was dropped and made again by somebody else")
                .retry(false));
        }
        let moved = current(Some(base)) != current(Some(&now));
        let differs = match policy {
            ConflictPolicy::FailIfMoved => moved,
            ConflictPolicy::SameRows => {
                !history::same_rows(is, current(Some(base)), current(Some(&now)))
            }
            // The commit has looked.
            ConflictPolicy::Rebase
            | ConflictPolicy::KeysApart(_)
            | ConflictPolicy::PartApart(_)
            | ConflictPolicy::SameFiles => false,
        };
        if differs {
            return Err(self.moved("the table was changed by somebody else"));
        }
        let same_columns = was.current_schema_id() == is.current_schema_id()
            && was.last_column_id() == is.last_column_id();
        if !same_columns
            && (self.evolved.is_some() || !holds(is.current_schema(), was.current_schema()))
        {
            return Err(self.moved("the columns of the table were changed by somebody else"));
        }
        Self::existing(self.id.clone(), now, self.evolved.clone()).map(Some)
    }

    pub(super) fn moved(&self, message: &str) -> Error {
        Error::new(ErrorKind::Conflict, message)
            .with("table", &self.id)
            .help("run the pipeline again: it reads the table as it is now")
    }
}

/// Whether rows written for one schema can be read as another: every column that must have a value was written.
fn holds(now: &Arc<Schema>, written: &Arc<Schema>) -> bool {
    let mut required = now
        .as_struct()
        .fields()
        .iter()
        .filter(|field| field.required);
    required.all(|field| {
        written
            .field_by_id(field.id)
            .is_some_and(|written| written.required)
    })
}

/// The metadata with new columns, and the updates that lead there.
fn lead(base: &Table, evolved: Option<&Schema>) -> Result<(TableMetadata, Vec<TableUpdate>)> {
    let Some(schema) = evolved else {
        return Ok((base.metadata().clone(), Vec::new()));
    };
    let built = base
        .metadata()
        .clone()
        .into_builder(None)
        .add_current_schema(schema.clone())
        .and_then(TableMetadataBuilder::build)
        .map_err(failed("the columns of the table cannot be changed"))?;
    Ok((built.metadata, built.changes))
}
