"""One row of a hundred merged into an Iceberg table: `lakewright run` beside its rivals. See merge.sh."""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import spark
from arguments import arguments_of, require_binary
from measure import Contender, cost_of, cpu_of_tree, median, service, table, take_turns
from project import published, write_project, write_specs
from tpch import write_tpch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "readers"))
from store import quoted, s3_of_the_tests  # noqa: E402

OURS = "lakewright"
# How a merge writes: as it chooses itself, or as it is told.
WRITES = (None, "copy_on_write", "merge_on_read")
TABLE, KEY = "bench.orders", "o_orderkey"
FILES = 8
# Spark's catalog is in the folder of the project whose table it takes over.
SPARK, SPARK_MODES = "spark", ("copy-on-write", "merge-on-read")

# Which rows change, by their place in the order of the key; every tenth of them becomes a row with a new key.
SHAPES = {
    "clustered": ("place BETWEEN total // 2 AND total // 2 + total // 100 - 1", "place % 10 = 0"),
    "scattered": ("place % 100 = 0", "place % 1000 = 0"),
}

# TPC-H uses the first eight of 32 keys: eight further on there is none.
CHANGES = """
    SELECT * EXCLUDE (place, total) REPLACE (
        o_orderkey + CASE WHEN {is_new} THEN 8 ELSE 0 END AS o_orderkey,
        CAST(o_totalprice + 1 AS DECIMAL(15, 2)) AS o_totalprice,
        'changed ' || o_comment AS o_comment)
    FROM (SELECT *, row_number() OVER (ORDER BY o_orderkey) - 1 AS place, count(*) OVER () AS total FROM {orders})
    WHERE {changed} ORDER BY o_orderkey
"""


@dataclass(frozen=True)
class Scene:
    """What one shape of changes is measured with."""

    scratch: Path
    shape: str
    binary: Path

    @property
    def orders(self) -> str:
        return quoted(str(self.scratch / "orders/*.parquet"))

    @property
    def changes(self) -> Path:
        return self.scratch / f"{self.shape}.parquet"

    @property
    def log(self) -> Path:
        return self.scratch / "output.log"

    def project(self, name: str) -> Path:
        return self.scratch / self.shape / name


def write_changes(scene: Scene) -> None:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as parquet

    changed, is_new = SHAPES[scene.shape]
    rows = duckdb.sql(CHANGES.format(orders=scene.orders, changed=changed, is_new=is_new)).to_arrow_table()
    # DuckDB knows no required columns, and PyIceberg takes no others into a table that has them.
    required = pa.schema([field.with_nullable(False) for field in rows.schema])
    parquet.write_table(rows.cast(required), scene.changes, compression="zstd")


def connection(scratch: Path) -> str:
    return f"""
        kind: Connection
        name: source
        connector: local
        options: {{ path: {scratch} }}
    """


def pipeline(files: str, mode: str, file_size: int) -> str:
    return f"""
        kind: Pipeline
        name: orders
        domain: bench
        description: Orders, or changes to them
        steps:
          - name: orders
            extract: {{ connection: source, table: "{files}" }}
          - name: publish
            load:
              from: orders
              table: {TABLE}
              mode: {mode}
              sort_by: [{KEY}]
              target_file_size: {file_size // 1024}KiB
    """


def make_base(scene: Scene, name: str, write: str | None = None) -> Path:
    """A project with orders in its lake that merges the changes in its next run, and a copy of it beside."""
    project, source = scene.project(name), connection(scene.scratch)
    file_size = sum(file.stat().st_size for file in scene.scratch.glob("orders/*.parquet")) // FILES
    write_project(project, source, pipeline("orders/*.parquet", "replace", file_size))
    cost_of([str(scene.binary), "run", "bench/orders"], scene.log, lambda: 0.0, cwd=project)
    told = f", write: {write}" if write else ""
    mode = f"{{ merge: {{ key: [{KEY}]{told} }} }}"
    write_specs(project, source, pipeline(scene.changes.name, mode, file_size))
    shutil.copytree(project, project.with_suffix(".base"))
    return project


def restore(project: Path) -> None:
    """To the very path it was made at: a table's metadata names its files by their whole paths."""
    shutil.rmtree(project)
    shutil.copytree(project.with_suffix(".base"), project)


def restore_for_spark(project: Path) -> None:
    restore(project)
    spark.adopt(published(project), project / SPARK, TABLE)


