-- A payment that was changed is there in every version: the newest one counts.
WITH newest AS (
    SELECT *, row_number() OVER (PARTITION BY payment_id ORDER BY updated_at DESC) AS age
    FROM fintech.payment
)
SELECT
    CAST(paid_at AS DATE) AS day,
    branch,
    currency,
    count(*) AS payments,
    CAST(sum(CASE WHEN amount > 0 THEN amount ELSE 0 END) AS DECIMAL(20, 2)) AS received,
    CAST(sum(CASE WHEN amount < 0 THEN -amount ELSE 0 END) AS DECIMAL(20, 2)) AS spent
FROM newest
JOIN fintech.account USING (account_id)
WHERE age = 1
GROUP BY CAST(paid_at AS DATE), branch, currency
