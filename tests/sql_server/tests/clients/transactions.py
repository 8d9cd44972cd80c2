"""Snapshots, conflicts, deadlocks, savepoints, and what is undone by whom."""

import sys
import threading

from client import connect, refused, run, same

port, client = int(sys.argv[1]), sys.argv[2]
one, two = connect(client, port), connect(client, port)
run(one, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NOT NULL)")
run(one, "INSERT INTO t VALUES (1, 10), (2, 20)")

# A database says whether it has snapshots at all.
run(one, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
assert "3952" in refused(lambda: run(one, "SELECT * FROM t")) or client == "odbc"
run(one, "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON")

# A snapshot is of the first read, whatever is committed after it.
run(one, "BEGIN TRANSACTION")
same(run(one, "SELECT SUM(v) FROM t"), [(30,)])
run(two, "UPDATE t SET v = 11 WHERE id = 1; INSERT INTO t VALUES (3, 30)")
same(run(two, "SELECT SUM(v) FROM t"), [(61,)])
same(run(one, "SELECT SUM(v) FROM t"), [(30,)])

# A row that somebody else has changed since cannot be changed under a snapshot, and the transaction is over.
assert "3960" in refused(lambda: run(one, "UPDATE t SET v = 12 WHERE id = 1")) or client == "odbc"
same(run(one, "SELECT @@TRANCOUNT, SUM(v) FROM t"), [(0, 61)])
run(one, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")

# A failing statement takes back itself alone.
run(one, "BEGIN TRAN; INSERT INTO t VALUES (4, 40)")
assert "2627" in refused(lambda: run(one, "INSERT INTO t VALUES (5, 50), (1, 0)")) or client == "odbc"
same(run(one, "SELECT @@TRANCOUNT, COUNT(*) FROM t"), [(1, 4)])
run(one, "SAVE TRANSACTION here; INSERT INTO t VALUES (6, 60); ROLLBACK TRANSACTION here")
run(one, "BEGIN TRAN; COMMIT")
same(run(one, "SELECT @@TRANCOUNT, COUNT(*) FROM t"), [(1, 4)])
same(run(two, "SELECT COUNT(*) FROM t"), [(3,)])
run(one, "COMMIT")
same(run(two, "SELECT COUNT(*) FROM t"), [(4,)])
run(one, "SET XACT_ABORT ON; BEGIN TRAN; INSERT INTO t VALUES (7, 70)")
refused(lambda: run(one, "INSERT INTO t VALUES (1, 0)"))
same(run(one, "SELECT @@TRANCOUNT, COUNT(*) FROM t"), [(0, 4)])
run(one, "BEGIN TRAN; DELETE FROM t; ROLLBACK")
same(run(one, "SELECT COUNT(*) FROM t"), [(4,)])

# Two that wait for each other: one is the victim, the other goes on.
said = []
run(one, "BEGIN TRAN; UPDATE t SET v = 0 WHERE id = 1")
run(two, "BEGIN TRAN; UPDATE t SET v = 0 WHERE id = 2")


def cross(connection, row):
    try:
        run(connection, f"UPDATE t SET v = 1 WHERE id = {row}")
    except Exception as error:  # noqa: BLE001 - each client has its own
        said.append(str(error))


threads = [threading.Thread(target=cross, args=pair) for pair in ((one, 2), (two, 1))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
same(len(said), 1, "one victim")
assert "deadlock" in said[0], said
same(sorted(run(each, "SELECT @@TRANCOUNT")[0][0] for each in (one, two)), [0, 1])
for each in (one, two):
    run(each, "IF @@TRANCOUNT > 0 ROLLBACK")

# A lock is not waited for longer than was said.
run(one, "BEGIN TRAN; UPDATE t SET v = 0 WHERE id = 1")
run(two, "SET LOCK_TIMEOUT 50")
assert "1222" in refused(lambda: run(two, "UPDATE t SET v = 1 WHERE id = 1")) or client == "odbc"
run(one, "ROLLBACK")

# Transactions that the client begins by a request of its own.
three = connect(client, port)
three.autocommit = False
run(three, "INSERT INTO t VALUES (8, 80)")
three.rollback()
run(three, "INSERT INTO t VALUES (9, 90)")
three.commit()
same(run(one, "SELECT id FROM t WHERE id > 7"), [(9,)])
three.close()
print("good")
