"""A join and a sum over Parquet on S3: `lakewright run` beside DuckDB. See s3_to_iceberg.sh."""

import os
import sys
import tempfile
import textwrap
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from arguments import arguments_of, require_binary
from measure import Contender, cpu_of_tree, median, service, table, take_turns
from project import published, write_project
from tpch import write_tpch

HERE = Path(__file__).resolve().parent
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

    write_tpch(scratch / "tpch", scale, TABLES, PARTS)
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
    from duck import iceberg_scan
    from same_rows import same_rows

    theirs = f"FROM {quoted(str(scratch / 'revenue.parquet'))}"
    return same_rows({RIVAL: theirs, "lakewright run": f"FROM {iceberg_scan(published(scratch / 'project'))}"})


def main() -> None:
    arguments = arguments_of(__doc__).parse_args()
    binary = require_binary(arguments.binary)

    s3, server = s3_of_the_tests(), service("weed")
    with tempfile.TemporaryDirectory(prefix="lakewright-bench.") as folder:
        scratch = Path(folder)
        # A child's peak memory starts with that of the process it was forked from: this one must stay small.
        with ProcessPoolExecutor(1) as elsewhere:
            elsewhere.submit(fill_bucket, s3, arguments.scale, scratch).result()
        both = contenders(s3, binary, scratch)
        costs = take_turns(both, arguments.rounds, scratch / "output.log", lambda: cpu_of_tree(server))
        rows = compared(scratch)
    print(f"lineitem and orders at scale {arguments.scale} to {rows} rows, median of {arguments.rounds} rounds")
    print(table({name: median(of) for name, of in costs.items()}, RIVAL))


if __name__ == "__main__":
    main()
