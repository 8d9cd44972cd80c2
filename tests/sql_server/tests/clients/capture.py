"""Change data capture: capture tables, sequence numbers, a second instance, and what is cleaned up."""

import sys

from client import connect, refused, run, same

port, client = int(sys.argv[1]), sys.argv[2]
one, two = connect(client, port), connect(client, port)
run(one, "CREATE TABLE t (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, amount decimal(10, 2) NULL)")
run(one, "INSERT INTO t VALUES (1, N'before', 1)")
assert "22901" in refused(lambda: run(one, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL")) or client == "odbc"
run(one, "EXEC sys.sp_cdc_enable_db")
same(run(one, "SELECT is_cdc_enabled FROM sys.databases WHERE name = DB_NAME()"), [(True,)])
run(one, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, @supports_net_changes = 1")
same(run(one, "SELECT is_tracked_by_cdc FROM sys.tables WHERE name = 't'"), [(True,)])
same(run(one, "SELECT capture_instance, OBJECT_NAME(source_object_id) FROM cdc.change_tables"), [("dbo_t", "t")])
same(run(one, "SELECT column_name FROM cdc.captured_columns ORDER BY column_ordinal"), [("id",), ("name",), ("amount",)])
low = bytes(run(one, "SELECT sys.fn_cdc_get_min_lsn('dbo_t')")[0][0])
high = lambda: bytes(run(one, "SELECT sys.fn_cdc_get_max_lsn()")[0][0])  # noqa: E731
assert len(low) == 10 and low <= high()

run(one, "INSERT INTO t VALUES (2, N'two', 2), (3, N'three', 3)")
first = high()
run(one, "BEGIN TRAN; UPDATE t SET name = N'zwei' WHERE id = 2; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (4, N'four', 4); COMMIT")
second = high()
assert low < first < second
hexed = lambda lsn: "0x" + lsn.hex()  # noqa: E731
changes = lambda kind, since, to, what: run(  # noqa: E731
    one,
    f"SELECT __$operation, id, name FROM cdc.fn_cdc_get_{kind}_changes_dbo_t({hexed(since)}, {hexed(to)}, N'{what}') ORDER BY __$start_lsn, {'__$seqval, ' if kind == 'all' else ''}id, __$operation",
)
same(changes("all", low, first, "all"), [(2, 2, "two"), (2, 3, "three")])
same(changes("all", first, second, "all update old")[2:], [(3, 2, "two"), (4, 2, "zwei"), (1, 3, "three"), (2, 4, "four")])
same(sorted(changes("net", low, second, "all")), [(2, 2, "zwei"), (2, 4, "four")])
after = bytes(run(one, f"SELECT sys.fn_cdc_increment_lsn({hexed(first)})")[0][0])
assert first < after < second
same(sorted(changes("net", after, second, "all")), [(1, 3, "three"), (2, 4, "four"), (4, 2, "zwei")])
same(run(one, f"SELECT __$update_mask FROM cdc.dbo_t_CT WHERE __$operation = 4 AND __$start_lsn = {hexed(second)}"), [(b"\x02",)])
same(run(one, f"SELECT COUNT(*) FROM cdc.lsn_time_mapping WHERE start_lsn IN ({hexed(first)}, {hexed(second)})"), [(2,)])
same(bytes(run(one, "SELECT sys.fn_cdc_map_time_to_lsn('largest less than or equal', GETDATE())")[0][0]) <= second, True)

# Who commits later has the higher number; what is not committed is not captured.
run(two, "BEGIN TRAN; UPDATE t SET amount = 9 WHERE id = 1")
run(one, "UPDATE t SET amount = 8 WHERE id = 4")
third = high()
same(changes("net", bytes(run(one, f"SELECT sys.fn_cdc_increment_lsn({hexed(second)})")[0][0]), third, "all"), [(4, 4, "four")])
run(two, "COMMIT")
fourth = high()
assert third < fourth

# After a change of the table, a second instance has the new column, and the first goes on without it.
run(one, "ALTER TABLE t ADD extra int NULL")
run(one, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, @capture_instance = N'dbo_t_2'")
run(one, "INSERT INTO t VALUES (5, N'five', 5, 55)")
same(run(one, "SELECT id, extra FROM cdc.dbo_t_2_CT"), [(5, 55)])
same(run(one, "SELECT id, name FROM cdc.dbo_t_CT WHERE id = 5"), [(5, "five")])
assert "22962" in refused(lambda: run(one, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N't', @role_name = NULL, @capture_instance = N'x'")) or client == "odbc"
run(one, "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N't', @capture_instance = N'dbo_t_2'")

# What was cleaned up is asked for in vain.
run(one, f"EXEC sys.sp_cdc_cleanup_change_table @capture_instance = N'dbo_t', @low_water_mark = {hexed(second)}")
same(bytes(run(one, "SELECT sys.fn_cdc_get_min_lsn('dbo_t')")[0][0]), second)
assert "313" in refused(lambda: changes("all", first, second, "all")) or client == "odbc"
same(len(changes("all", second, fourth, "all")), 5)
same(bytes(run(one, "SELECT sys.fn_cdc_get_min_lsn('nothing')")[0][0]), bytes(10))
run(one, "DROP TABLE t")
same(run(one, "SELECT COUNT(*) FROM cdc.change_tables"), [(0,)])
run(one, "EXEC sys.sp_cdc_disable_db")
print("good")
