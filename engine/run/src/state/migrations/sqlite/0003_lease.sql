-- Rights that one process has at a time: to run a pipeline, by its name, and to decide about schedules.
-- `token` grows each time the right is given; `until` is when it lapses unless it is renewed, in milliseconds since 1970,
-- NULL once it was given back.
CREATE TABLE lease (
    name  TEXT    PRIMARY KEY,
    token INTEGER NOT NULL,
    until INTEGER
) STRICT, WITHOUT ROWID;

-- What tells this store from every other one that works on the same lake: a number says nothing beside those of another.
CREATE TABLE store (id TEXT NOT NULL) STRICT;
INSERT INTO store VALUES (lower(hex(randomblob(16))));

-- What a run takes of what all share, for as long as its lease is in force: of the project, a domain, connections.
CREATE TABLE share (
    resource TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    token    INTEGER NOT NULL,
    PRIMARY KEY (name, resource)
) STRICT, WITHOUT ROWID;
