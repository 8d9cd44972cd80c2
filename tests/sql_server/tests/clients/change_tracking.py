"""rowversion and change tracking: what a reader of changes relies on."""

import sys

from client import connect, refused, run, same

port, client = int(sys.argv[1]), sys.argv[2]
one, two = connect(client, port), connect(client, port)
number = lambda value: int.from_bytes(value, "big")  # noqa: E731

# Every row has a number of its own, and a new one with each change.
run(one, "CREATE TABLE r (id int NOT NULL PRIMARY KEY, v int NULL, rv rowversion NOT NULL)")
run(one, "INSERT INTO r (id, v) VALUES (1, 1), (2, 2)")
first = [number(row[0]) for row in run(one, "SELECT rv FROM r ORDER BY id")]
assert first[0] != first[1], first
run(one, "UPDATE r SET v = 3 WHERE id = 1")
changed = run(one, f"SELECT id, CAST(rv AS bigint) FROM r WHERE rv > 0x{max(first):016x} AND rv < MIN_ACTIVE_ROWVERSION()")
same([row[0] for row in changed], [1])
same(run(one, "SELECT CAST(@@DBTS AS bigint), CAST(MIN_ACTIVE_ROWVERSION() AS bigint)"), [(changed[0][1], changed[0][1] + 1)])

# A number that an open transaction has is not below the lowest active one.
run(two, "BEGIN TRAN; UPDATE r SET v = 4 WHERE id = 2")
run(one, "UPDATE r SET v = 5 WHERE id = 1")
low = number(run(one, "SELECT MIN_ACTIVE_ROWVERSION()")[0][0])
same(low, changed[0][1] + 1)
run(two, "COMMIT")
late = number(run(one, "SELECT rv FROM r WHERE id = 2")[0][0])
assert late >= low, (late, low)
assert number(run(one, "SELECT MIN_ACTIVE_ROWVERSION()")[0][0]) > late

# Change tracking is of a database, then of a table with a key.
run(one, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL)")
assert "4997" in refused(lambda: run(one, "ALTER TABLE t ENABLE CHANGE_TRACKING")) or client == "odbc"
run(one, "ALTER DATABASE shop SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)")
run(one, "INSERT INTO t VALUES (1, N'before')")
run(one, "ALTER TABLE t ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = ON)")
current = lambda: run(one, "SELECT CHANGE_TRACKING_CURRENT_VERSION()")[0][0]  # noqa: E731
changes = lambda since: run(  # noqa: E731
    one,
    f"SELECT ct.SYS_CHANGE_OPERATION, ct.id, t.name FROM CHANGETABLE(CHANGES dbo.t, {since}) AS ct LEFT JOIN dbo.t AS t ON t.id = ct.id ORDER BY ct.id",
)
same(current(), 0)
same(run(one, "SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID('dbo.t'))"), [(0,)])
same(run(one, "SELECT COUNT(*) FROM sys.change_tracking_tables WHERE object_id = OBJECT_ID('t')"), [(1,)])
run(one, "INSERT INTO t VALUES (2, N'two'), (3, N'three')")
same(current(), 1)
run(one, "BEGIN TRAN; UPDATE t SET name = N'zwei' WHERE id = 2; DELETE FROM t WHERE id = 3; UPDATE t SET name = N'eins' WHERE id = 1; COMMIT")
same(current(), 2)
same(changes(0), [("U", 1, "eins"), ("I", 2, "zwei"), ("D", 3, None)])
same(changes(1), [("U", 1, "eins"), ("U", 2, "zwei"), ("D", 3, None)])
same(changes(2), [])

# Who commits later has the higher version, whoever began first; nobody waits.
run(two, "BEGIN TRAN; INSERT INTO t VALUES (4, N'late')")
run(one, "INSERT INTO t VALUES (5, N'early')")
same((current(), changes(2)), (3, [("I", 5, "early")]))
run(two, "COMMIT")
same((current(), changes(3)), (4, [("I", 4, "late")]))
run(two, "BEGIN TRAN; INSERT INTO t VALUES (6, N'never'); ROLLBACK")
same((current(), changes(4)), (4, []))

# A context tells who made a change.
run(one, "WITH CHANGE_TRACKING_CONTEXT (0x4c77) UPDATE t SET name = N'x' WHERE id = 5")
same(bytes(run(one, "SELECT SYS_CHANGE_CONTEXT FROM CHANGETABLE(CHANGES t, 4) AS ct")[0][0]), b"Lw")
same(run(one, "SELECT v.SYS_CHANGE_VERSION FROM t CROSS APPLY CHANGETABLE(VERSION t, (id), (t.id)) AS v WHERE t.id = 5"), [(5,)])

# Under a snapshot, the version and the rows are of one moment.
run(one, "ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON")
run(one, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN")
same(current(), 5)
run(two, "DELETE FROM t WHERE id = 5")
same((current(), changes(5)), (5, []))
run(one, "COMMIT; SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
same((current(), changes(5)), (6, [("D", 5, None)]))

# Cleaned up: who asks for less than is kept is told the lowest version there is.
run(one, "EXEC sys.sp_flush_CT_internal_table_on_demand @TableToClean = 'dbo.t'")
same(run(one, "SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID('t'))"), [(6,)])
run(one, "ALTER TABLE t DISABLE CHANGE_TRACKING")
assert "22105" in refused(lambda: changes(0)) or client == "odbc"
same(run(one, "SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID('t'))"), [(None,)])
run(one, "ALTER DATABASE shop SET CHANGE_TRACKING = OFF")
same(run(one, "SELECT CHANGE_TRACKING_CURRENT_VERSION()"), [(None,)])
print("good")
