"""A client gives a query up: while it waits, and while rows come."""

import sys
import threading
import time

from client import connect, refused, run, same

port = int(sys.argv[1])
db = connect("pytds", port)
run(db, "CREATE TABLE t (n int NOT NULL)")
run(db, "INSERT INTO t VALUES " + ", ".join(f"({n})" for n in range(1000)))

# While rows come: more of them than fit into any buffer, and the rest is not waited for.
cursor = db.cursor()
cursor.execute("SELECT a.n, REPLICATE('x', 200) FROM t AS a CROSS JOIN t AS b CROSS JOIN t AS c")
same([cursor.fetchone()[0] is not None for _ in range(3)], [True] * 3)
cursor.cancel()
cursor.close()
same(run(db, "SELECT COUNT(*) FROM t"), [(1000,)])

# While nothing comes: PostgreSQL is told, so that the lock is not waited for.
holder = connect("pytds", port)
run(holder, "BEGIN TRAN; UPDATE t SET n = n")

waiting = connect("odbc", port)
cursor = waiting.cursor()
thread = threading.Thread(target=lambda: (time.sleep(1), cursor.cancel()) if hasattr(cursor, "cancel") else None)
if hasattr(cursor, "cancel"):
    thread.start()
    refused(lambda: cursor.execute("UPDATE t SET n = 0"))
    thread.join()
    same(run(connect("odbc", port), "SELECT COUNT(*) FROM t"), [(1000,)])
run(holder, "ROLLBACK")
print("good")
