-- Rows are added, never changed. `position` is the order in which they came; `ends` says that nothing can follow.
-- `json`, not `jsonb`: a plan is read back as it was written, down to the order of its keys.
CREATE TABLE run_event (
    position bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run      text        NOT NULL,
    sequence bigint      NOT NULL CHECK (sequence > 0),
    pipeline text        NOT NULL,
    kind     text        NOT NULL,
    ends     boolean     NOT NULL,
    at       timestamptz NOT NULL,
    payload  json        NOT NULL,
    UNIQUE (run, sequence)
);

-- The first event of each run stands for the run.
CREATE INDEX run_event_first ON run_event (pipeline, position) WHERE sequence = 1;

-- A run ends once.
CREATE UNIQUE INDEX run_event_end ON run_event (run) WHERE ends;
