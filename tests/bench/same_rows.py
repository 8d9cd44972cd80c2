"""Whether two contenders have published the same: columns, types and rows, in any order.

Knows DuckDB. Does not know what was published, or by whom.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))
from duck import duckdb_with  # noqa: E402
from store import S3  # noqa: E402


def same_rows(sides: dict[str, str], s3: S3 | None = None) -> int:
    """How many rows each side, a query by its name, has; ends the benchmark when one is not as the first."""
    with duckdb_with("avro", "iceberg", s3=s3) as duckdb:
        (first, expected), *others = sides.items()
        columns = duckdb.execute(f"DESCRIBE {expected}").fetchall()
        for name, query in others:
            seen = duckdb.execute(f"DESCRIBE {query}").fetchall()
            if seen != columns:
                raise SystemExit(f"the columns differ: {name} {seen}, {first} {columns}")
            for one, has, has_not in ((name, query, expected), (first, expected, query)):
                rows = duckdb.execute(f"({has}) EXCEPT ALL ({has_not}) LIMIT 3").fetchall()
                if rows:
                    raise SystemExit(f"the rows of {name} and {first} differ: {rows} are only in {one}")
        [(count,)] = duckdb.execute(f"SELECT count(*) FROM ({expected})").fetchall()
    return count
