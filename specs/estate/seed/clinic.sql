CREATE SCHEMA clinic;
CREATE TABLE clinic.ward (ward_id int PRIMARY KEY, name text NOT NULL, floor smallint, open boolean NOT NULL);
CREATE TABLE clinic.visit (
    visit_id bigint PRIMARY KEY,
    ward_id int REFERENCES clinic.ward,
    patient_name text NOT NULL,
    visited_at timestamp NOT NULL,
    diagnosis text,
    tags text[]
);
INSERT INTO clinic.ward SELECT i, 'ward ' || i, i % 4, i <> 5 FROM generate_series(1, 6) AS i;
INSERT INTO clinic.visit
SELECT
    i, 1 + i % 6, 'patient ' || i, timestamp '2026-02-01 08:00:00' + i * interval '11 minutes',
    CASE WHEN i % 4 = 0 THEN NULL ELSE 'J' || i % 90 END,
    CASE WHEN i % 10 = 0 THEN NULL ELSE ARRAY['walk-in', 'tag ' || i % 3] END
FROM generate_series(1, 1200) AS i;
