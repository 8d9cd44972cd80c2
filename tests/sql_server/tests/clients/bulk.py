"""python-tds loads rows in bulk, and both clients read them."""

import decimal
import sys

from client import connect, run, same
from pytds import Column
from pytds.tds_types import DecimalType, IntType, NVarCharType

port = int(sys.argv[1])
db = connect("pytds", port)
run(db, "CREATE TABLE loaded (id int NOT NULL PRIMARY KEY, name nvarchar(50) NULL, amount decimal(18, 4) NULL)")
rows = [(n, None if n % 7 == 0 else f"näme {n}", decimal.Decimal(n) / 4) for n in range(2500)]
cursor = db.cursor()
cursor.copy_to(
    data=rows,
    table_or_view="loaded",
    columns=[
        Column("id", type=IntType()),
        Column("name", type=NVarCharType(50)),
        Column("amount", type=DecimalType(18, 4)),
    ],
)
for client in ("pytds", "odbc"):
    same(run(connect(client, port), "SELECT id, name, amount FROM loaded ORDER BY id"), rows, client)
print("good")
