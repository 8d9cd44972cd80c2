-- What was decided about schedules. A place is taken once: two daemons that decide from the same state want the same one.
-- `closed` says what came of a run that was to come; it stays NULL until nothing more can.
-- Times are texts of one width, as in the embedded store: one set of statements serves both.
CREATE TABLE decision (
    pipeline text        NOT NULL,
    sequence bigint      NOT NULL CHECK (sequence > 0),
    verdict  text        NOT NULL,
    due      text        NOT NULL,
    cause    text        NOT NULL,
    rule     text        NOT NULL,
    seen     text        NOT NULL,
    at       text        NOT NULL,
    closed   text,
    PRIMARY KEY (pipeline, sequence)
);

-- Who has decisions at all, and who is paused.
CREATE INDEX decision_first ON decision (pipeline) WHERE sequence = 1;
CREATE INDEX decision_pause ON decision (pipeline, sequence) WHERE verdict IN ('paused', 'resumed');

-- The runs that are still to come or to end.
CREATE INDEX decision_open ON decision (due) WHERE verdict IN ('run', 'requested') AND closed IS NULL;

-- The decision that a run came of, on the first event of the run.
ALTER TABLE run_event ADD COLUMN decision bigint;
CREATE INDEX run_event_decision ON run_event (pipeline, decision) WHERE decision IS NOT NULL;

-- What a pipeline has published last.
CREATE INDEX run_event_succeeded ON run_event (pipeline, position) WHERE kind = 'succeeded';
