"""A large merge under a limit of memory that the kernel holds it to. See merge_memory.sh."""

import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from arguments import arguments_of, require_binary
from limited import limit_of
from measure import cost_of
from project import published, write_project, write_specs
from tpch import write_tpch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "readers"))
from store import quoted  # noqa: E402

TABLE, KEY = "bench.orders", "o_orderkey"
WRITES = ("copy_on_write", "merge_on_read")
# Every sixth row comes again; TPC-H uses the first eight of 32 keys: eight further on there is none.
CHANGES = """
    SELECT * EXCLUDE (is_new) REPLACE (
        o_orderkey + CASE WHEN is_new THEN 8 ELSE 0 END AS o_orderkey,
        CAST(o_totalprice + 1 AS DECIMAL(15, 2)) AS o_totalprice)
    FROM (SELECT *, {place} % 60 = 0 AS is_new FROM {orders} WHERE {place} % 6 = 0)
"""
# The how-manieth of the keys that are used a key is.
PLACE = "(o_orderkey // 32 * 8 + o_orderkey % 32)"


def write_changes(orders: str, changes: Path) -> None:
    import duckdb

    duckdb.sql("SET memory_limit = '4GB'")
    duckdb.sql("SET preserve_insertion_order = false")
    query = CHANGES.format(orders=orders, place=PLACE)
    duckdb.sql(f"COPY ({query}) TO {quoted(str(changes))} (FORMAT parquet, COMPRESSION zstd)")


def counted(query: str) -> tuple:
    """What of a query's rows can be told without keeping them: how many, how many keys, and sums of their values."""
    from duck import duckdb_with

    with duckdb_with("avro", "iceberg") as duckdb:
        duckdb.execute("SET memory_limit = '6GB'")
        columns = f"count(*), sum({KEY}::HUGEINT), sum(o_totalprice), sum(hash(o_orderkey, o_totalprice, o_comment)::HUGEINT)"
        return duckdb.execute(f"SELECT {columns} FROM ({query})").fetchone()


def expected(orders: str, changes: str) -> tuple:
    return counted(f"FROM {orders} ANTI JOIN (FROM {changes}) USING ({KEY}) UNION ALL BY NAME FROM {changes}")


def found(project: Path) -> tuple:
    from duck import iceberg_scan

    return counted(f"FROM {iceberg_scan(published(project))}")


def elsewhere(work, *arguments):
    """A child's peak memory starts with that of the process it was forked from: this one must stay small."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()


def pipeline(files: str, mode: str) -> str:
    return f"""
        kind: Pipeline
        name: orders
        domain: bench
        description: Orders, or changes to them
        steps:
          - name: orders
            extract: {{ connection: source, table: "{files}" }}
          - name: publish
            load: {{ from: orders, table: {TABLE}, mode: {mode} }}
    """


def main() -> None:
    parser = arguments_of(__doc__)
    parser.set_defaults(scale="40")
    parser.add_argument("--limit", type=int, default=1024, help="MiB that the kernel allows")
    parser.add_argument("--memory", default="512MiB", help="what `run` is told")
    parser.add_argument("--write", dest="writes", action="append", choices=WRITES)
    arguments = parser.parse_args()
    binary = require_binary(arguments.binary)
    with tempfile.TemporaryDirectory(prefix="lakewright-bench.") as folder:
        scratch = Path(folder)
        source = f"kind: Connection\nname: source\nconnector: local\noptions: {{ path: {scratch} }}\n"
        project, base, log = scratch / "merged", scratch / "base", scratch / "output.log"
        write_tpch(scratch, arguments.scale, ("orders",), os.cpu_count() or 1)
        orders, changes = quoted(str(scratch / "orders/*.parquet")), scratch / "changes.parquet"
        elsewhere(write_changes, orders, changes)
        wanted = elsewhere(expected, orders, quoted(str(changes)))
        write_project(project, source, pipeline("orders/*.parquet", "replace"))
        command = [str(binary), "run", "bench/orders", "--memory", arguments.memory]
        made = cost_of(command, log, lambda: 0.0, cwd=project)
        shutil.rmtree(scratch / "orders")
        project.rename(base)
        print(f"made: {made.wall_s:.0f} s, {made.cpu_s:.0f} CPU-s, {made.peak_mb:.0f} MB resident", flush=True)
        for write in arguments.writes or WRITES:
            # To the very path it was made at: a table's metadata names its files by their whole paths.
            shutil.copytree(base, project, copy_function=os.link)
            for kept in filter(Path.is_file, project.glob("lake/*.db*")):
                kept.unlink()
                shutil.copy(base / "lake" / kept.name, kept)
            write_specs(project, source, pipeline(changes.name, f"{{ merge: {{ key: [{KEY}], write: {write} }} }}"))
            with limit_of(arguments.limit) as limit:
                cost = cost_of(command, log, lambda: 0.0, cwd=project, preexec_fn=limit.enter)
                said = limit.counted()
            if (seen := elsewhere(found, project)) != wanted:
                raise SystemExit(f"{write}: the table has {seen}, and not {wanted}")
            print(
                f"{write}, {limit.how}: {cost.wall_s:.0f} s, {cost.cpu_s:.0f} CPU-s, {cost.peak_mb:.0f} MB resident"
                f"{said}; {wanted[0]} rows, as they have to be",
                flush=True,
            )
            shutil.rmtree(project)


if __name__ == "__main__":
    main()
