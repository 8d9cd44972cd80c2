-- Rights that one process has at a time: to run a pipeline, by its name, and to decide about schedules.
-- `token` grows each time the right is given; `until` is when it lapses unless it is renewed, NULL once it was given back.
CREATE TABLE lease (
    name  text        PRIMARY KEY,
    token bigint      NOT NULL,
    until timestamptz
);
