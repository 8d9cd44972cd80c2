"""Read every table of a lake with `lakewright query`, PyIceberg and DuckDB, and compare them row for row.

    agree.py --sql sqlite:////lake/catalog.db    [--namespace NAME]… -- lakewright query […]
    agree.py --sql postgresql://user:pw@host/db  [--namespace NAME]… -- lakewright query […]
    agree.py --rest http://host:port             [--namespace NAME]… -- lakewright query […]

Without a namespace, all of them. The command is given a query and `--out FILE`. Where S3 is, and what a REST catalog
wants to know, is in the variables that `tests/services/with` sets.

Prints columns and number of rows of each table as JSON. Ends with 1 when readers differ: on stderr stands for each
table which reader, in what, and the first rows that only one of them has.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
from canonical import columns_of, rows_of
from catalogs import rest_catalog, sql_catalog
from duck import iceberg_reader, iceberg_scan
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from store import s3_of_the_tests

OURS = "lakewright"
SHOWN_ROWS = 5


def tables_of(catalog: Catalog, namespaces: list[str]) -> Iterator[tuple[str, ...]]:
    for namespace in namespaces or sorted(catalog.list_namespaces()):
        yield from sorted(catalog.list_tables(namespace))


def ask(command: list[str], identifier: tuple[str, ...], scratch: Path) -> pa.Table:
    *namespace, name = (part.replace('"', '""') for part in identifier)
    out = scratch / "answer.parquet"
    sql = f'SELECT * FROM "{".".join(namespace)}"."{name}"'
    asked = subprocess.run([*command, sql, "--out", str(out)], stdin=subprocess.DEVNULL, capture_output=True)
    if asked.returncode != 0:
        raise RuntimeError(asked.stderr.decode(errors="replace"))
    return parquet.read_table(out)


def differences(ours: pa.Table, reader: str, theirs: pa.Table) -> Iterator[str]:
    """What one has and the other has not; the order of rows means nothing."""
    sides = {OURS: ours, reader: theirs}
    columns = {name: columns_of(table) for name, table in sides.items()}
    if columns[OURS] != columns[reader]:
        yield from (f"{name} has the columns {seen}" for name, seen in columns.items())
        return
    rows = {name: rows_of(table) for name, table in sides.items()}
    if rows[OURS] == rows[reader]:
        return
    counted = {name: Counter(seen) for name, seen in rows.items()}
    for name, other in ((OURS, reader), (reader, OURS)):
        only = counted[name] - counted[other]
        if only:
            yield f"{name} has {only.total()} of {len(rows[name])} rows that {other} has not:"
            yield from (f"    {row}" for row in sorted(only, key=repr)[:SHOWN_ROWS])


def compare(table: Table, readers: dict[str, Callable[[Table], pa.Table]]) -> tuple[pa.Table | None, list[str]]:
    """What we read, and every difference of the others to it."""
    seen, found = {}, []
    for reader, read in readers.items():
        try:
            seen[reader] = read(table)
        except Exception as error:  # noqa: BLE001: whatever a reader fails with is the finding
            found.append(f"{reader} cannot read it: {type(error).__name__}: {error}")
    ours = seen.pop(OURS, None)
    if ours is not None:
        for reader, theirs in seen.items():
            found.extend(differences(ours, reader, theirs))
    return ours, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    catalogs = parser.add_mutually_exclusive_group(required=True)
    catalogs.add_argument("--sql", metavar="URL")
    catalogs.add_argument("--rest", metavar="URI")
    parser.add_argument("--namespace", action="append", default=[])
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()

    s3 = s3_of_the_tests()
    if arguments.sql:
        catalog = sql_catalog(arguments.sql, s3)
    else:
        warehouse, token = (os.environ[f"LAKEWRIGHT_TEST_REST_{name}"] for name in ("WAREHOUSE", "TOKEN"))
        catalog = rest_catalog(arguments.rest, warehouse, token, s3)

    agreed, differing = {}, False
    with tempfile.TemporaryDirectory(prefix="lakewright-agree.") as scratch, iceberg_reader(s3) as duckdb:
        readers = {
            OURS: lambda table: ask(arguments.command, table.name(), Path(scratch)),
            "pyiceberg": lambda table: table.scan().to_arrow(),
            "duckdb": lambda table: duckdb.sql(f"FROM {iceberg_scan(table.metadata_location)}").to_arrow_table(),
        }
        for identifier in tables_of(catalog, arguments.namespace):
            name = ".".join(identifier)
            ours, found = compare(catalog.load_table(identifier), readers)
            for difference in found:
                differing = True
                print(f"{name}: {difference}", file=sys.stderr)
            if not found:
                agreed[name] = {"columns": columns_of(ours), "count": ours.num_rows}
    json.dump(agreed, sys.stdout, ensure_ascii=False)
    print()
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
