-- Rights that one process has at a time: to run a pipeline, by its name, and to decide about schedules.
-- `token` grows each time the right is given; `until` is when it lapses unless it is renewed, NULL once it was given back.
CREATE TABLE lease (
    name  text        PRIMARY KEY,
    token bigint      NOT NULL,
    until timestamptz
);

-- What tells this store from every other one that works on the same lake: a number says nothing beside those of another.
CREATE TABLE store (id text NOT NULL);
INSERT INTO store VALUES (md5(random()::text || clock_timestamp()::text || pg_backend_pid()::text));
