"""Makes a table of the tests' REST catalog anew, with the rows of each Parquet file in one file of the table.

    rest_table.py TABLE PARQUET…
"""

import os
import sys
from pathlib import Path

import pyarrow.parquet as parquet
from pyiceberg.catalog import Catalog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))
from catalogs import rest_catalog  # noqa: E402
from store import s3_of_the_tests  # noqa: E402


def tests_catalog() -> Catalog:
    uri, warehouse, token = (os.environ[f"LAKEWRIGHT_TEST_REST_{name}"] for name in ("CATALOG", "WAREHOUSE", "TOKEN"))
    return rest_catalog(uri, warehouse, token, s3_of_the_tests())


def main() -> None:
    table, *files = sys.argv[1:]
    catalog = tests_catalog()
    catalog.create_namespace_if_not_exists(table.split(".")[0])
    if catalog.table_exists(table):
        catalog.drop_table(table)
    made = catalog.create_table(table, parquet.read_schema(files[0]))
    for file in files:
        made.append(parquet.read_table(file))


if __name__ == "__main__":
    main()
