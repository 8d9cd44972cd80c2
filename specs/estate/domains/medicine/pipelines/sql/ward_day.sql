WITH results AS (
    SELECT visit_id, count(*) AS results FROM medicine.lab_result GROUP BY visit_id
)
SELECT
    v.ward_id,
    w.name AS ward,
    CAST(v.visited_at AS DATE) AS day,
    count(*) AS visits,
    CAST(sum(coalesce(r.results, 0)) AS BIGINT) AS results
FROM medicine.visit v
LEFT JOIN medicine.ward w ON w.ward_id = v.ward_id
LEFT JOIN results r ON r.visit_id = v.visit_id
GROUP BY v.ward_id, w.name, CAST(v.visited_at AS DATE)
