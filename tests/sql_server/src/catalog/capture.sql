-- Change data capture: capture tables are tables like any other, in the schema `cdc`, fed by triggers. Their first five
-- columns are those of every capture table: c1 start_lsn, c2 end_lsn, c3 seqval, c4 operation, c5 update_mask.

CREATE TABLE tds.captures (
    object_id integer PRIMARY KEY REFERENCES tds.objects ON DELETE CASCADE,
    database_id integer NOT NULL,
    source_object_id integer NOT NULL REFERENCES tds.objects (object_id) ON DELETE CASCADE,
    capture_instance text NOT NULL,
    start_lsn bytea NOT NULL,
    supports_net_changes smallint NOT NULL,
    role_name text,
    create_date bigint NOT NULL DEFAULT tds.now_ticks(),
    UNIQUE (database_id, capture_instance)
);

CREATE TABLE tds.captured_columns (
    object_id integer NOT NULL REFERENCES tds.captures ON DELETE CASCADE,
    column_name text NOT NULL,
    column_id integer NOT NULL,
    column_type text NOT NULL,
    column_ordinal integer NOT NULL
);

CREATE TABLE tds.lsn_times (
    database_id integer NOT NULL,
    start_lsn bytea NOT NULL,
    tran_end_time bigint NOT NULL DEFAULT tds.now_ticks(),
    PRIMARY KEY (database_id, start_lsn)
);

CREATE SEQUENCE tds.lsns START 1024;
CREATE SEQUENCE tds.lsn_steps;

CREATE FUNCTION tds.lsn(number bigint) RETURNS bytea IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT int8send(number) || '\x0001'::bytea
$$;

-- As change tracking does it: the number is taken when the transaction commits, and becomes visible in its order.
CREATE FUNCTION tds.commit_lsn(of_database integer) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    lsn bytea := decode(nullif(current_setting('tds.lsn', true), ''), 'hex');
BEGIN
    IF lsn IS NULL THEN
        PERFORM pg_advisory_xact_lock(4355, of_database);
        lsn := tds.lsn(nextval('tds.lsns'));
        INSERT INTO tds.lsn_times VALUES (of_database, lsn);
        PERFORM set_config('tds.lsn', encode(lsn, 'hex'), true);
    END IF;
    RETURN lsn;
END $$;

CREATE FUNCTION tds.give_lsn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE %I.%I SET c1 = tds.commit_lsn($1) WHERE c3 = $2 AND c1 IS NULL', TG_TABLE_SCHEMA, TG_TABLE_NAME)
        USING TG_ARGV[0]::integer, NEW.c3;
    RETURN NULL;
END $$;

CREATE FUNCTION tds.max_lsn(of_database integer) RETURNS bytea STABLE LANGUAGE sql AS $$
    SELECT coalesce((SELECT start_lsn FROM tds.lsn_times WHERE database_id = of_database ORDER BY start_lsn DESC LIMIT 1), tds.lsn(1023))
    FROM tds.databases WHERE database_id = of_database AND is_cdc_enabled = 1
$$;

-- Zero where there is no such instance.
CREATE FUNCTION tds.min_lsn(of_database integer, instance text) RETURNS bytea STABLE LANGUAGE sql AS $$
    SELECT coalesce((SELECT start_lsn FROM tds.captures
        WHERE database_id = of_database AND lower(capture_instance) = lower(instance)), '\x00000000000000000000'::bytea)
$$;

CREATE FUNCTION tds.step_lsn(value bytea, step integer) RETURNS bytea IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT CASE WHEN low BETWEEN 0 AND 65535 THEN substr(value, 1, 8) || substr(int4send(low::integer), 3)
        WHEN low < 0 THEN int8send(tds.int_of_bytes(substr(value, 1, 8)) - 1) || '\xffff'::bytea
        ELSE int8send(tds.int_of_bytes(substr(value, 1, 8)) + 1) || '\x0000'::bytea END
    FROM (SELECT tds.int_of_bytes(substr(value, 9, 2)) + step AS low) AS stepped
$$;

CREATE FUNCTION tds.lsn_of_time(of_database integer, relation text, moment bigint) RETURNS bytea STABLE STRICT LANGUAGE sql AS $$
    SELECT start_lsn FROM tds.lsn_times
    WHERE database_id = of_database AND CASE lower(relation)
        WHEN 'largest less than' THEN tran_end_time < moment
        WHEN 'largest less than or equal' THEN tran_end_time <= moment
        WHEN 'smallest greater than' THEN tran_end_time > moment
        WHEN 'smallest greater than or equal' THEN tran_end_time >= moment END
    ORDER BY CASE WHEN relation ILIKE 'smallest%' THEN start_lsn END ASC, CASE WHEN relation ILIKE 'largest%' THEN start_lsn END DESC
    LIMIT 1
$$;

-- A range that is not wholly kept is refused with the error that SQL Server has for it, however odd its words.
CREATE FUNCTION tds.check_lsns(of_database integer, instance text, first bytea, last bytea) RETURNS boolean STABLE LANGUAGE plpgsql AS $$
BEGIN
    IF first IS NULL OR last IS NULL OR first > last OR first < tds.min_lsn(of_database, instance) OR last > tds.max_lsn(of_database) THEN
        PERFORM tds.fail(313, 'An insufficient number of arguments were supplied for the procedure or function cdc.fn_cdc_get_all_changes_ ... .');
    END IF;
    RETURN true;
END $$;

CREATE VIEW tds."cdc.change_tables" AS
SELECT c.database_id AS of_database, c.object_id, 1 AS version, c.source_object_id, c.capture_instance, c.start_lsn, NULL::bytea AS end_lsn,
    c.supports_net_changes, 0::smallint AS has_drop_pending, c.role_name, NULL::text AS index_name, NULL::text AS filegroup_name,
    tds.datetime(c.create_date) AS create_date, 0::smallint AS partition_switch
FROM tds.captures AS c;

CREATE VIEW tds."cdc.captured_columns" AS
SELECT c.database_id AS of_database, k.object_id, k.column_name, k.column_id, k.column_type, k.column_ordinal, 0::smallint AS is_computed
FROM tds.captured_columns AS k JOIN tds.captures AS c USING (object_id);

CREATE VIEW tds."cdc.lsn_time_mapping" AS
SELECT t.database_id AS of_database, t.start_lsn, tds.datetime(t.tran_end_time) AS tran_begin_time,
    tds.datetime(t.tran_end_time) AS tran_end_time, NULL::bytea AS tran_id, NULL::bytea AS tran_begin_lsn
FROM tds.lsn_times AS t;

CREATE FUNCTION tds.drop_capture(capture integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP FUNCTION data.capture_%s CASCADE', capture);
    EXECUTE format('DROP TABLE data.t%s', capture);
    DELETE FROM tds.objects WHERE object_id = capture;
END $$;
