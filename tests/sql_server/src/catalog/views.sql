-- The views of sys and INFORMATION_SCHEMA. Each has the database its rows belong to in front; `system.rs` has the types.

CREATE TABLE tds.types (
    name text PRIMARY KEY,
    system_type_id smallint NOT NULL,
    user_type_id integer NOT NULL,
    max_length smallint NOT NULL,
    "precision" smallint NOT NULL,
    scale smallint NOT NULL,
    has_collation boolean NOT NULL DEFAULT false
);
INSERT INTO tds.types VALUES
    ('image', 34, 34, 16, 0, 0, false), ('text', 35, 35, 16, 0, 0, true), ('uniqueidentifier', 36, 36, 16, 0, 0, false),
    ('date', 40, 40, 3, 10, 0, false), ('time', 41, 41, 5, 16, 7, false), ('datetime2', 42, 42, 8, 27, 7, false),
    ('datetimeoffset', 43, 43, 10, 34, 7, false), ('tinyint', 48, 48, 1, 3, 0, false), ('smallint', 52, 52, 2, 5, 0, false),
    ('int', 56, 56, 4, 10, 0, false), ('smalldatetime', 58, 58, 4, 16, 0, false), ('real', 59, 59, 4, 24, 0, false),
    ('money', 60, 60, 8, 19, 4, false), ('datetime', 61, 61, 8, 23, 3, false), ('float', 62, 62, 8, 53, 0, false),
    ('sql_variant', 98, 98, 8016, 0, 0, false), ('ntext', 99, 99, 16, 0, 0, true), ('bit', 104, 104, 1, 1, 0, false),
    ('decimal', 106, 106, 17, 38, 38, false), ('numeric', 108, 108, 17, 38, 38, false), ('smallmoney', 122, 122, 4, 10, 4, false),
    ('bigint', 127, 127, 8, 19, 0, false), ('hierarchyid', 240, 128, 892, 0, 0, false), ('geometry', 240, 129, -1, 0, 0, false),
    ('geography', 240, 130, -1, 0, 0, false), ('varbinary', 165, 165, 8000, 0, 0, false), ('varchar', 167, 167, 8000, 0, 0, true),
    ('binary', 173, 173, 8000, 0, 0, false), ('char', 175, 175, 8000, 0, 0, true), ('timestamp', 189, 189, 8, 0, 0, false),
    ('nvarchar', 231, 231, 8000, 0, 0, true), ('nchar', 239, 239, 8000, 0, 0, true), ('xml', 241, 241, -1, 0, 0, false),
    ('sysname', 231, 256, 256, 0, 0, true);

CREATE VIEW tds."sys.databases" AS
SELECT d.database_id AS of_database, d.name, d.database_id, tds.datetime(d.create_date) AS create_date, 160::smallint AS compatibility_level,
    d.collation_name, 'MULTI_USER' AS user_access_desc, 0::smallint AS is_read_only, 0::smallint AS state, 'ONLINE' AS state_desc,
    d.snapshot_isolation_state, CASE d.snapshot_isolation_state WHEN 1 THEN 'ON' ELSE 'OFF' END AS snapshot_isolation_state_desc,
    d.is_read_committed_snapshot_on, 'FULL' AS recovery_model_desc, d.is_cdc_enabled
FROM tds.databases AS d;

CREATE VIEW tds."sys.schemas" AS
SELECT database_id AS of_database, name, schema_id, 1 AS principal_id FROM tds.schemas;

CREATE VIEW tds."sys.objects" AS
SELECT o.database_id AS of_database, o.name, o.object_id, NULL::integer AS principal_id, o.schema_id, o.parent_object_id,
    rpad(o.type, 2) AS type, CASE o.type WHEN 'U' THEN 'USER_TABLE' WHEN 'V' THEN 'VIEW' WHEN 'PK' THEN 'PRIMARY_KEY_CONSTRAINT'
        WHEN 'UQ' THEN 'UNIQUE_CONSTRAINT' WHEN 'F' THEN 'FOREIGN_KEY_CONSTRAINT' WHEN 'C' THEN 'CHECK_CONSTRAINT'
        WHEN 'D' THEN 'DEFAULT_CONSTRAINT' END AS type_desc,
    tds.datetime(o.create_date) AS create_date, tds.datetime(o.modify_date) AS modify_date, (s.name = 'cdc')::integer::smallint AS is_ms_shipped
