//! What a write changes of the table that is there besides its rows: columns, partitions, order.
//!
//! Pure: knows metadata and a request. `commit` puts what comes out into the same commit as the rows.

use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{Schema, SortOrder, TableMetadata, UnboundPartitionSpec};

use super::partition;
use super::schema::{self, Evolution, Reaction};
use super::stage::StageRequest;

/// What a commit changes of a table besides its rows.
#[derive(Clone, Debug, Default)]
pub(in crate::lake) struct Alterations {
    /// The columns instead of its own.
    pub(in crate::lake) columns: Option<Schema>,
    /// How files are cut from now on.
    pub(in crate::lake) partitions: Option<UnboundPartitionSpec>,
    /// How the table is sorted from now on.
    pub(in crate::lake) order: Option<SortOrder>,
}

/// What a write asks of a table, whether it is allowed or not.
pub(super) struct Asked {
    pub(super) alterations: Alterations,
    /// How the columns of the rows differ from those of the table, under their new names.
    evolution: Evolution,
}

/// What a write asks of a table. What can be under no circumstances is an error.
pub(super) fn asked(metadata: &TableMetadata, request: &StageRequest) -> Result<Asked> {
    let (current, rows) = (metadata.current_schema(), &request.schema);
    let on = request.on_schema_change;
    let renamed = schema::renamed(current, rows, &request.renamed_from)?;
    let table = renamed.as_ref().unwrap_or(current);
    let evolution = schema::compare(table, rows)?;
    let evolved = schema::evolve(table, metadata.last_column_id(), rows, &evolution, on)?;
    let mut alterations = Alterations {
        columns: evolved.or(renamed.clone()),
        ..Alterations::default()
    };
    let columns = alterations.columns.as_ref().unwrap_or(current);
    partition::require_free_names(metadata, columns)?;
    if !request.partition_by.is_empty() {
        let written = partition::partition_spec(&request.partition_by, columns)?;
        let same = partition::is_cut_by(metadata.default_partition_spec(), &written);
        let follows = on.partition != Reaction::Ignore;
        alterations.partitions = (!same && follows).then_some(written);
    }
    if !request.sort_by.is_empty() {
        let written = partition::sort_order(&request.sort_by, columns)?;
        let same = metadata.default_sort_order().fields == written.fields;
        alterations.order = (!same).then_some(written);
    }
    if on.drop == Reaction::Accept {
        let order = alterations.order.as_ref();
        require_unused(metadata, order, table, &evolution.dropped)?;
    }
    if on.reorder == Reaction::Reject {
        schema::require_same_order(table, rows)?;
    }
    Ok(Asked {
        alterations,
        evolution,
    })
}

impl Asked {
    /// What the write does, if it may.
    pub(super) fn allowed(
        self,
        metadata: &TableMetadata,
        request: &StageRequest,
    ) -> Result<Alterations> {
        let on = request.on_schema_change;
        self.evolution.check(on)?;
        if self.alterations.partitions.is_some() && on.partition == Reaction::Reject {
            let spec = metadata.default_partition_spec();
            let cut = partition::words(spec, metadata.current_schema());
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the table is partitioned in another way",
            )
            .with("partitioned by", format!("[{}]", cut.join(", ")))
            .help(
                "write `partition_by` as it is, leave it out, or cut new files in this way from now on by \
                 `on_schema_change: { partition: accept }`",
            ));
        }
        Ok(self.alterations)
    }
}

/// Refuses to drop columns by which files are or were cut, or by which the table is sorted: what tells of files could no
/// longer be understood without them.
fn require_unused(
    metadata: &TableMetadata,
    order: Option<&SortOrder>,
    table: &Schema,
    dropped: &[String],
) -> Result<()> {
    let order = order.unwrap_or(metadata.default_sort_order());
    for name in dropped {
        let Some(field) = table.as_struct().field_by_name(name) else {
            continue;
        };
        let cuts = |spec: &iceberg::spec::PartitionSpec| {
            let mut fields = spec.fields().iter();
            fields.any(|cut| cut.source_id == field.id)
        };
        let used = if cuts(metadata.default_partition_spec()) {
            "the table is partitioned by it"
        } else if metadata.partition_specs_iter().any(|spec| cuts(spec)) {
            "the table was partitioned by it, and may have files of that time"
        } else if order.fields.iter().any(|by| by.source_id == field.id) {
            "the table is sorted by it"
        } else {
            continue;
        };
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("column `{name}` is not in the rows and cannot be dropped: {used}"),
        )
        .help("keep it, with NULL in new rows, by `on_schema_change: { drop: keep }`, or bring it back"));
    }
    Ok(())
}
