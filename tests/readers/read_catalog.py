"""Load an Iceberg table by name through PyIceberg's own catalog and print what it holds as JSON.

    read_catalog.py NAMESPACE.TABLE --sql sqlite:////lake/catalog.db     [--catalog-name NAME] [--s3-…]
    read_catalog.py NAMESPACE.TABLE --sql postgresql://user:pw@host/db   [--catalog-name NAME] [--s3-…]
    read_catalog.py NAMESPACE.TABLE --rest http://host:port --warehouse s3://warehouse [--token T] [--s3-…]

NAMESPACE may itself have dots. `postgres://` is understood too. `metadata_location` in the answer is what the catalog
points at: give it to read_table.py to have DuckDB look at the same snapshot.
"""

import argparse
import json
import os
import sys

from canonical import summary
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from readers import S3, add_s3_arguments, s3_of


def open_catalog(arguments: argparse.Namespace, s3: S3 | None) -> Catalog:
    storage = s3.properties() if s3 else {}
    if arguments.sql:
        scheme, rest = arguments.sql.split("://", 1)
        driver = "postgresql+psycopg2" if scheme in ("postgres", "postgresql") else scheme
        # A reader must not create the tables it looks for: an empty catalog is a finding.
        return SqlCatalog(arguments.catalog_name, uri=f"{driver}://{rest}", init_catalog_tables="false", **storage)
    token = {"token": arguments.token} if arguments.token else {}
    return RestCatalog(arguments.catalog_name, uri=arguments.rest, warehouse=arguments.warehouse, **token, **storage)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    catalog = parser.add_mutually_exclusive_group(required=True)
    catalog.add_argument("--sql")
    catalog.add_argument("--rest")
    parser.add_argument("--catalog-name", default="lakewright")
    parser.add_argument("--warehouse", default=os.environ.get("LAKEWRIGHT_TEST_REST_WAREHOUSE"))
    parser.add_argument("--token", default=os.environ.get("LAKEWRIGHT_TEST_REST_TOKEN"))
    add_s3_arguments(parser)
    arguments = parser.parse_args()

    table = open_catalog(arguments, s3_of(arguments)).load_table(arguments.table)
    answer = {"metadata_location": table.metadata_location, **summary(table.scan().to_arrow())}
    json.dump(answer, sys.stdout, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
