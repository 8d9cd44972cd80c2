-- Rows are added, never changed. `position` is the order in which they came; `ends` says that nothing can follow.
CREATE TABLE run_event (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run      TEXT    NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    pipeline TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    ends     INTEGER NOT NULL CHECK (ends IN (0, 1)),
    at       TEXT    NOT NULL,
    payload  TEXT    NOT NULL,
    UNIQUE (run, sequence)
) STRICT;

-- The first event of each run stands for the run.
CREATE INDEX run_event_first ON run_event (pipeline, position) WHERE sequence = 1;

-- A run ends once.
CREATE UNIQUE INDEX run_event_end ON run_event (run) WHERE ends = 1;
