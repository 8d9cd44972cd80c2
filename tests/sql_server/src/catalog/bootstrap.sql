-- What the server keeps in PostgreSQL beside the rows: databases, schemas, tables and columns as T-SQL declared them,
-- and the functions that T-SQL's types need. Rows are in data.t<object_id>, columns are c<column_id>.
-- A function raises SQLSTATE `T` and four digits: the number of SQL Server's error.

CREATE SCHEMA tds;
CREATE SCHEMA data;

CREATE COLLATION tds.ci (provider = icu, locale = 'en-u-ks-level2', deterministic = false);
CREATE COLLATION tds.cs (provider = icu, locale = 'en');

CREATE FUNCTION tds.now_ticks() RETURNS bigint VOLATILE LANGUAGE sql AS $$
    SELECT 621355968000000000 + (extract(epoch FROM clock_timestamp()) * 10000000)::bigint
$$;

-- Changes with every change of what follows; whoever has read the catalogue asks for it.
CREATE TABLE tds.generation (generation bigint NOT NULL);
INSERT INTO tds.generation VALUES (1);

CREATE TABLE tds.databases (
    database_id serial PRIMARY KEY,
    name text NOT NULL,
    collation_name text NOT NULL DEFAULT 'SQL_Latin1_General_CP1_CI_AS',
    snapshot_isolation_state smallint NOT NULL DEFAULT 0,
    is_read_committed_snapshot_on smallint NOT NULL DEFAULT 0,
    is_change_tracking_on smallint NOT NULL DEFAULT 0,
    retention_minutes integer NOT NULL DEFAULT 2880,
    is_auto_cleanup_on smallint NOT NULL DEFAULT 1,
    is_cdc_enabled smallint NOT NULL DEFAULT 0,
    create_date bigint NOT NULL DEFAULT tds.now_ticks()
);
INSERT INTO tds.databases (name, snapshot_isolation_state) VALUES ('master', 1), ('tempdb', 0), ('model', 0), ('msdb', 1);

CREATE TABLE tds.schemas (
    database_id integer NOT NULL REFERENCES tds.databases ON DELETE CASCADE,
    schema_id integer NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (database_id, schema_id)
);

CREATE SEQUENCE tds.object_ids START 581577110;

CREATE TABLE tds.objects (
    object_id integer PRIMARY KEY DEFAULT nextval('tds.object_ids'),
    database_id integer NOT NULL REFERENCES tds.databases ON DELETE CASCADE,
    schema_id integer NOT NULL,
    parent_object_id integer NOT NULL DEFAULT 0,
    name text NOT NULL,
    type text NOT NULL,
    definition text,
    create_date bigint NOT NULL DEFAULT tds.now_ticks(),
    modify_date bigint NOT NULL DEFAULT tds.now_ticks()
);
CREATE UNIQUE INDEX ON tds.objects (database_id, schema_id, lower(name));

CREATE TABLE tds.columns (
    object_id integer NOT NULL REFERENCES tds.objects ON DELETE CASCADE,
    column_id integer NOT NULL,
    name text NOT NULL,
    type_name text NOT NULL,
    max_length smallint NOT NULL,
    "precision" smallint NOT NULL,
    scale smallint NOT NULL,
    collation_name text,
    is_nullable smallint NOT NULL,
    is_identity smallint NOT NULL,
    default_object_id integer NOT NULL DEFAULT 0,
    PRIMARY KEY (object_id, column_id)
);

CREATE TABLE tds.indexes (
    object_id integer NOT NULL REFERENCES tds.objects ON DELETE CASCADE,
    index_id integer NOT NULL,
    name text,
    type smallint NOT NULL,
    is_unique smallint NOT NULL,
    is_primary_key smallint NOT NULL,
    is_unique_constraint smallint NOT NULL,
    constraint_id integer NOT NULL DEFAULT 0,
    PRIMARY KEY (object_id, index_id)
);

CREATE TABLE tds.index_columns (
    object_id integer NOT NULL,
    index_id integer NOT NULL,
    index_column_id integer NOT NULL,
    column_id integer NOT NULL,
    key_ordinal smallint NOT NULL,
    is_descending_key smallint NOT NULL,
    is_included_column smallint NOT NULL,
    PRIMARY KEY (object_id, index_id, index_column_id),
    FOREIGN KEY (object_id, index_id) REFERENCES tds.indexes ON DELETE CASCADE
);

