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

-- What a run takes of what all share, for as long as its lease is in force: of the project, a domain, connections.
CREATE TABLE share (
    resource text   NOT NULL,
    name     text   NOT NULL,
    token    bigint NOT NULL,
    PRIMARY KEY (name, resource)
);
