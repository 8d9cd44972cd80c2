"""What `sys` and `INFORMATION_SCHEMA` say of tables that a client has made."""

import sys

from client import connect, refused, run, same

port, client = int(sys.argv[1]), sys.argv[2]
db = connect(client, port)
run(db, "CREATE SCHEMA sales")
run(
    db,
    """CREATE TABLE sales.customers (
        id int IDENTITY NOT NULL CONSTRAINT PK_customers PRIMARY KEY,
        name nvarchar(50) NOT NULL,
        code char(3) NULL CONSTRAINT UQ_code UNIQUE,
        changed rowversion
    )""",
)
run(
    db,
    """CREATE TABLE sales.orders (
        customer int NOT NULL CONSTRAINT FK_customer FOREIGN KEY REFERENCES sales.customers (id),
        number bigint NOT NULL,
        amount decimal(18, 4) NULL,
        at datetime2(3) NOT NULL,
        note varchar(max) NULL,
        CONSTRAINT PK_orders PRIMARY KEY CLUSTERED (customer, number DESC),
        CHECK (amount > 0)
    )""",
)
run(db, "CREATE INDEX by_time ON sales.orders (at DESC) INCLUDE (amount)")
run(db, "INSERT INTO sales.customers (name, code) VALUES (N'a', 'x'), (N'b', 'y')")
run(db, "INSERT INTO sales.orders VALUES (1, 1, 5, '2024-01-01', NULL), (1, 2, 6, '2024-01-02', 'n'), (2, 1, 7, '2024-01-03', NULL)")

same(
    run(
        db,
        """SELECT s.name, t.name, SUM(p.rows) FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id
        JOIN sys.partitions AS p ON p.object_id = t.object_id AND p.index_id IN (0, 1)
        WHERE t.is_ms_shipped = 0 GROUP BY s.name, t.name ORDER BY s.name, t.name""",
    ),
    [("sales", "customers", 2), ("sales", "orders", 3)],
)
same(
    run(
        db,
        """SELECT c.name, ty.name, c.max_length, c.precision, c.scale, c.is_nullable, c.is_identity
        FROM sys.columns AS c JOIN sys.types AS ty ON ty.user_type_id = c.user_type_id
        WHERE c.object_id = OBJECT_ID(N'sales.orders') ORDER BY c.column_id""",
    ),
    [
        ("customer", "int", 4, 10, 0, False, False),
        ("number", "bigint", 8, 19, 0, False, False),
        ("amount", "decimal", 9, 18, 4, True, False),
        ("at", "datetime2", 7, 23, 3, False, False),
        ("note", "varchar", -1, 0, 0, True, False),
    ],
)
same(
    run(
        db,
        """SELECT i.name, i.is_primary_key, i.is_unique, i.type_desc, c.name, ic.key_ordinal, ic.is_descending_key
        FROM sys.indexes AS i JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
        JOIN sys.columns AS c ON c.object_id = i.object_id AND c.column_id = ic.column_id
        WHERE i.object_id = OBJECT_ID('[sales].[orders]', 'U') ORDER BY i.index_id, ic.index_column_id""",
    ),
    [
        ("PK_orders", True, True, "CLUSTERED", "customer", 1, False),
        ("PK_orders", True, True, "CLUSTERED", "number", 2, True),
        ("by_time", False, False, "NONCLUSTERED", "at", 1, True),
        ("by_time", False, False, "NONCLUSTERED", "amount", 0, False),
    ],
)
same(
    run(
        db,
        """SELECT OBJECT_NAME(f.referenced_object_id), c.name FROM sys.foreign_keys AS f
        JOIN sys.foreign_key_columns AS fc ON fc.constraint_object_id = f.object_id
        JOIN sys.columns AS c ON c.object_id = fc.parent_object_id AND c.column_id = fc.parent_column_id""",
    ),
    [("customers", "customer")],
)
same(
    run(db, "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'Customers' ORDER BY ORDINAL_POSITION"),
    [
        ("sales", "customers", "id", "int", None, 10),
        ("sales", "customers", "name", "nvarchar", 50, None),
        ("sales", "customers", "code", "char", 3, None),
        ("sales", "customers", "changed", "timestamp", None, None),
    ],
)
same(
    run(
        db,
        """SELECT k.COLUMN_NAME FROM INFORMATION_SCHEMA.TABLE_CONSTRAINTS AS t JOIN INFORMATION_SCHEMA.KEY_COLUMN_USAGE AS k
        ON k.CONSTRAINT_NAME = t.CONSTRAINT_NAME WHERE t.TABLE_NAME = 'orders' AND t.CONSTRAINT_TYPE = 'PRIMARY KEY' ORDER BY k.ORDINAL_POSITION""",
    ),
    [("customer",), ("number",)],
)
same(run(db, "SELECT row_count FROM sys.dm_db_partition_stats WHERE object_id = OBJECT_ID('sales.customers') AND index_id = 1"), [(2,)])
same(run(db, "SELECT snapshot_isolation_state FROM sys.databases WHERE name = DB_NAME()"), [(0,)])
run(db, "ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON")
same(run(db, "SELECT snapshot_isolation_state, snapshot_isolation_state_desc FROM sys.databases WHERE database_id = DB_ID()"), [(1, "ON")])
assert "SQL Server" in run(db, "SELECT @@VERSION")[0][0]
same(run(db, "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), CAST(SERVERPROPERTY('EngineEdition') AS int)"), [("16.0.1000.6", 3)])
same(run(db, "SELECT OBJECT_ID('sales.nothing'), SCHEMA_NAME(1)"), [(None, "dbo")])

run(db, "CREATE VIEW sales.large AS SELECT o.customer, o.amount FROM sales.orders AS o WHERE o.amount > 5")
same(run(db, "SELECT COUNT(*) FROM sales.large WHERE customer = 1"), [(1,)])
same(run(db, "SELECT TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = 'large'"), [("VIEW",)])

# Tables change, and the catalogue with them.
run(db, "ALTER TABLE sales.orders ADD added nvarchar(10) NULL")
run(db, "ALTER TABLE sales.orders ALTER COLUMN amount decimal(20, 4) NULL")
run(db, "ALTER TABLE sales.orders DROP COLUMN note")
same(
    run(db, "SELECT name, precision FROM sys.columns WHERE object_id = OBJECT_ID('sales.orders') AND column_id > 2 ORDER BY column_id"),
    [("amount", 20), ("at", 23), ("added", 0)],
)
refused(lambda: run(db, "DROP TABLE sales.customers"))
run(db, "DROP VIEW sales.large; DROP TABLE sales.orders; DROP TABLE sales.customers")
same(run(db, "SELECT COUNT(*) FROM sys.objects"), [(0,)])
run(db, "CREATE DATABASE other")
run(db, "USE other")
run(db, "CREATE TABLE t (x int)")
run(db, "USE shop")
same(run(db, "SELECT COUNT(*) FROM other.dbo.t"), [(0,)])
refused(lambda: run(db, "SELECT * FROM t"))
print("good")