CREATE TABLE tds.foreign_keys (
    object_id integer PRIMARY KEY REFERENCES tds.objects ON DELETE CASCADE,
    parent_object_id integer NOT NULL,
    referenced_object_id integer NOT NULL
);

CREATE TABLE tds.foreign_key_columns (
    constraint_object_id integer NOT NULL REFERENCES tds.foreign_keys ON DELETE CASCADE,
    constraint_column_id integer NOT NULL,
    parent_object_id integer NOT NULL,
    parent_column_id integer NOT NULL,
    referenced_object_id integer NOT NULL,
    referenced_column_id integer NOT NULL
);

CREATE FUNCTION tds.fail(number integer, message text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'T' || lpad(number::text, 4, '0'), MESSAGE = message;
END $$;

-- ── Numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

-- T-SQL reads an empty text as zero.
CREATE FUNCTION tds.number_text(value text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT CASE WHEN btrim(value) = '' THEN '0' ELSE btrim(value) END
$$;

CREATE FUNCTION tds.tinyint(value bigint) RETURNS smallint IMMUTABLE STRICT LANGUAGE plpgsql AS $$
BEGIN
    IF value NOT BETWEEN 0 AND 255 THEN
        PERFORM tds.fail(220, 'Arithmetic overflow error for data type tinyint, value = ' || value || '.');
    END IF;
    RETURN value;
END $$;

CREATE FUNCTION tds.bit_of_text(value text) RETURNS smallint IMMUTABLE STRICT LANGUAGE plpgsql AS $$
BEGIN
    IF lower(btrim(value)) IN ('true', 'false') THEN
        RETURN (lower(btrim(value)) = 'true')::integer;
    END IF;
    RETURN (tds.number_text(value)::bigint <> 0)::integer;
END $$;

CREATE FUNCTION tds.money(value numeric, digits integer) RETURNS numeric IMMUTABLE STRICT LANGUAGE plpgsql AS $$
DECLARE
    rounded numeric := round(value, 4);
    most numeric := CASE digits WHEN 19 THEN 922337203685477.5807 ELSE 214748.3647 END;
BEGIN
    IF rounded > most OR rounded < -most - 0.0001 THEN
        PERFORM tds.fail(8115, 'Arithmetic overflow error converting expression to data type money.');
    END IF;
    RETURN rounded;
END $$;

-- ── Dates and times: counts of 100 ns ───────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION tds.moment_parts(value text, wanted text) RETURNS bigint[] IMMUTABLE STRICT LANGUAGE plpgsql AS $$
DECLARE
    m text[] := regexp_match(btrim(value),
        '^(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{4})(\d{2})(\d{2}))?(?:(?:^|[ T])(\d{1,2}):(\d{2})(?::(\d{2})(?:[.:](\d{1,7}))?)?)?(?: ?(Z|[+-]\d{2}:\d{2}))?$');
    days bigint := 693595;
    ticks bigint := 0;
    zone bigint := 0;
BEGIN
    IF m IS NULL OR (m[1] IS NULL AND m[4] IS NULL AND m[7] IS NULL AND btrim(value) <> '') THEN
        PERFORM tds.fail(241, 'Conversion failed when converting date and/or time from character string.');
    END IF;
    BEGIN
        IF coalesce(m[1], m[4]) IS NOT NULL THEN
            days := make_date(coalesce(m[1], m[4])::int, coalesce(m[2], m[5])::int, coalesce(m[3], m[6])::int) - date '0001-01-01';
        END IF;
    EXCEPTION WHEN datetime_field_overflow THEN
        PERFORM tds.fail(242, 'The conversion of a ' || 'varchar data type to a ' || wanted || ' data type resulted in an out-of-range value.');
    END;
    IF m[7] IS NOT NULL THEN
        IF m[7]::int > 23 OR m[8]::int > 59 OR coalesce(m[9]::int, 0) > 59 THEN
            PERFORM tds.fail(241, 'Conversion failed when converting date and/or time from character string.');
        END IF;
        ticks := (m[7]::bigint * 3600 + m[8]::bigint * 60 + coalesce(m[9]::bigint, 0)) * 10000000
            + rpad(coalesce(m[10], '0'), 7, '0')::bigint;
    END IF;
    IF m[11] IS NOT NULL AND m[11] <> 'Z' THEN
        zone := (CASE WHEN m[11] LIKE '-%' THEN -1 ELSE 1 END)
            * (substr(m[11], 2, 2)::int * 60 + substr(m[11], 5, 2)::int);
    END IF;
    RETURN ARRAY[days, ticks, zone];
END $$;

CREATE FUNCTION tds.ticks_of_text(value text) RETURNS bigint IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT p[1] * 864000000000 + p[2] FROM tds.moment_parts(value, 'datetime2') AS p
$$;

CREATE FUNCTION tds.days_of_text(value text) RETURNS integer IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT p[1]::integer FROM tds.moment_parts(value, 'date') AS p
$$;

CREATE FUNCTION tds.time_of_text(value text) RETURNS bigint IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT p[2] FROM tds.moment_parts(value, 'time') AS p
$$;

CREATE FUNCTION tds.offset_of_text(value text) RETURNS bigint[] IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT ARRAY[p[1] * 864000000000 + p[2] - p[3] * 600000000, p[3]] FROM tds.moment_parts(value, 'datetimeoffset') AS p
$$;

CREATE FUNCTION tds.at_scale(ticks bigint, scale integer) RETURNS bigint IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT (ticks + (10 ^ (7 - scale))::bigint / 2) / (10 ^ (7 - scale))::bigint * (10 ^ (7 - scale))::bigint
$$;

CREATE FUNCTION tds.in_years(ticks bigint, first bigint, last bigint, wanted text) RETURNS bigint IMMUTABLE STRICT LANGUAGE plpgsql AS $$
BEGIN
    IF ticks < first OR ticks >= last THEN
        PERFORM tds.fail(242, 'The conversion to a ' || wanted || ' data type resulted in an out-of-range value.');
    END IF;
    RETURN ticks;
END $$;

-- Of 1/300 s, from 1753.
CREATE FUNCTION tds.datetime(ticks bigint) RETURNS bigint IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT tds.in_years(ticks - ticks % 864000000000
        + ((ticks % 864000000000 * 3 + 50000) / 100000 * 100000 + 1) / 3, 552877920000000000, 3155378976000000000, 'datetime')
$$;

-- Of a minute, from 1900 to 2079-06-06.
CREATE FUNCTION tds.smalldatetime(ticks bigint) RETURNS bigint IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT tds.in_years((ticks + 300000000) / 600000000 * 600000000, 599266080000000000, 655889184000000000, 'smalldatetime')
$$;

CREATE FUNCTION tds.text_of_time(ticks bigint, scale integer) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT to_char(time '00:00' + make_interval(secs => ticks / 10000000), 'HH24:MI:SS')
        || CASE WHEN scale = 0 THEN '' ELSE '.' || left(lpad((ticks % 10000000)::text, 7, '0'), scale) END
$$;

CREATE FUNCTION tds.text_of_days(days integer) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT to_char(date '0001-01-01' + days, 'YYYY-MM-DD')
$$;

CREATE FUNCTION tds.text_of_ticks(ticks bigint, scale integer, middle text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT tds.text_of_days((ticks / 864000000000)::integer) || middle || tds.text_of_time(ticks % 864000000000, scale)
$$;

CREATE FUNCTION tds.text_of_offset(value bigint[], scale integer, middle text) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT tds.text_of_ticks(value[1] + value[2] * 600000000, scale, middle)
        || CASE WHEN middle = 'T' THEN '' ELSE ' ' END || CASE WHEN value[2] < 0 THEN '-' ELSE '+' END
        || lpad((abs(value[2]) / 60)::text, 2, '0') || ':' || lpad((abs(value[2]) % 60)::text, 2, '0')
$$;

-- ── Text and bytes ──────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION tds.units(value text) RETURNS integer IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT length(value) * 2 - length(regexp_replace(value, '[\U00010000-\U0010FFFF]', '', 'g'))
$$;

CREATE FUNCTION tds.pad_units(value text, width integer) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT rpad(value, width - tds.units(value) + length(value))
$$;

-- Blanks at the end are cut without a word; anything else does not fit.
CREATE FUNCTION tds.fit(value text, most integer, wide boolean) RETURNS text IMMUTABLE STRICT LANGUAGE plpgsql AS $$
DECLARE
    kept text := rtrim(value, ' ');
BEGIN
    IF octet_length(value) <= most OR (CASE WHEN wide THEN tds.units(value) ELSE length(value) END) <= most THEN
        RETURN value;
    END IF;
    IF (CASE WHEN wide THEN tds.units(kept) ELSE length(kept) END) > most THEN
        PERFORM tds.fail(2628, 'String or binary data would be truncated. Truncated value: ''' || left(value, most) || '''.');
    END IF;
    RETURN CASE WHEN wide THEN tds.pad_units(kept, most) ELSE rpad(kept, most) END;
END $$;

CREATE FUNCTION tds.fit_bytes(value bytea, most integer) RETURNS bytea IMMUTABLE STRICT LANGUAGE plpgsql AS $$
BEGIN
    IF octet_length(value) > most THEN
        PERFORM tds.fail(2628, 'String or binary data would be truncated.');
    END IF;
    RETURN value;
END $$;

CREATE FUNCTION tds.pad_bytes(value bytea, width integer) RETURNS bytea IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT value || decode(repeat('00', greatest(width - octet_length(value), 0)), 'hex')
$$;

-- The last bytes, with zeros in front.
CREATE FUNCTION tds.last_bytes(value bytea, width integer) RETURNS bytea IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT substr(decode(repeat('00', width), 'hex') || value, octet_length(value) + 1)
$$;

CREATE FUNCTION tds.int_of_bytes(value bytea) RETURNS bigint IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT ('x' || encode(tds.last_bytes(value, 8), 'hex'))::bit(64)::bigint
$$;

-- As SQL Server orders them: the last six bytes count first.
CREATE FUNCTION tds.guid_key(value uuid) RETURNS bytea IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT substr(b, 11, 6) || substr(b, 9, 2) || substr(b, 8, 1) || substr(b, 7, 1) || substr(b, 6, 1) || substr(b, 5, 1)
        || substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1)
    FROM (SELECT uuid_send(value) AS b) AS bytes
$$;

-- ── rowversion ──────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE SEQUENCE tds.rowversions START 2001;

-- A lock that all can see tells the lowest number an open transaction may have. It is taken before the number is.
CREATE FUNCTION tds.next_rowversion() RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    low bigint;
BEGIN
    IF coalesce(current_setting('tds.rowversion', true), '') = '' THEN
        SELECT last_value + is_called::integer INTO low FROM tds.rowversions;
        PERFORM pg_advisory_xact_lock_shared((82::bigint << 48) + low);
        PERFORM set_config('tds.rowversion', low::text, true);
    END IF;
    RETURN int8send(nextval('tds.rowversions'));
END $$;

CREATE FUNCTION tds.dbts() RETURNS bytea LANGUAGE sql AS $$
    SELECT int8send(last_value - (NOT is_called)::integer) FROM tds.rowversions
$$;

-- The sequence is read before the locks: a number taken later is not below it, one taken earlier has its lock.
CREATE FUNCTION tds.min_active_rowversion() RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    upper_bound bigint;
    active bigint;
BEGIN
    SELECT last_value + is_called::integer INTO upper_bound FROM tds.rowversions;
    SELECT min(((classid::bigint << 32) + objid::bigint) - (82::bigint << 48)) INTO active FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::bigint >> 16) = 82
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN int8send(least(upper_bound, active));
END $$;

-- ── Names ───────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION tds.name_parts(name text) RETURNS text[] IMMUTABLE STRICT LANGUAGE sql AS $$
    SELECT array_agg(coalesce(nullif(m[1], ''), nullif(m[2], ''), m[3]) ORDER BY n)
    FROM regexp_matches(name, '(?:^|\.)(?:\[([^\]]*)\]|"([^"]*)"|([^.\[\]"]*))', 'g') WITH ORDINALITY AS p(m, n)
$$;

CREATE FUNCTION tds.object_id(of_database integer, full_name text) RETURNS integer STABLE STRICT LANGUAGE sql AS $$
    WITH asked AS (SELECT tds.name_parts(full_name) AS parts), last AS (
        SELECT parts, cardinality(parts) AS n FROM asked
    )
    SELECT o.object_id FROM last, tds.objects AS o JOIN tds.schemas AS s USING (database_id, schema_id)
    WHERE lower(o.name) = lower(parts[n])
        AND lower(s.name) = lower(coalesce(nullif(parts[n - 1], ''), 'dbo'))
        AND o.database_id = coalesce((SELECT d.database_id FROM tds.databases AS d WHERE lower(d.name) = lower(nullif(parts[n - 2], ''))), of_database)
$$;

CREATE FUNCTION tds.row_count(of_object integer) RETURNS bigint STABLE LANGUAGE plpgsql AS $$
DECLARE
    counted bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM data.t%s', of_object) INTO counted;
    RETURN counted;
END $$;

CREATE FUNCTION tds.used_bytes(of_object integer) RETURNS bigint STABLE LANGUAGE sql AS $$
    SELECT pg_total_relation_size(format('data.t%s', of_object)::regclass)
$$;
