"""What PyIceberg sees of a table besides its rows: columns with their identifiers, partitions, order.

    layout.py --sql URL|--rest URI TABLE

Prints JSON. How many data files the table has of each way in which it was cut stands by the number of the way.
"""

import json
import os
import sys
from collections import Counter

from catalogs import rest_catalog, sql_catalog
from store import s3_of_the_tests


def main() -> None:
    kind, place, name = sys.argv[1:]
    s3 = s3_of_the_tests()
    if kind == "--sql":
        catalog = sql_catalog(place, s3)
    else:
        warehouse, token = (os.environ[f"LAKEWRIGHT_TEST_REST_{name}"] for name in ("WAREHOUSE", "TOKEN"))
        catalog = rest_catalog(place, warehouse, token, s3)
    table = catalog.load_table(name)
    columns = {field.field_id: field.name for field in table.schema().fields}
    files = Counter(task.file.spec_id for task in table.scan().plan_files())
    seen = {
        "columns": [
            [field.field_id, field.name, str(field.field_type), field.required] for field in table.schema().fields
        ],
        "partitions": [f"{field.transform} {columns[field.source_id]}" for field in table.spec().fields],
        "order": [f"{columns[field.source_id]} {field.direction}" for field in table.sort_order().fields],
        "files": {str(spec): count for spec, count in sorted(files.items())},
    }
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