def data_files(project: Path) -> list[Path]:
    return sorted(project.glob("lake/warehouse/**/data/**/*.parquet"))


def contenders(scene: Scene, with_spark: bool) -> dict[str, Contender]:
    python, changes = sys.executable, str(scene.changes)
    everyone = {}
    for write in WRITES:
        project = make_base(scene, write or OURS, write)
        command = [str(scene.binary), "run", "bench/orders"]
        everyone[f"{OURS} {write}" if write else OURS] = Contender(command, {"cwd": project}, lambda at=project: restore(at))
    project = make_base(scene, "pyiceberg")
    upsert = [python, str(HERE / "pyiceberg_upsert.py"), str(project / "lake/catalog.db"), TABLE, KEY, changes]
    everyone["PyIceberg upsert"] = Contender(upsert, prepare=lambda: restore(project))
    again = [python, str(HERE / "rest_table.py"), TABLE, *map(str, data_files(project.with_suffix(".base")))]
    merge = [python, str(HERE / "duckdb_merge.py"), TABLE, KEY, changes]
    everyone["DuckDB MERGE, on S3"] = Contender(merge, prepare=lambda: subprocess.run(again, check=True))
    for mode in SPARK_MODES if with_spark else ():
        at = make_base(scene, f"spark-{mode}")
        command = spark.merge_command(spark.install(), at / SPARK, TABLE, KEY, scene.changes, mode)
        everyone[f"Spark {mode}"] = Contender(command, {"cwd": scene.scratch}, lambda at=at: restore_for_spark(at))
    return everyone


def compared(scene: Scene, with_spark: bool) -> tuple[int, int]:
    """How many rows changed, and how many every table has now; ends the benchmark when they are not the same."""
    from duck import iceberg_scan
    from rest_table import tests_catalog
    from same_rows import same_rows

    changes = f"FROM {quoted(str(scene.changes))}"
    sides = {
        "the expected": f"FROM {scene.orders} ANTI JOIN ({changes}) USING ({KEY}) UNION ALL {changes}",
        "DuckDB": f"FROM {iceberg_scan(tests_catalog().load_table(TABLE).metadata_location)}",
    }
    for name in (*(write or OURS for write in WRITES), "pyiceberg"):
        sides[name] = f"FROM {iceberg_scan(published(scene.project(name)))}"
    for mode in SPARK_MODES if with_spark else ():
        sides[f"Spark {mode}"] = f"FROM {iceberg_scan(spark.newest(scene.project(f'spark-{mode}') / SPARK))}"
    return same_rows({"the changes": changes}), same_rows(sides, s3_of_the_tests())


def main() -> None:
    parser = arguments_of(__doc__)
    only = parser.add_mutually_exclusive_group()
    for shape in SHAPES:
        only.add_argument(f"--{shape}", dest="shapes", action="store_const", const=[shape], default=list(SHAPES))
    parser.add_argument("--spark", action="store_true", help="Spark 3.5 too: needs Java, and installs 400 MB once")
    arguments = parser.parse_args()
    binary, server = require_binary(arguments.binary), service("weed")

    with tempfile.TemporaryDirectory(prefix="lakewright-bench.") as folder:
        scratch = Path(folder)
        write_tpch(scratch, arguments.scale, ("orders",), os.cpu_count() or 1)
        for shape in arguments.shapes:
            scene = Scene(scratch, shape, binary)
            # A child's peak memory starts with that of the process it was forked from: this one must stay small.
            with ProcessPoolExecutor(1) as elsewhere:
                elsewhere.submit(write_changes, scene).result()
            everyone = contenders(scene, arguments.spark)
            costs = take_turns(everyone, arguments.rounds, scene.log, lambda: cpu_of_tree(server))
            with ProcessPoolExecutor(1) as elsewhere:
                changes, rows = elsewhere.submit(compared, scene, arguments.spark).result()
            files = data_files(scene.project("pyiceberg.base"))
            megabytes = sum(file.stat().st_size for file in files) / 2**20
            print(
                f"{shape}: {changes} changes merged into orders at scale {arguments.scale}, {len(files)} files of"
                f" {megabytes:.0f} MB, to {rows} rows, the same in all tables; median of {arguments.rounds} rounds"
            )
            print(table({name: median(of) for name, of in costs.items()}, OURS), flush=True)


if __name__ == "__main__":
    main()
