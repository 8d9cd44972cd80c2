-- What was decided about schedules. A place is taken once: two daemons that decide from the same state want the same one.
-- `closed` says what came of a run that was to come; it stays NULL until nothing more can.
CREATE TABLE decision (
    pipeline TEXT    NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    verdict  TEXT    NOT NULL,
    due      TEXT    NOT NULL,
    cause    TEXT    NOT NULL,
    rule     TEXT    NOT NULL,
    seen     TEXT    NOT NULL,
    at       TEXT    NOT NULL,
    closed   TEXT,
    PRIMARY KEY (pipeline, sequence)
) STRICT, WITHOUT ROWID;

-- Who has decisions at all, and who is paused.
CREATE INDEX decision_first ON decision (pipeline) WHERE sequence = 1;
CREATE INDEX decision_pause ON decision (pipeline, sequence) WHERE verdict IN ('paused', 'resumed');

-- The runs that are still to come or to end.
CREATE INDEX decision_open ON decision (due) WHERE verdict IN ('run', 'requested') AND closed IS NULL;

-- The decision that a run came of, on the first event of the run.
ALTER TABLE run_event ADD COLUMN decision INTEGER;
CREATE INDEX run_event_decision ON run_event (pipeline, decision) WHERE decision IS NOT NULL;

-- What a pipeline has published last.
CREATE INDEX run_event_succeeded ON run_event (pipeline, position) WHERE kind = 'succeeded';