FROM tds.objects AS o JOIN tds.schemas AS s USING (database_id, schema_id);

CREATE VIEW tds."sys.tables" AS
SELECT o.*, (EXISTS (SELECT FROM tds.captures AS k WHERE k.source_object_id = o.object_id))::integer::smallint AS is_tracked_by_cdc, 0::smallint AS is_memory_optimized, 0::smallint AS temporal_type,
    'NON_TEMPORAL_TABLE' AS temporal_type_desc, NULL::integer AS history_table_id, 0::smallint AS is_external
FROM tds."sys.objects" AS o WHERE o.type = 'U ';

CREATE VIEW tds."sys.views" AS SELECT o.* FROM tds."sys.objects" AS o WHERE o.type = 'V ';

CREATE VIEW tds."sys.columns" AS
SELECT o.database_id AS of_database, c.object_id, c.name, c.column_id, t.system_type_id, t.user_type_id, c.max_length,
    c."precision", c.scale, c.collation_name, c.is_nullable, c.is_identity, 0::smallint AS is_computed, 0::smallint AS is_hidden,
    0::smallint AS generated_always_type, c.default_object_id, 0::smallint AS is_rowguidcol, 0::smallint AS is_sparse
FROM tds.columns AS c JOIN tds.objects AS o USING (object_id) JOIN tds.types AS t ON t.name = c.type_name;

CREATE VIEW tds."sys.types" AS
SELECT d.database_id AS of_database, t.name, t.system_type_id, t.user_type_id, 4 AS schema_id, t.max_length, t."precision", t.scale,
    CASE WHEN t.has_collation THEN d.collation_name END AS collation_name, (t.name <> 'sysname')::integer::smallint AS is_nullable,
    0::smallint AS is_user_defined, (t.system_type_id = 240)::integer::smallint AS is_assembly_type, 0::smallint AS is_table_type
FROM tds.databases AS d CROSS JOIN tds.types AS t;

CREATE VIEW tds."sys.indexes" AS
SELECT o.database_id AS of_database, i.object_id, i.name, i.index_id, i.type,
    CASE i.type WHEN 0 THEN 'HEAP' WHEN 1 THEN 'CLUSTERED' ELSE 'NONCLUSTERED' END AS type_desc, i.is_unique, 1 AS data_space_id,
    i.is_primary_key, i.is_unique_constraint, 0::smallint AS is_disabled, 0::smallint AS is_hypothetical, 0::smallint AS has_filter,
    NULL::text AS filter_definition
FROM tds.indexes AS i JOIN tds.objects AS o USING (object_id)
UNION ALL
SELECT o.database_id, o.object_id, NULL, 0, 0, 'HEAP', 0, 1, 0, 0, 0, 0, 0, NULL
FROM tds.objects AS o
WHERE o.type = 'U' AND NOT EXISTS (SELECT FROM tds.indexes AS i WHERE i.object_id = o.object_id AND i.index_id = 1);

CREATE VIEW tds."sys.index_columns" AS
SELECT o.database_id AS of_database, c.object_id, c.index_id, c.index_column_id, c.column_id, c.key_ordinal,
    0::smallint AS partition_ordinal, c.is_descending_key, c.is_included_column
FROM tds.index_columns AS c JOIN tds.objects AS o USING (object_id);

CREATE VIEW tds."sys.key_constraints" AS
SELECT o.of_database, o.name, o.object_id, o.schema_id, o.parent_object_id, o.type, o.type_desc, i.index_id AS unique_index_id
FROM tds."sys.objects" AS o JOIN tds.indexes AS i ON i.constraint_id = o.object_id;

CREATE VIEW tds."sys.foreign_keys" AS
SELECT o.of_database, o.name, o.object_id, o.schema_id, o.parent_object_id, o.type, o.type_desc, f.referenced_object_id, 1 AS key_index_id,
    0::smallint AS is_disabled, 0::smallint AS is_not_trusted, 0::smallint AS delete_referential_action,
    0::smallint AS update_referential_action
