"""Many small files become few: `lakewright maintain` beside plain copies of the same files. See compaction.sh."""

import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from arguments import arguments_of, require_binary
from measure import Contender, cost_of, median, table, take_turns
from project import published, write_project, write_specs
from tpch import write_tpch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "readers"))
from store import quoted  # noqa: E402

PLAIN = "DuckDB copy"
NAME = "lineitem"


def connection(folder: Path) -> str:
    return f"""
        kind: Connection
        name: source
        connector: local
        options: {{ path: {folder} }}
    """


def pipeline(files: str, more: str = "") -> str:
    return f"""
        kind: Pipeline
        name: {NAME}
        domain: bench
        description: Files as they come
        steps:
          - name: rows
            extract: {{ connection: source, table: "{files}" }}
          - name: publish
            load: {{ from: rows, table: bench.{NAME}, mode: replace{more} }}
    """


def data_files(project: Path) -> list[Path]:
    return sorted(project.glob("lake/warehouse/**/data/**/*.parquet"))


def make_small_files(scratch: Path, project: Path, binary: Path) -> None:
    """A table with a file for each that comes: whatever is written ends a file of so small a size."""
    small = pipeline(f"{NAME}/*.parquet", ", target_file_size: 1KiB")
    write_project(project, connection(scratch), small)
    cost_of([str(binary), "run", f"bench/{NAME}"], scratch / "output.log", lambda: 0.0, cwd=project)
    # Without a size of its own the table is compacted into files of the usual one.
    write_specs(project, connection(scratch), pipeline(f"{NAME}/*.parquet"))


def compared(sides: dict[str, str]) -> int:
    from same_rows import same_rows

    return same_rows(sides)


def main() -> None:
    parser = arguments_of(__doc__)
    parser.add_argument("--files", type=int, default=2000)
    arguments = parser.parse_args()
    binary = require_binary(arguments.binary)
    with tempfile.TemporaryDirectory(prefix="lakewright-bench.") as folder:
        scratch = Path(folder)
        project, base, copy = scratch / "compacted", scratch / "base", scratch / "copied"
        write_tpch(scratch, arguments.scale, (NAME,), arguments.files)
        make_small_files(scratch, project, binary)
        shutil.copytree(project, base)
        small = data_files(base)
        megabytes = sum(file.stat().st_size for file in small) / 2**20
        plain, files = scratch / "plain.parquet", small[0].parent.relative_to(scratch) / "*.parquet"

        def restore() -> None:
            # To the very path it was made at: a table's metadata names its files by their whole paths.
            shutil.rmtree(project)
            shutil.copytree(base, project)

        compact = [str(binary), "maintain", "--only", "compact"]
        run = [str(binary), "run", f"bench/{NAME}"]
        everyone = {
            PLAIN: Contender([sys.executable, str(HERE / "duckdb_copy.py"), str(small[0].parent), str(plain)]),
            "lakewright run": Contender(
                run, {"cwd": copy}, lambda: write_project(copy, connection(scratch), pipeline(str(files)))
            ),
            "lakewright maintain": Contender(compact, {"cwd": project}, restore),
        }
        costs = take_turns(everyone, arguments.rounds, scratch / "output.log", lambda: 0.0)
        # A child's peak memory starts with that of the process it was forked from: this one must stay small.
        with ProcessPoolExecutor(1) as elsewhere:
            from duck import iceberg_scan

            sides = {
                "what came": f"FROM {quoted(str(scratch / NAME / '*.parquet'))}",
                PLAIN: f"FROM {quoted(str(plain))}",
                "lakewright run": f"FROM {iceberg_scan(published(copy))}",
                "lakewright maintain": f"FROM {iceberg_scan(published(project))}",
            }
            rows = elsewhere.submit(compared, sides).result()
        became = len(set(data_files(project)) - {project / file.relative_to(base) for file in small})
        print(
            f"{len(small)} files of {megabytes:.0f} MB, {rows} rows of {NAME} at scale {arguments.scale}, became"
            f" {became}; the same rows in all; median of {arguments.rounds} rounds"
        )
        print(table({name: median(of) for name, of in costs.items()}, PLAIN), flush=True)


if __name__ == "__main__":
    main()
