//! The views of `sys` and `INFORMATION_SCHEMA` that are known, with the types of their columns.
//!
//! Their rows come from `views.sql`, which has a view of the same name and `of_database` in front for each of them.

use super::{Column, same};
use crate::error::Result;
use crate::sql::column_list;

#[derive(Clone, Debug)]
pub(crate) struct SystemView {
    /// Its name in PostgreSQL.
    pub(crate) postgres: String,
    pub(crate) columns: Vec<Column>,
}

/// Schema, name and columns; a `not null` after a type is one on the wire too.
const VIEWS: [(&str, &str, &str); 27] = [
    (
        "sys",
        "databases",
        "name sysname not null, database_id int not null, create_date datetime not null, compatibility_level tinyint not null, collation_name sysname, user_access_desc nvarchar(60), is_read_only bit, state tinyint, state_desc nvarchar(60), snapshot_isolation_state tinyint, snapshot_isolation_state_desc nvarchar(60), is_read_committed_snapshot_on bit, recovery_model_desc nvarchar(60), is_cdc_enabled bit not null",
    ),
    (
        "sys",
        "schemas",
        "name sysname not null, schema_id int not null, principal_id int",
    ),
    (
        "sys",
        "objects",
        "name sysname not null, object_id int not null, principal_id int, schema_id int not null, parent_object_id int not null, type char(2), type_desc nvarchar(60), create_date datetime not null, modify_date datetime not null, is_ms_shipped bit not null",
    ),
    (
        "sys",
        "tables",
        "name sysname not null, object_id int not null, principal_id int, schema_id int not null, parent_object_id int not null, type char(2), type_desc nvarchar(60), create_date datetime not null, modify_date datetime not null, is_ms_shipped bit not null, is_tracked_by_cdc bit, is_memory_optimized bit, temporal_type tinyint, temporal_type_desc nvarchar(60), history_table_id int, is_external bit not null",
    ),
    (
        "sys",
        "views",
        "name sysname not null, object_id int not null, principal_id int, schema_id int not null, parent_object_id int not null, type char(2), type_desc nvarchar(60), create_date datetime not null, modify_date datetime not null, is_ms_shipped bit not null",
    ),
    (
        "sys",
        "columns",
        "object_id int not null, name sysname, column_id int not null, system_type_id tinyint not null, user_type_id int not null, max_length smallint not null, precision tinyint not null, scale tinyint not null, collation_name sysname, is_nullable bit, is_identity bit not null, is_computed bit not null, is_hidden bit, generated_always_type tinyint, default_object_id int not null, is_rowguidcol bit not null, is_sparse bit",
    ),
    (
        "sys",
        "types",
        "name sysname not null, system_type_id tinyint not null, user_type_id int not null, schema_id int not null, max_length smallint not null, precision tinyint not null, scale tinyint not null, collation_name sysname, is_nullable bit, is_user_defined bit not null, is_assembly_type bit not null, is_table_type bit not null",
    ),
    (
        "sys",
        "indexes",
        "object_id int not null, name sysname, index_id int not null, type tinyint not null, type_desc nvarchar(60), is_unique bit, data_space_id int, is_primary_key bit, is_unique_constraint bit, is_disabled bit, is_hypothetical bit, has_filter bit, filter_definition nvarchar(max)",
    ),
    (
        "sys",
        "index_columns",
        "object_id int not null, index_id int not null, index_column_id int not null, column_id int not null, key_ordinal tinyint not null, partition_ordinal tinyint not null, is_descending_key bit, is_included_column bit",
    ),
    (
        "sys",
        "key_constraints",
        "name sysname not null, object_id int not null, schema_id int not null, parent_object_id int not null, type char(2), type_desc nvarchar(60), unique_index_id int",
    ),
    (
        "sys",
        "foreign_keys",
        "name sysname not null, object_id int not null, schema_id int not null, parent_object_id int not null, type char(2), type_desc nvarchar(60), referenced_object_id int, key_index_id int, is_disabled bit not null, is_not_trusted bit not null, delete_referential_action tinyint, update_referential_action tinyint",
    ),
    (
        "sys",
        "foreign_key_columns",
        "constraint_object_id int not null, constraint_column_id int not null, parent_object_id int not null, parent_column_id int not null, referenced_object_id int not null, referenced_column_id int not null",
    ),
    (
        "sys",
        "partitions",
        "partition_id bigint not null, object_id int not null, index_id int not null, partition_number int not null, hobt_id bigint not null, rows bigint, data_compression tinyint not null",
    ),
    (
        "sys",
        "dm_db_partition_stats",
        "partition_id bigint, object_id int not null, index_id int not null, partition_number int not null, in_row_data_page_count bigint, used_page_count bigint, reserved_page_count bigint, row_count bigint",
    ),
    (
        "sys",
        "identity_columns",
        "object_id int not null, name sysname, column_id int not null, seed_value sql_variant, increment_value sql_variant",
    ),
    (
        "sys",
        "computed_columns",
        "object_id int not null, name sysname, column_id int not null, definition nvarchar(max), is_persisted bit not null",
    ),
    (
        "sys",
        "extended_properties",
        "class tinyint not null, class_desc nvarchar(60), major_id int not null, minor_id int not null, name sysname not null, value sql_variant",
    ),
    (
        "sys",
        "change_tracking_databases",
        "database_id int, is_auto_cleanup_on tinyint, retention_period int, retention_period_units tinyint, retention_period_units_desc nvarchar(60), max_cleanup_version bigint",
    ),
    (
        "sys",
        "change_tracking_tables",
        "object_id int not null, is_track_columns_updated_on bit not null, min_valid_version bigint, begin_version bigint, cleanup_version bigint",
    ),
    (
        "cdc",
        "change_tables",
        "object_id int not null, version int, source_object_id int, capture_instance sysname not null, start_lsn binary(10), end_lsn binary(10), supports_net_changes bit, has_drop_pending bit, role_name sysname, index_name sysname, filegroup_name sysname, create_date datetime, partition_switch bit not null",
    ),
    (
        "cdc",
        "captured_columns",
        "object_id int not null, column_name sysname not null, column_id int, column_type sysname not null, column_ordinal int not null, is_computed bit",
    ),
    (
        "cdc",
        "lsn_time_mapping",
        "start_lsn binary(10) not null, tran_begin_time datetime, tran_end_time datetime, tran_id varbinary(10), tran_begin_lsn binary(10)",
    ),
    (
        "INFORMATION_SCHEMA",
        "SCHEMATA",
        "CATALOG_NAME sysname, SCHEMA_NAME sysname not null, SCHEMA_OWNER sysname",
    ),
    (
        "INFORMATION_SCHEMA",
        "TABLES",
        "TABLE_CATALOG nvarchar(128), TABLE_SCHEMA sysname, TABLE_NAME sysname not null, TABLE_TYPE varchar(10)",
    ),
    (
        "INFORMATION_SCHEMA",
        "COLUMNS",
        "TABLE_CATALOG nvarchar(128), TABLE_SCHEMA nvarchar(128), TABLE_NAME sysname not null, COLUMN_NAME sysname, ORDINAL_POSITION int, COLUMN_DEFAULT nvarchar(4000), IS_NULLABLE varchar(3), DATA_TYPE nvarchar(128), CHARACTER_MAXIMUM_LENGTH int, CHARACTER_OCTET_LENGTH int, NUMERIC_PRECISION tinyint, NUMERIC_PRECISION_RADIX smallint, NUMERIC_SCALE int, DATETIME_PRECISION smallint, COLLATION_NAME sysname",
    ),
    (
        "INFORMATION_SCHEMA",
        "TABLE_CONSTRAINTS",
        "CONSTRAINT_CATALOG nvarchar(128), CONSTRAINT_SCHEMA nvarchar(128), CONSTRAINT_NAME sysname not null, TABLE_CATALOG nvarchar(128), TABLE_SCHEMA nvarchar(128), TABLE_NAME sysname, CONSTRAINT_TYPE varchar(11)",
    ),
    (
        "INFORMATION_SCHEMA",
        "KEY_COLUMN_USAGE",
        "CONSTRAINT_CATALOG nvarchar(128), CONSTRAINT_SCHEMA nvarchar(128), CONSTRAINT_NAME nvarchar(128) not null, TABLE_CATALOG nvarchar(128), TABLE_SCHEMA nvarchar(128), TABLE_NAME nvarchar(128), COLUMN_NAME nvarchar(128), ORDINAL_POSITION int",
    ),
];

pub(crate) fn system_view(schema: &str, name: &str) -> Result<Option<SystemView>> {
    let found = VIEWS
        .iter()
        .find(|(of, known, _)| same(of, schema) && same(known, name));
    let Some((of, known, columns)) = found else {
        return Ok(None);
    };
    let definitions = column_list(columns)?;
    let columns = definitions
        .into_iter()
        .zip(1..)
        .map(|(definition, id)| Column {
            id,
            name: definition.name,
            sql_type: definition.sql_type,
            nullable: definition.nullable != Some(false),
            identity: false,
        })
        .collect();
    let postgres = format!("tds.\"{of}.{known}\"").to_lowercase();
    Ok(Some(SystemView { postgres, columns }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_is_declared_in_t_sql() {
        for (schema, name, _) in VIEWS {
            let view = system_view(schema, name).unwrap().unwrap();
            assert!(!view.columns.is_empty(), "{schema}.{name}");
        }
    }
}