FROM tds."sys.objects" AS o JOIN tds.foreign_keys AS f USING (object_id);

CREATE VIEW tds."sys.foreign_key_columns" AS
SELECT o.database_id AS of_database, c.* FROM tds.foreign_key_columns AS c JOIN tds.objects AS o ON o.object_id = c.constraint_object_id;

CREATE VIEW tds."sys.partitions" AS
SELECT i.of_database, 72057594000000000 + i.object_id::bigint * 1000 + i.index_id AS partition_id, i.object_id, i.index_id,
    1 AS partition_number, 72057594000000000 + i.object_id::bigint * 1000 + i.index_id AS hobt_id,
    tds.row_count(i.object_id) AS rows, 0::smallint AS data_compression
FROM tds."sys.indexes" AS i JOIN tds.objects AS o USING (object_id) WHERE o.type = 'U';

CREATE VIEW tds."sys.dm_db_partition_stats" AS
SELECT p.of_database, p.partition_id, p.object_id, p.index_id, p.partition_number, tds.used_bytes(p.object_id) / 8192 AS in_row_data_page_count,
    tds.used_bytes(p.object_id) / 8192 AS used_page_count, tds.used_bytes(p.object_id) / 8192 AS reserved_page_count, p.rows AS row_count
FROM tds."sys.partitions" AS p;

CREATE VIEW tds."sys.identity_columns" AS
SELECT o.database_id AS of_database, c.object_id, c.name, c.column_id, NULL::bytea AS seed_value, NULL::bytea AS increment_value
FROM tds.columns AS c JOIN tds.objects AS o USING (object_id) WHERE c.is_identity = 1;

CREATE VIEW tds."sys.computed_columns" AS
SELECT 0 AS of_database, 0 AS object_id, ''::text AS name, 0 AS column_id, ''::text AS definition, 0::smallint AS is_persisted WHERE false;

CREATE VIEW tds."sys.extended_properties" AS
SELECT 0 AS of_database, 0::smallint AS class, ''::text AS class_desc, 0 AS major_id, 0 AS minor_id, ''::text AS name, NULL::bytea AS value WHERE false;

CREATE VIEW tds."sys.change_tracking_databases" AS
SELECT d.database_id AS of_database, d.database_id, d.is_auto_cleanup_on, d.retention_minutes AS retention_period,
    1::smallint AS retention_period_units, 'MINUTES' AS retention_period_units_desc, NULL::bigint AS max_cleanup_version
FROM tds.databases AS d WHERE d.is_change_tracking_on = 1;

CREATE VIEW tds."sys.change_tracking_tables" AS
SELECT o.database_id AS of_database, t.object_id, t.is_track_columns_updated_on, t.min_valid_version, t.begin_version, t.cleanup_version
FROM tds.change_tracking AS t JOIN tds.objects AS o USING (object_id);

CREATE VIEW tds."information_schema.schemata" AS
SELECT s.database_id AS of_database, d.name AS "CATALOG_NAME", s.name AS "SCHEMA_NAME", 'dbo' AS "SCHEMA_OWNER"
FROM tds.schemas AS s JOIN tds.databases AS d USING (database_id);

CREATE VIEW tds."information_schema.tables" AS
SELECT o.database_id AS of_database, d.name AS "TABLE_CATALOG", s.name AS "TABLE_SCHEMA", o.name AS "TABLE_NAME",
    CASE o.type WHEN 'U' THEN 'BASE TABLE' ELSE 'VIEW' END AS "TABLE_TYPE"
FROM tds.objects AS o JOIN tds.schemas AS s USING (database_id, schema_id) JOIN tds.databases AS d USING (database_id)
WHERE o.type IN ('U', 'V');

