"""Make and read a table that PyIceberg alone has made, in a catalog that Lakewright uses too.

    foreign.py make|read OPTIONS        OPTIONS: a JSON object, the properties of a PyIceberg catalog

The table `d.foreign` is partitioned and sorted, and has had a column dropped and one renamed between its appends.
"""

import datetime
import json
import sys

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, LongType, NestedField, StringType

NAME = "d.foreign"
SCHEMA = Schema(
    NestedField(1, "id", LongType()),
    NestedField(2, "gone", StringType()),
    NestedField(3, "day", DateType()),
    NestedField(4, "name", StringType()),
)
# PyIceberg writes other transforms only with a further package.
SPEC = PartitionSpec(PartitionField(3, 1000, IdentityTransform(), "day"))
ORDER = SortOrder(SortField(1, IdentityTransform()))
DAY = datetime.date(2024, 2, 3)


def make(catalog: Catalog) -> Table:
    catalog.create_namespace_if_not_exists("d")
    table = catalog.create_table(NAME, SCHEMA, partition_spec=SPEC, sort_order=ORDER)
    table.append(pa.table({"id": [2, 1], "gone": ["x", "y"], "day": [DAY, DAY], "name": ["b", "a"]}))
    with table.update_schema() as update:
        update.delete_column("gone")
        update.rename_column("name", "title")
    table.append(pa.table({"id": [3, 4], "day": [DAY, None], "title": ["c", None]}))
    return table


def seen(table: Table) -> dict:
    rows = table.scan().to_arrow().to_pylist()
    day = table.scan(row_filter="day = '2024-05-06'").to_arrow()
    names = {field.field_id: field.name for field in table.schema().fields}
    return {
        "columns": table.schema().column_names,
        "rows": sorted([row["id"], row["title"]] for row in rows),
        "of_the_day": day["id"].to_pylist(),
        "sorted_by": [names[field.source_id] for field in table.sort_order().fields],
    }


def main() -> None:
    action, options = sys.argv[1], json.loads(sys.argv[2])
    catalog = load_catalog("lakewright", **options)
    table = make(catalog) if action == "make" else catalog.load_table(NAME)
    json.dump(seen(table), sys.stdout)


if __name__ == "__main__":
    main()
