"""TPC-H lineitem out of PostgreSQL: `lakewright run` beside psql's COPY and DuckDB. See postgres_to_iceberg.sh."""

import os
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

from arguments import arguments_of, require_binary
from measure import Contender, cpu_of_tree, median, table, take_turns
from project import write_project

HERE = Path(__file__).resolve().parent
FLOOR = "psql COPY binary"

LINEITEM = """
    l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber integer NOT NULL,
    l_quantity decimal(15, 2) NOT NULL, l_extendedprice decimal(15, 2) NOT NULL, l_discount decimal(15, 2) NOT NULL,
    l_tax decimal(15, 2) NOT NULL, l_returnflag text NOT NULL, l_linestatus text NOT NULL, l_shipdate date NOT NULL,
    l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct text NOT NULL, l_shipmode text NOT NULL,
    l_comment text NOT NULL
"""


def psql(url: str, *statements: str, **options) -> str:
    flags = [part for statement in statements for part in ("-c", statement)]
    command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", url, *flags]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout.strip()


def load_lineitem(url: str, scale: str) -> int:
    psql(url, f"CREATE TABLE lineitem ({LINEITEM})")
    generator = str(Path(sys.executable).parent / "tpchgen-cli")
    rows = subprocess.Popen(
        [generator, "csv", "--quiet", "-s", scale, "-T", "lineitem", "--stdout"], stdout=subprocess.PIPE
    )
    psql(url, "COPY lineitem FROM STDIN (FORMAT csv, HEADER)", stdin=rows.stdout)
    if rows.wait() != 0:
        raise SystemExit("tpchgen-cli failed")
    # Frozen and analysed: no reader pays for hint bits, and all plan with the same statistics.
    psql(url, "VACUUM (FREEZE, ANALYZE) lineitem")
    return int(psql(url, "SELECT count(*) FROM lineitem"))


def connection(url: str) -> str:
    server = urllib.parse.urlsplit(url)
    return f"""
        kind: Connection
        name: source
        connector: postgres
        options:
          host: {server.hostname}
          port: {server.port}
          database: {server.path.lstrip("/")}
          user: {server.username}
          tls: off
          password: {{ env: BENCH_PASSWORD }}
    """


PIPELINE = """
    kind: Pipeline
    name: lineitem
    domain: bench
    description: All of lineitem
    steps:
      - name: lineitem
        extract: { connection: source, table: public.lineitem, mode: full }
      - name: publish
        load: { from: lineitem, table: bench.lineitem, mode: replace }
"""


def contenders(url: str, binary: Path, scratch: Path) -> dict[str, Contender]:
    project = scratch / "project"
    environment = {**os.environ, "BENCH_PASSWORD": urllib.parse.urlsplit(url).password or ""}
    copy = "COPY lineitem TO STDOUT (FORMAT binary)"
    export = [sys.executable, str(HERE / "duckdb_export.py"), url, "lineitem", str(scratch / "lineitem.parquet")]
    return {
        FLOOR: Contender(["psql", "-qX", url, "-c", copy, "-o", "/dev/null"]),
        "DuckDB to Parquet": Contender(export),
        "lakewright run": Contender(
            [str(binary), "run", "bench/lineitem"],
            {"cwd": project, "env": environment},
            lambda: write_project(project, connection(url), PIPELINE),
        ),
    }


def main() -> None:
    parser = arguments_of(__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="parts of the names of those to run")
    arguments = parser.parse_args()

    # Nobody encrypts: on one machine that would measure the cipher.
    url = os.environ["LAKEWRIGHT_TEST_POSTGRES"] + "?sslmode=disable"
    with tempfile.TemporaryDirectory(prefix="lakewright-bench.") as folder:
        scratch = Path(folder)
        everyone = contenders(url, arguments.binary.resolve(), scratch)
        wanted = [part.lower() for part in arguments.only or [""]]
        chosen = {name: how for name, how in everyone.items() if any(part in name.lower() for part in wanted)}
        if "lakewright run" in chosen:
            require_binary(arguments.binary, ", or `--only psql duckdb` without it")
        rows = load_lineitem(url, arguments.scale)
        server = int(Path(psql(url, "SHOW data_directory"), "postmaster.pid").read_text().split()[0])
        costs = take_turns(chosen, arguments.rounds, scratch / "output.log", lambda: cpu_of_tree(server))
    print(f"lineitem at scale {arguments.scale}, {rows} rows, median of {arguments.rounds} rounds")
    print(table({name: median(of) for name, of in costs.items()}, FLOOR))


if __name__ == "__main__":
    main()
