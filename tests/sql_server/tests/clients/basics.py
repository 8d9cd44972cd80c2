"""A client logs in, makes a table, writes, reads, counts, and is told what it did wrong."""

import decimal
import sys

from client import connect, refused, run, same

port, client = int(sys.argv[1]), sys.argv[2]

assert "Login failed for user 'sa'" in refused(lambda: connect(client, port, password="wrong"))
said = refused(lambda: connect(client, port, database="nowhere"))
assert "Login failed" in said or "nowhere" in said, said

db = connect(client, port)
if client == "odbc":
    same(run(connect(client, port, encrypt="no"), "SELECT 1"), [(1,)], "only the login is encrypted")
    same(run(connect(client, port, encrypt="yes"), "SELECT 1"), [(1,)], "everything is encrypted")

same(run(db, "SELECT 1 AS one, N'zwei' AS two, 2.50 AS three, CAST(NULL AS int) AS four"), [(1, "zwei", decimal.Decimal("2.50"), None)])
same(run(db, "SELECT 7 / 2, 7 % 4, 7.0 / 2, 1 + 2 * 3, 'a' + 'b', -5"), [(3, 3, decimal.Decimal("3.5"), 7, "ab", -5)])
same(run(db, "SELECT DB_NAME(), @@TRANCOUNT"), [("shop", 0)])

run(
    db,
    """CREATE TABLE dbo.orders (
        id int IDENTITY(1, 1) NOT NULL PRIMARY KEY CLUSTERED,
        [customer name] nvarchar(40) NOT NULL,
        amount decimal(18, 4) NULL,
        paid bit NOT NULL DEFAULT 0,
        at datetime2(3) NULL
    )""",
)
run(db, "INSERT INTO dbo.orders ([customer name], amount, at) VALUES (N'Åsa', 12.5, '2024-02-29T12:34:56.789'), (N'bo', NULL, NULL)")
run(db, "INSERT INTO orders ([customer name], amount, paid) VALUES (?, ?, ?)", "O'Neil", decimal.Decimal("-0.0001"), True)
same(run(db, "SELECT COUNT(*), SUM(amount), MIN(at) FROM dbo.orders")[0][:2], (3, decimal.Decimal("12.4999")))
same(
    run(db, "SELECT o.id, o.[customer name], o.paid FROM dbo.orders AS o WITH (NOLOCK) WHERE o.id >= ? ORDER BY o.id DESC", 2),
    [(3, "O'Neil", True), (2, "bo", False)],
)
same(run(db, "SELECT TOP (1) id FROM orders WHERE [customer name] = N'ÅSA'"), [(1,)], "case does not count")
same(run(db, "SELECT id FROM orders WHERE [customer name] LIKE 'B%'"), [(2,)])
same(run(db, "SELECT id FROM orders ORDER BY amount"), [(2,), (3,), (1,)], "NULL is the lowest")
same(run(db, "SELECT id FROM orders ORDER BY id OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY"), [(2,)])
run(db, "UPDATE orders SET amount = amount * 2, paid = 1 WHERE id IN (1, 2)")
same(run(db, "SELECT id, amount FROM orders WHERE paid = 1 AND amount IS NOT NULL AND id = 1"), [(1, decimal.Decimal("25.0000"))])
run(db, "DELETE FROM orders WHERE id = 2")
same(run(db, "WITH big AS (SELECT id FROM orders WHERE id > 1) SELECT COUNT(*) FROM big"), [(1,)])
same(run(db, "SELECT 1 UNION ALL SELECT 2 ORDER BY 1"), [(1,), (2,)])
same(
    run(db, "DECLARE @n int = 2; SET @n = @n + 1; IF EXISTS (SELECT 1 FROM orders WHERE id = @n) SELECT 'there' ELSE SELECT 'gone'"),
    [("there",)],
)

# Errors have the numbers of a real server, and the connection lives on.
for statement, number in [
    ("SELECT * FROM nowhere", "208"),
    ("SELECT nothing FROM orders", "207"),
    ("SELEC 1", ""),
    ("SELECT 1 +", "102"),
    ("SELECT * FROM orders PIVOT (SUM(id) FOR paid IN ([1])) AS p", "102"),
    ("INSERT INTO orders ([customer name]) VALUES (NULL)", "515"),
    ("SELECT 1 / 0", "8134"),
    ("SELECT CAST('x' AS int)", "245"),
    ("SELECT CAST('2024-02-30' AS date)", "242"),
    ("SELECT id FROM orders WHERE id", "4145"),
]:
    said = refused(lambda statement=statement: run(db, statement))
    assert client == "odbc" or number in said, f"{statement}: {said}"
same(run(db, "SELECT COUNT(*) FROM orders"), [(2,)], "the connection lives on")

# Many rows, in packets of every kind.
run(db, "CREATE TABLE many (n int NOT NULL PRIMARY KEY, word nvarchar(max) NULL)")
for start in range(0, 3000, 500):
    rows = ", ".join(f"({n}, REPLICATE(N'ü', {n}))" for n in range(start, start + 500))
    run(db, f"INSERT INTO many VALUES {rows}")
found = run(db, "SELECT n, word FROM many ORDER BY n")
same([len(word) for _, word in found], list(range(3000)))
db.close()
print("good")
