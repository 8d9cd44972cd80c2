CREATE SCHEMA bank;
CREATE TYPE bank.status AS ENUM ('new', 'booked', 'returned');
CREATE TABLE bank.account (
    account_id bigint PRIMARY KEY,
    branch text NOT NULL,
    owner_name text NOT NULL,
    opened_on date NOT NULL,
    credit_limit numeric(15, 2)
);
CREATE TABLE bank.payment (
    payment_id uuid PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES bank.account,
    amount numeric(15, 2) NOT NULL,
    currency char(3) NOT NULL,
    status bank.status NOT NULL,
    paid_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    details jsonb
);
INSERT INTO bank.account
SELECT i, 'branch ' || i % 7, 'owner ' || i, date '2015-01-01' + i, CASE WHEN i % 3 = 0 THEN NULL ELSE i * 10.5 END
FROM generate_series(1, 200) AS i;
INSERT INTO bank.payment
SELECT
    ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
    1 + i % 200,
    CASE WHEN i % 500 = 0 THEN 0 ELSE (i % 2000 - 1000) + 0.25 END,
    (ARRAY['RUB', 'EUR', 'USD'])[1 + i % 3],
    'booked',
    timestamptz '2026-01-01 00:00:00+00' + i * interval '7 minutes',
    timestamptz '2026-01-01 00:00:00+00' + (i / 4) * interval '28 minutes',
    jsonb_build_object('channel', i % 5)
FROM generate_series(1, 5000) AS i;
