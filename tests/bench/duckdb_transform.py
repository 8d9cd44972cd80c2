"""The rival's half of the benchmark: DuckDB runs a query over Parquet files on S3 and writes the answer as Parquet, zstd.

    duckdb_transform.py S3_FOLDER SQL PARQUET TABLE…          a table is the Parquet files of a folder of S3_FOLDER
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))
from duck import duckdb_with  # noqa: E402
from store import quoted, s3_of_the_tests  # noqa: E402

folder, sql, parquet, *tables = sys.argv[1:]
with duckdb_with(s3=s3_of_the_tests()) as connection:
    for name in tables:
        connection.execute(f"CREATE VIEW {name} AS FROM read_parquet({quoted(f'{folder}/{name}/*.parquet')})")
    connection.execute(f"COPY ({sql}) TO {quoted(parquet)} (FORMAT parquet, COMPRESSION zstd)")
