"""DuckDB as a reader: of Iceberg tables by their metadata files, and of whatever its extensions know.

Knows where its extensions lie, and S3. Does not know catalogs.
"""

import glob
import os

import duckdb
from store import S3, quoted


def duckdb_with(*extensions: str, s3: S3 | None = None) -> duckdb.DuckDBPyConnection:
    """DuckDB with extensions from the wheels beside it, and never from the network."""
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )
    packages = os.path.dirname(os.path.dirname(duckdb.__file__))
    for name in (*extensions, *(["httpfs"] if s3 else [])):
        pattern = f"{packages}/duckdb_extension_*/extensions/v{duckdb.__version__}/{name}.duckdb_extension"
        found = glob.glob(pattern)
        if not found:
            raise SystemExit(f"no DuckDB extension `{name}` at {pattern}")
        connection.execute(f"LOAD {quoted(found[0])}")
    if s3:
        connection.execute(s3.for_duckdb())
    return connection


def iceberg_reader(s3: S3 | None) -> duckdb.DuckDBPyConnection:
    """DuckDB for [`iceberg_scan`], with answers that Arrow can hold as they are."""
    connection = duckdb_with("avro", "iceberg", s3=s3)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET arrow_lossless_conversion = true")
    return connection


def iceberg_scan(metadata: str) -> str:
    """The table of a metadata file, for a FROM."""
    return f"iceberg_scan({quoted(metadata.removeprefix('file://'))})"