CREATE VIEW tds."information_schema.columns" AS
SELECT t.of_database, t."TABLE_CATALOG", t."TABLE_SCHEMA", t."TABLE_NAME", c.name AS "COLUMN_NAME", c.column_id AS "ORDINAL_POSITION",
    (SELECT v.definition FROM tds.objects AS v WHERE v.object_id = c.default_object_id) AS "COLUMN_DEFAULT",
    CASE c.is_nullable WHEN 1 THEN 'YES' ELSE 'NO' END AS "IS_NULLABLE", c.type_name AS "DATA_TYPE",
    CASE WHEN c.type_name IN ('nchar', 'nvarchar') AND c.max_length > 0 THEN c.max_length / 2
        WHEN c.collation_name IS NOT NULL OR c.type_name IN ('binary', 'varbinary') THEN c.max_length END::integer AS "CHARACTER_MAXIMUM_LENGTH",
    CASE WHEN c.collation_name IS NOT NULL OR c.type_name IN ('binary', 'varbinary') THEN c.max_length END::integer AS "CHARACTER_OCTET_LENGTH",
    CASE WHEN n.is_number THEN c."precision" END AS "NUMERIC_PRECISION",
    CASE WHEN c.type_name IN ('float', 'real') THEN 2 WHEN n.is_number THEN 10 END::smallint AS "NUMERIC_PRECISION_RADIX",
    CASE WHEN n.is_number AND c.type_name NOT IN ('float', 'real') THEN c.scale END::integer AS "NUMERIC_SCALE",
    CASE WHEN c.type_name IN ('date', 'time', 'datetime', 'datetime2', 'smalldatetime', 'datetimeoffset') THEN c.scale END AS "DATETIME_PRECISION",
    c.collation_name AS "COLLATION_NAME"
FROM tds.columns AS c JOIN tds.objects AS o USING (object_id) JOIN tds.schemas AS s USING (database_id, schema_id)
    JOIN tds."information_schema.tables" AS t ON t.of_database = o.database_id AND t."TABLE_SCHEMA" = s.name AND t."TABLE_NAME" = o.name
    CROSS JOIN LATERAL (SELECT c.type_name IN ('tinyint', 'smallint', 'int', 'bigint', 'decimal', 'numeric', 'money',
        'smallmoney', 'float', 'real') AS is_number) AS n;

CREATE VIEW tds."information_schema.table_constraints" AS
SELECT o.database_id AS of_database, d.name AS "CONSTRAINT_CATALOG", s.name AS "CONSTRAINT_SCHEMA", o.name AS "CONSTRAINT_NAME",
    d.name AS "TABLE_CATALOG", s.name AS "TABLE_SCHEMA", p.name AS "TABLE_NAME",
    CASE o.type WHEN 'PK' THEN 'PRIMARY KEY' WHEN 'UQ' THEN 'UNIQUE' WHEN 'F' THEN 'FOREIGN KEY' ELSE 'CHECK' END AS "CONSTRAINT_TYPE"
FROM tds.objects AS o JOIN tds.objects AS p ON p.object_id = o.parent_object_id
    JOIN tds.schemas AS s ON s.database_id = p.database_id AND s.schema_id = p.schema_id JOIN tds.databases AS d ON d.database_id = o.database_id
WHERE o.type IN ('PK', 'UQ', 'F', 'C');

CREATE VIEW tds."information_schema.key_column_usage" AS
SELECT t.*, c.name AS "COLUMN_NAME", k.at AS "ORDINAL_POSITION"
FROM (
    SELECT i.constraint_id, ic.object_id, ic.column_id, ic.key_ordinal::integer AS at
    FROM tds.indexes AS i JOIN tds.index_columns AS ic USING (object_id, index_id) WHERE i.constraint_id <> 0
    UNION ALL
    SELECT constraint_object_id, parent_object_id, parent_column_id, constraint_column_id FROM tds.foreign_key_columns
) AS k JOIN tds.objects AS o ON o.object_id = k.constraint_id
    JOIN tds.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
    JOIN tds.schemas AS s ON s.database_id = o.database_id AND s.schema_id = o.schema_id
    CROSS JOIN LATERAL (SELECT u.of_database, u."CONSTRAINT_CATALOG", u."CONSTRAINT_SCHEMA", u."CONSTRAINT_NAME", u."TABLE_CATALOG",
        u."TABLE_SCHEMA", u."TABLE_NAME" FROM tds."information_schema.table_constraints" AS u
        WHERE u.of_database = o.database_id AND u."CONSTRAINT_SCHEMA" = s.name AND u."CONSTRAINT_NAME" = o.name) AS t;
