-- Change tracking: a side table for each tracked table, fed by triggers, and one version for each commit.

CREATE TABLE tds.change_tracking (
    object_id integer PRIMARY KEY REFERENCES tds.objects ON DELETE CASCADE,
    is_track_columns_updated_on smallint NOT NULL,
    begin_version bigint NOT NULL,
    min_valid_version bigint NOT NULL,
    cleanup_version bigint NOT NULL
);

CREATE TABLE tds.commits (
    database_id integer NOT NULL REFERENCES tds.databases ON DELETE CASCADE,
    version bigint NOT NULL,
    at bigint NOT NULL DEFAULT tds.now_ticks(),
    PRIMARY KEY (database_id, version)
);

CREATE FUNCTION tds.current_version(of_database integer) RETURNS bigint STABLE LANGUAGE sql AS $$
    SELECT coalesce((SELECT max(version) FROM tds.commits WHERE database_id = of_database), 0)
    FROM tds.databases WHERE database_id = of_database AND is_change_tracking_on = 1
$$;

CREATE FUNCTION tds.min_valid_version(of_object integer) RETURNS bigint STABLE LANGUAGE sql AS $$
    SELECT min_valid_version FROM tds.change_tracking WHERE object_id = of_object
$$;

-- The version of this transaction, taken when it commits: versions become visible in their order, and whoever reads
-- the highest one has seen all below it. The lock ends with the commit, and a sequence knows no snapshot.
CREATE FUNCTION tds.commit_version(of_database integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    version bigint := nullif(current_setting('tds.version', true), '')::bigint;
BEGIN
    IF version IS NULL THEN
        PERFORM pg_advisory_xact_lock(4354, of_database);
        version := nextval(format('tds.versions_%s', of_database)::regclass);
        INSERT INTO tds.commits (database_id, version) VALUES (of_database, version);
        PERFORM set_config('tds.version', version::text, true);
    END IF;
    RETURN version;
END $$;

-- Fires for each row of a side table when the transaction commits.
CREATE FUNCTION tds.give_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE %I.%I SET version = tds.commit_version($1) WHERE id = $2', TG_TABLE_SCHEMA, TG_TABLE_NAME)
        USING TG_ARGV[0]::integer, NEW.id;
    RETURN NULL;
END $$;

-- Forgets changes up to a version: what a reader that is further behind asks for is too old from then on.
CREATE FUNCTION tds.forget_changes(of_object integer, up_to bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM data.changes_%s WHERE version <= $1', of_object) USING up_to;
    UPDATE tds.change_tracking SET min_valid_version = greatest(min_valid_version, up_to), cleanup_version = up_to
    WHERE object_id = of_object;
END $$;
