"""A join and a sum over Parquet on S3: `lakewright run` beside DuckDB. See s3_to_iceberg.sh."""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from measure import Contender, cpu_of_tree, median, service, table, take_turns
from project import write_project

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "readers"))
from store import S3, quoted, s3_of_the_tests  # noqa: E402

RIVAL = "DuckDB to Parquet"
BUCKET = os.environ.get("LAKEWRIGHT_TEST_S3_BUCKET", "")
FOLDER = "bench"
# Two files of each table for each core: both readers can read at once what they like.
PARTS = 2 * (os.cpu_count() or 1)
TABLES = ("lineitem", "orders")

# Every type is said: the two would otherwise give sums of other precisions, and months as other types.
SQL = """
SELECT o_custkey AS customer,
       CAST(date_trunc('month', o_orderdate) AS DATE) AS month,
       CAST(count(*) AS BIGINT) AS lines,
       CAST(sum(l_quantity) AS DECIMAL(18, 2)) AS quantity,
       CAST(sum(l_extendedprice * (1 - l_discount)) AS DECIMAL(18, 4)) AS revenue,
       max(l_receiptdate) AS last_received
FROM lineitem JOIN orders ON l_orderkey = o_orderkey
WHERE o_orderstatus <> 'P'
GROUP BY 1, 2
"""

PIPELINE = f"""
    kind: Pipeline
    name: revenue
    domain: bench
    description: Revenue of each customer and month
    steps:
      - name: lineitem
        extract: {{ connection: source, table: "lineitem/*.parquet" }}
      - name: orders
        extract: {{ connection: source, table: "orders/*.parquet" }}
      - name: revenue
        transform:
          sql: |
{textwrap.indent(SQL.strip(), " " * 12)}
      - name: publish
        load: {{ from: revenue, table: bench.revenue, mode: replace }}
"""


def connection(s3: S3) -> str:
    return f"""
        kind: Connection
        name: source
        connector: minio
        options:
          endpoint: {s3.endpoint}
          bucket: {BUCKET}
          prefix: {FOLDER}
          access_key: {{ env: LAKEWRIGHT_TEST_S3_ACCESS_KEY }}
          secret_key: {{ env: LAKEWRIGHT_TEST_S3_SECRET_KEY }}
    """


def fill_bucket(s3: S3, scale: str, scratch: Path) -> None:
    import pyarrow.fs

    generator = str(Path(sys.executable).parent / "tpchgen-cli")
    shape = ["--compression", "ZSTD(1)", "--row-group-bytes", "64MB", "--parts", str(PARTS)]
    tables = ["-T", ",".join(TABLES), "-o", str(scratch / "tpch")]
    subprocess.run([generator, "parquet", "--quiet", "-s", scale, *shape, *tables], check=True)
    scheme, address = s3.endpoint.split("://")
    store = pyarrow.fs.S3FileSystem(
        access_key=s3.access_key,
        secret_key=s3.secret_key,
        endpoint_override=address,
        scheme=scheme,
        region=s3.region,
    )
    pyarrow.fs.copy_files(str(scratch / "tpch"), f"{BUCKET}/{FOLDER}", destination_filesystem=store)


def contenders(s3: S3, binary: Path, scratch: Path) -> dict[str, Contender]:
    project = scratch / "project"
    transform = [str(HERE / "duckdb_transform.py"), f"s3://{BUCKET}/{FOLDER}", SQL, str(scratch / "revenue.parquet")]
    return {
        RIVAL: Contender([sys.executable, *transform, *TABLES]),
        "lakewright run": Contender(
            [str(binary), "run", "bench/revenue"],
            {"cwd": project},
            lambda: write_project(project, connection(s3), PIPELINE),
        ),
    }


def compared(scratch: Path) -> int:
    """How many rows both have published; ends the benchmark when they are not the same."""
    from duck import duckdb_with, iceberg_scan

    with sqlite3.connect(scratch / "project/lake/catalog.db") as catalog:
        [(metadata,)] = catalog.execute("SELECT metadata_location FROM iceberg_tables")
    ours, theirs = f"FROM {iceberg_scan(metadata)}", f"FROM {quoted(str(scratch / 'revenue.parquet'))}"
    with duckdb_with("avro", "iceberg") as duckdb:
        columns = [duckdb.execute(f"DESCRIBE {side}").fetchall() for side in (ours, theirs)]
        if columns[0] != columns[1]:
            raise SystemExit(f"the columns differ: ours {columns[0]}, theirs {columns[1]}")
        for one, other in ((ours, theirs), (theirs, ours)):
            rows = duckdb.execute(f"({one}) EXCEPT ALL ({other}) LIMIT 3").fetchall()
            if rows:
                raise SystemExit(f"the rows differ: {rows} are only in {one}")
        [(count,)] = duckdb.execute(f"SELECT count(*) {ours}").fetchall()
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scale", nargs="?", default="0.1")
    parser.add_argument("--rounds", type=int, default=3)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--binary", type=Path, default=target / "release" / "lakewright")
    arguments = parser.parse_args()
    if not arguments.binary.is_file():
        raise SystemExit(f"no binary at {arguments.binary}\nhelp: `cargo build --release`")

    s3, server = s3_of_the_tests(), service("weed")
    with tempfile.TemporaryDirectory(prefix="lakewright-bench.") as folder:
        scratch = Path(folder)
        # A child's peak memory starts with that of the process it was forked from: this one must stay small.
        with ProcessPoolExecutor(1) as elsewhere:
            elsewhere.submit(fill_bucket, s3, arguments.scale, scratch).result()
        both = contenders(s3, arguments.binary.resolve(), scratch)
        costs = take_turns(both, arguments.rounds, scratch / "output.log", lambda: cpu_of_tree(server))
        rows = compared(scratch)
    print(f"lineitem and orders at scale {arguments.scale} to {rows} rows, median of {arguments.rounds} rounds")
    print(table({name: median(of) for name, of in costs.items()}, RIVAL))


if __name__ == "__main__":
    main()
