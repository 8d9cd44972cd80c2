"""The plain copy beside compaction: DuckDB reads the Parquet files of a folder and writes them as one, zstd.

    duckdb_copy.py FOLDER PARQUET
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))
from duck import duckdb_with  # noqa: E402
from store import quoted  # noqa: E402

folder, parquet = sys.argv[1:]
with duckdb_with() as connection:
    # As a table's rows have no order, so the copy's need none.
    connection.execute("SET preserve_insertion_order = false")
    files = quoted(f"{folder}/**/*.parquet")
    connection.execute(f"COPY (FROM read_parquet({files})) TO {quoted(parquet)} (FORMAT parquet, COMPRESSION zstd)")
