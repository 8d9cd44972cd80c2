"""Two readers of one Iceberg table, neither sharing code with the engine: PyIceberg and DuckDB.

Knows how each is opened, locally and on S3. Does not know what a right answer is.
"""

import argparse
import glob
import os
import urllib.parse
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from pyiceberg.table import StaticTable


@dataclass(frozen=True)
class S3:
    """An S3-compatible store, addressed path-style."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str

    def properties(self) -> dict[str, str]:
        return {
            "s3.endpoint": self.endpoint,
            "s3.access-key-id": self.access_key,
            "s3.secret-access-key": self.secret_key,
            "s3.region": self.region,
            "s3.path-style-access": "true",
        }

    def duckdb_secret(self) -> str:
        url = urllib.parse.urlsplit(self.endpoint)
        options = {
            "KEY_ID": self.access_key,
            "SECRET": self.secret_key,
            "REGION": self.region,
            "ENDPOINT": url.netloc,
            "URL_STYLE": "path",
        }
        written = ", ".join(f"{name} {quoted(value)}" for name, value in options.items())
        return f"CREATE SECRET (TYPE s3, USE_SSL {url.scheme == 'https'}, {written})"


def add_s3_arguments(parser: argparse.ArgumentParser) -> None:
    """`--s3-…`; what is left out comes from the variables `tests/services/with` sets."""
    environment = os.environ.get
    parser.add_argument("--s3-endpoint", default=environment("LAKEWRIGHT_TEST_S3_ENDPOINT"))
    parser.add_argument("--s3-access-key", default=environment("LAKEWRIGHT_TEST_S3_ACCESS_KEY", ""))
    parser.add_argument("--s3-secret-key", default=environment("LAKEWRIGHT_TEST_S3_SECRET_KEY", ""))
    parser.add_argument("--s3-region", default="us-east-1")


def s3_of(arguments: argparse.Namespace) -> S3 | None:
    if not arguments.s3_endpoint:
        return None
    return S3(arguments.s3_endpoint, arguments.s3_access_key, arguments.s3_secret_key, arguments.s3_region)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def read_with_pyiceberg(metadata: str, s3: S3 | None) -> pa.Table:
    table = StaticTable.from_metadata(metadata, s3.properties() if s3 else {})
    return table.scan().to_arrow()


def read_with_duckdb(metadata: str, s3: S3 | None) -> pa.Table:
    extensions = ["avro", "iceberg", "httpfs"] if metadata.startswith("s3") else ["avro", "iceberg"]
    with duckdb_with(*extensions) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET arrow_lossless_conversion = true")
        if s3 and metadata.startswith("s3"):
            connection.execute(s3.duckdb_secret())
        path = metadata.removeprefix("file://")
        return connection.execute(f"SELECT * FROM iceberg_scan({quoted(path)})").to_arrow_table()


def duckdb_with(*extensions: str) -> duckdb.DuckDBPyConnection:
    """DuckDB with extensions from the wheels beside it, and never from the network."""
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )
    packages = os.path.dirname(os.path.dirname(duckdb.__file__))
    for name in extensions:
        pattern = f"{packages}/duckdb_extension_*/extensions/v{duckdb.__version__}/{name}.duckdb_extension"
        found = glob.glob(pattern)
        if not found:
            raise SystemExit(f"no DuckDB extension `{name}` at {pattern}")
        connection.execute(f"LOAD {quoted(found[0])}")
    return connection
