"""The rival's half of the benchmark: DuckDB reads a PostgreSQL table and writes it as Parquet, zstd.

    duckdb_export.py POSTGRES_URL TABLE PARQUET
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))
from duck import duckdb_with  # noqa: E402
from store import quoted  # noqa: E402

url, name, parquet = sys.argv[1:]
with duckdb_with("postgres_scanner") as connection:
    connection.execute(f"ATTACH {quoted(url)} AS source (TYPE postgres, READ_ONLY)")
    connection.execute(f"COPY (SELECT * FROM source.public.{name}) TO {quoted(parquet)} (FORMAT parquet, COMPRESSION zstd)")
