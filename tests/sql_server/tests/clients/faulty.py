"""Looks at one thing that goes wrong, or sees that nothing does."""

import sys
import time

from client import connect, refused, run, same

port, what = int(sys.argv[1]), sys.argv[2]
ALL = "SELECT n, word FROM many ORDER BY n"


def read(client="pytds"):
    return len(run(connect(client, port), ALL))


if what == "prepare":
    db = connect("pytds", port)
    run(db, "CREATE TABLE many (n int NOT NULL PRIMARY KEY, word nvarchar(100) NOT NULL)")
    for start in range(0, 3000, 1000):
        rows = ", ".join(f"({n}, REPLICATE(N'w', 100))" for n in range(start, start + 1000))
        run(db, f"INSERT INTO many VALUES {rows}")
elif what == "good":
    for client in ("pytds", "odbc"):
        same(read(client), 3000)
elif what == "drop":
    refused(read)
elif what == "deadlock":
    assert "deadlock" in refused(read)
elif what == "conflict":
    assert "Snapshot" in refused(read)
elif what == "refused":
    refused(lambda: connect("odbc", port))
elif what == "slow":
    started = time.monotonic()
    same(read(), 3000)
    assert time.monotonic() - started > 0.5, "more than thirty packets of 20 ms"
elif what == "expired":
    import mssql_python

    text = f"Server=127.0.0.1,{port};Database=shop;UID=sa;PWD=Lakewright-1;Encrypt=yes;TrustServerCertificate=no"
    assert "certificate" in refused(lambda: mssql_python.connect(text)).lower()
    same(run(connect("odbc", port), "SELECT 1"), [(1,)])
print("good")
