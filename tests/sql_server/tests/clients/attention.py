"""A client gives a query up: while it waits, and while rows come."""

import sys
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

# While nothing comes: the client gives up after its second, and PostgreSQL is told, so that nobody holds a lock for it.
holder = connect("pytds", port)
run(holder, "BEGIN TRAN; UPDATE t SET n = n")
waiting = connect("pytds", port, timeout=1)
run(waiting, "BEGIN TRAN")
started = time.monotonic()
assert "timed out" in refused(lambda: run(waiting, "UPDATE t SET n = 0")).lower()
assert time.monotonic() - started < 30
same(run(waiting, "SELECT COUNT(*), @@TRANCOUNT FROM t"), [(1000, 1)])
run(holder, "ROLLBACK")
same(run(waiting, "SELECT MAX(n) FROM t"), [(999,)])
print("good")
