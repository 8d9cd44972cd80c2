//! What every file of a stage has in common.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::Schema as ArrowSchema;
use connectors::Result;
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::io::FileIO;
use iceberg::spec::{PartitionSpecRef, SchemaRef, SortOrder, Struct, TableMetadata};
use uuid::Uuid;

use super::bloom::Blooms;
use super::sort::{SortKey, sort_keys};
use crate::lake::failure::failed;

/// Bytes of a value that its folder shows; the folder is for people, files are told apart by their names.
const FOLDER_VALUE_BYTES: usize = 64;

/// What a column of an open file costs: a compressor of its own, tables of its dictionary, the page being filled.
const OPEN_COLUMN_BYTES: usize = 192 << 10;

/// What every file of a stage has in common.
pub(in crate::lake) struct Shape {
    pub(super) file_io: FileIO,
    pub(super) schema: SchemaRef,
    pub(super) arrow: ArrowSchema,
    pub(super) spec: PartitionSpecRef,
    /// All ways in which files of the table are or were cut.
    specs: Vec<PartitionSpecRef>,
    /// Columns that must have the table's very type: all where there are partitions. These are computed from it, and
    /// rows of one partition in a layout of views would keep those of all others in memory.
    pub(super) exact: BTreeSet<String>,
    pub(super) target_file_bytes: usize,
    pub(super) sort: Vec<SortKey>,
    blooms: Blooms,
    /// What an open file costs besides the rows in it.
    pub(super) open_file_bytes: usize,
    /// What a file that is sorted as a whole may say of itself.
    pub(super) sort_order_id: Option<i32>,
    data_folder: String,
    /// Tells the files of this stage from those of any other.
    stage: Uuid,
    files: AtomicUsize,
}

impl Shape {
    /// The shape of files for this table.
    pub(in crate::lake) fn of(
        metadata: &TableMetadata,
        file_io: FileIO,
        sort: &SortOrder,
        target_file_bytes: u64,
    ) -> Result<Self> {
        let schema = Arc::clone(metadata.current_schema());
        let arrow = schema_to_arrow_schema(&schema)
            .map_err(failed("the table has a column that cannot be written"))?;
        let spec = Arc::clone(metadata.default_partition_spec());
        let names = arrow.fields().iter().map(|field| field.name().clone());
        let exact = if spec.is_unpartitioned() {
            BTreeSet::new()
        } else {
            names.collect()
        };
        let properties = metadata.properties();
        let data_folder = properties.get("write.data.path").cloned();
        let known = metadata
            .sort_orders_iter()
            .find(|order| order.fields == sort.fields);
        let known = known.filter(|_| !sort.is_unsorted());
        let blooms = Blooms::of(metadata);
        Ok(Self {
            file_io,
            sort: sort_keys(sort, &schema),
            sort_order_id: known.and_then(|order| i32::try_from(order.order_id).ok()),
            open_file_bytes: schema.field_id_to_fields().len() * OPEN_COLUMN_BYTES
                + blooms.open_bytes(),
            blooms,
            schema,
            arrow,
            spec,
            specs: metadata.partition_specs_iter().cloned().collect(),
            exact,
            target_file_bytes: usize::try_from(target_file_bytes).unwrap_or(usize::MAX),
            data_folder: data_folder.unwrap_or_else(|| format!("{}/data", metadata.location())),
            stage: Uuid::new_v4(),
            files: AtomicUsize::new(0),
        })
    }

    /// The columns of the table.
    pub(in crate::lake) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns of the table, as rows have them.
    pub(in crate::lake) const fn arrow(&self) -> &ArrowSchema {
        &self.arrow
    }

    /// All ways in which files of the table are or were cut.
    pub(in crate::lake) fn specs(&self) -> &[PartitionSpecRef] {
        &self.specs
    }

    /// The columns that get bloom filters.
    pub(in crate::lake) const fn blooms(&self) -> &Blooms {
        &self.blooms
    }

    /// Where files are written.
    pub(in crate::lake) const fn file_io(&self) -> &FileIO {
        &self.file_io
    }

    /// The folder of a partition's files.
    pub(super) fn folder(&self, partition: &Struct) -> Result<String> {
        let mut folder = self.data_folder.clone();
        let types = self.spec.partition_type(&self.schema);
        let types = types.map_err(failed("the table's partitions cannot be computed"))?;
        let fields = self.spec.fields().iter().zip(types.fields());
        for ((field, typed), value) in fields.zip(partition.iter()) {
            let value = field.transform.to_human_string(&typed.field_type, value);
            folder.push('/');
            push_safe(&mut folder, &field.name);
            folder.push('=');
            push_safe(&mut folder, &value);
        }
        Ok(folder)
    }

    /// A delete file beside a data file.
    pub(in crate::lake) fn delete_file_of(&self, data_file: &str) -> String {
        let folder = data_file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let file = self.files.fetch_add(1, Ordering::Relaxed);
        format!("{folder}/{}-{file:05}-deletes.parquet", self.stage)
    }

    /// The next file in a folder, by the writer of this number.
    pub(super) fn file_in(&self, folder: &str, writer: usize) -> String {
        let file = self.files.fetch_add(1, Ordering::Relaxed);
        format!("{folder}/{}-{writer:03}-{file:05}.parquet", self.stage)
    }
}

/// Adds text to a path so that it stays one part of it: values are data, and may hold slashes.
fn push_safe(path: &mut String, text: &str) {
    for byte in text.bytes().take(FOLDER_VALUE_BYTES) {
        if byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from_digit(u32::from(half), 16);
            path.push('%');
            path.extend([byte >> 4, byte & 0xf].into_iter().filter_map(digit));
        }
    }
}
