//! The table a stage writes for: what it is, what it will be, and what a commit must tell the catalog.

use std::sync::Arc;

use connectors::{Error, ErrorKind, Result};
use iceberg::io::FileIO;
use iceberg::spec::{
    MAIN_BRANCH, PartitionSpec, Schema, Snapshot, SnapshotReference, SnapshotRetention,
    TableMetadata, TableMetadataBuilder,
};
use iceberg::table::Table;
use iceberg::{TableRequirement, TableUpdate};

use super::current;
use super::snapshot::ConflictPolicy;
use crate::lake::alter::Alterations;
use crate::lake::catalog::{Draft, table};
use crate::lake::failure::failed;
use crate::lake::history;
use crate::lake::id::TableId;
use crate::lake::partition::{is_cut_by, require_free_names, require_names};

/// The table a stage writes for.
pub(in crate::lake) struct Target {
    id: TableId,
    base: Option<Table>,
    /// What the commit builds on: the base with its new columns, or the first metadata of a new table.
    metadata: TableMetadata,
    /// The updates that lead to `metadata`.
    leading: Vec<TableUpdate>,
    file_io: FileIO,
    /// What leads there, to be done to the table again should it move.
    alterations: Alterations,
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
            alterations: Alterations::default(),
        }
    }

    /// A table that is there, to be altered in this way.
    pub(in crate::lake) fn existing(
        id: TableId,
        base: Table,
        alterations: Alterations,
    ) -> Result<Self> {
        if let Some(columns) = &alterations.columns {
            require_free_names(base.metadata(), columns)
                .map_err(|error| error.with("table", &id))?;
        }
        let (metadata, leading) =
            lead(base.metadata(), &alterations).map_err(|error| error.with("table", &id))?;
        require_names(metadata.default_partition_spec())
            .map_err(|error| error.with("table", &id))?;
        Ok(Self {
            id,
            file_io: base.file_io().clone(),
            base: Some(base),
            metadata,
            leading,
            alterations,
        })
    }

    /// The table as it will be, without the rows that come.
    pub(in crate::lake) fn into_table(self) -> Result<Table> {
        let place = self.base.as_ref().and_then(Table::metadata_location);
        let place = place.map(str::to_owned);
        table(&self.id, self.file_io, place, self.metadata)
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

    /// The updates of a table that is there that lead to what the commit builds on.
    pub(super) fn leading(&self) -> &[TableUpdate] {
        if self.base.is_some() {
            &self.leading
        } else {
            &[]
        }
    }

    /// Whether readers see in a table what the commit was made for: it has no other rows, and no other columns.
    pub(in crate::lake) fn is_still(&self, now: &Table) -> bool {
        let Some(base) = &self.base else {
            return current(Some(now)).is_none();
        };
        let (was, is) = (base.metadata(), now.metadata());
        was.uuid() == is.uuid()
            && current(Some(base)) == current(Some(now))
            && was.current_schema_id() == is.current_schema_id()
            && was.default_partition_spec_id() == is.default_partition_spec_id()
            && was.default_sort_order_id() == is.default_sort_order_id()
    }

    /// The same target on a table in which readers see what they saw.
    pub(in crate::lake) fn found_again(&self, now: Table) -> Result<Self> {
        Self::existing(self.id.clone(), now, self.alterations.clone())
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
        if self.alterations.columns.is_some() {
            requirements.push(TableRequirement::CurrentSchemaIdMatch {
                current_schema_id: base.current_schema_id(),
            });
            requirements.push(TableRequirement::LastAssignedFieldIdMatch {
                last_assigned_field_id: base.last_column_id(),
            });
        }
        if self.alterations.partitions.is_some() {
            requirements.push(TableRequirement::DefaultSpecIdMatch {
                default_spec_id: base.default_partition_spec_id(),
            });
            requirements.push(TableRequirement::LastAssignedPartitionIdMatch {
                last_assigned_partition_id: base.last_partition_id(),
            });
        }
        if self.alterations.order.is_some() {
            requirements.push(TableRequirement::DefaultSortOrderIdMatch {
                default_sort_order_id: base.default_sort_order_id(),
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
        let mut updates = self.leading().to_vec();
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
            && (self.alterations.columns.is_some()
                || !holds(is.current_schema(), was.current_schema()))
        {
            return Err(self.moved("the columns of the table were changed by somebody else"));
        }
        let rebased = Self::existing(self.id.clone(), now, self.alterations.clone())?;
        if self.laid_out_otherwise(&rebased) {
            return Err(self.moved("how the table is cut or sorted was changed by somebody else"));
        }
        Ok(Some(rebased))
    }

    /// Whether a layout that the commit brings is not that of the files that were written any more.
    fn laid_out_otherwise(&self, now: &Self) -> bool {
        let (Some(base), Some(now_base)) = (&self.base, &now.base) else {
            return false;
        };
        let (was, is) = (base.metadata(), now_base.metadata());
        let (written, will) = (&self.metadata, &now.metadata);
        let cut = was.default_partition_spec_id() != is.default_partition_spec_id()
            || written.default_partition_spec() != will.default_partition_spec();
        let sorted = was.default_sort_order_id() != is.default_sort_order_id()
            || written.default_sort_order() != will.default_sort_order();
        (self.alterations.partitions.is_some() && cut)
            || (self.alterations.order.is_some() && sorted)
    }

    pub(in crate::lake) fn moved(&self, message: &str) -> Error {
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

/// The metadata with its alterations, and the updates that lead there.
fn lead(
    base: &TableMetadata,
    alterations: &Alterations,
) -> Result<(TableMetadata, Vec<TableUpdate>)> {
    let built = altered(base, alterations)
        .and_then(TableMetadataBuilder::build)
        .map_err(failed("the table cannot be changed in this way"))?;
    let (metadata, mut updates) = (built.metadata, built.changes);
    for update in &mut updates {
        // With the identifiers of its fields, which files are written with: a server would give its own.
        if let TableUpdate::AddSpec { spec } = update {
            *spec = PartitionSpec::clone(metadata.default_partition_spec()).into_unbound();
        }
    }
    Ok((metadata, updates))
}

/// The metadata on its way. What the table had at some time before is taken up again, not made anew.
fn altered(
    base: &TableMetadata,
    alterations: &Alterations,
) -> iceberg::Result<TableMetadataBuilder> {
    let mut builder = base.clone().into_builder(None);
    if let Some(columns) = &alterations.columns {
        let same = |known: &&Arc<Schema>| {
            known.as_struct() == columns.as_struct()
                && known
                    .identifier_field_ids()
                    .eq(columns.identifier_field_ids())
        };
        builder = match base.schemas_iter().find(same) {
            Some(known) => builder.set_current_schema(known.schema_id())?,
            None => builder.add_current_schema(columns.clone())?,
        };
    }
    if let Some(cut) = &alterations.partitions {
        let mut specs = base.partition_specs_iter();
        builder = match specs.find(|known| is_cut_by(known, cut)) {
            Some(known) => builder.set_default_partition_spec(known.spec_id())?,
            None => builder.add_default_partition_spec(cut.clone())?,
        };
    }
    if let Some(order) = &alterations.order {
        let mut orders = base.sort_orders_iter();
        builder = match orders.find(|known| known.fields == order.fields) {
            Some(known) => builder.set_default_sort_order(known.order_id)?,
            None => builder
                .add_sort_order(order.clone())?
                .set_default_sort_order(i64::from(TableMetadataBuilder::LAST_ADDED))?,
        };
    }
    Ok(builder)
}
