"""What PyIceberg says of a table's files: those that it reaches, and those that the newest snapshot reads.

    reach.py --sql sqlite:////lake/catalog.db  NAMESPACE.TABLE [--column NAME]
    reach.py --rest http://host:port           NAMESPACE.TABLE [--column NAME]

Prints JSON: every address that the metadata, its log or a snapshot names; the data and delete files of the newest
snapshot, with the values of a column in the order in which they stand in the file; its manifests and its summary.
"""

import argparse
import json
import os

import pyarrow.parquet as parquet
from catalogs import rest_catalog, sql_catalog
from pyiceberg.manifest import DataFileContent
from pyiceberg.table import Table
from store import s3_of_the_tests


def reached(table: Table) -> set[str]:
    metadata = table.metadata
    found = {table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    found |= {file.statistics_path for file in metadata.statistics}
    for snapshot in metadata.snapshots:
        found.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            found.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            found |= {entry.data_file.file_path for entry in entries}
    return found


def values(table: Table, path: str, column: str) -> list[object]:
    with table.io.new_input(path).open() as file:
        return parquet.read_table(file, columns=[column])[column].to_pylist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--sql")
    where.add_argument("--rest")
    parser.add_argument("table")
    parser.add_argument("--column")
    arguments = parser.parse_args()
    s3 = s3_of_the_tests()
    if arguments.sql:
        catalog = sql_catalog(arguments.sql, s3)
    else:
        warehouse, token = (os.environ[f"LAKEWRIGHT_TEST_REST_{name}"] for name in ("WAREHOUSE", "TOKEN"))
        catalog = rest_catalog(arguments.rest, warehouse, token, s3)
    table = catalog.load_table(arguments.table)
    newest = table.current_snapshot()
    manifests = newest.manifests(table.io)
    data, deletes = [], []
    for manifest in manifests:
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            file = entry.data_file
            if file.content != DataFileContent.DATA:
                deletes.append(file.file_path)
                continue
            read = values(table, file.file_path, arguments.column) if arguments.column else []
            data.append({"path": file.file_path, "rows": file.record_count, "values": read})
    told = {
        "reached": sorted(reached(table)),
        "data": data,
        "deletes": deletes,
        "manifests": len(manifests),
        "summary": {"operation": newest.summary.operation.value, **newest.summary.additional_properties},
        "location": table.location(),
        "properties": table.properties,
    }
    print(json.dumps(told, default=str))


if __name__ == "__main__":
    main()
