"""A rival's half of the benchmark of merges: DuckDB's MERGE of a Parquet file into a table of the tests' REST catalog.

    duckdb_merge.py TABLE KEY PARQUET
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))
from duck import duckdb_with  # noqa: E402
from store import quoted, s3_of_the_tests  # noqa: E402

table, key, changes = sys.argv[1:]
uri, warehouse, token = (
    quoted(os.environ[f"LAKEWRIGHT_TEST_REST_{name}"]) for name in ("CATALOG", "WAREHOUSE", "TOKEN")
)
with duckdb_with("avro", "iceberg", s3=s3_of_the_tests()) as connection:
    options = f"TYPE iceberg, ENDPOINT {uri}, TOKEN {token}, ACCESS_DELEGATION_MODE 'none', READ_ONLY false"
    connection.execute(f"ATTACH {warehouse} AS lake ({options})")
    connection.execute(
        f"MERGE INTO lake.{table} USING {quoted(changes)} AS changes USING ({key})"
        " WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT"
    )
