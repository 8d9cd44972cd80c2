"""What PyIceberg sees of a table's tags and branches, and how many rows it reads at each.

    references.py --sql sqlite:////lake/catalog.db  NAMESPACE.TABLE
    references.py --rest http://host:port           NAMESPACE.TABLE

Prints `{"name": {"kind": …, "snapshot": …, "keep_ms": …, "rows": …}}` as JSON.
"""

import argparse
import json
import os

from catalogs import rest_catalog, sql_catalog
from store import s3_of_the_tests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--sql")
    where.add_argument("--rest")
    parser.add_argument("table")
    arguments = parser.parse_args()
    s3 = s3_of_the_tests()
    if arguments.sql:
        catalog = sql_catalog(arguments.sql, s3)
    else:
        warehouse, token = (os.environ[f"LAKEWRIGHT_TEST_REST_{name}"] for name in ("WAREHOUSE", "TOKEN"))
        catalog = rest_catalog(arguments.rest, warehouse, token, s3)
    table = catalog.load_table(arguments.table)
    seen = {
        name: {
            "kind": reference.snapshot_ref_type.value,
            "snapshot": reference.snapshot_id,
            "keep_ms": reference.max_ref_age_ms,
            "rows": table.scan(snapshot_id=reference.snapshot_id).to_arrow().num_rows,
        }
        for name, reference in table.refs().items()
    }
    # The table itself, as a reader that names no snapshot sees it: without rows where `main` has none yet.
    assert table.scan().to_arrow().num_rows == seen.get("main", {"rows": 0})["rows"]
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
