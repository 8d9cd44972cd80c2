"""One form for what any reader returns: Arrow in, plain values out, the same for equal tables whoever read them.

Knows Arrow. Does not know Iceberg, or who read.
"""

import datetime
import decimal
import hashlib
import json
import uuid

import pyarrow as pa

SHOWN_ROWS = 1000


def canonical_type(arrow: pa.DataType) -> str:
    """The Iceberg name of an Arrow type; offsets' width, which a reader chooses freely, leaves no trace."""
    if isinstance(arrow, pa.UuidType):
        return "uuid"
    if isinstance(arrow, pa.Bool8Type):
        return "boolean"
    if pa.types.is_fixed_size_binary(arrow):
        # DuckDB has no binary of a fixed length: nothing to compare the length with.
        return "binary"
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision}, {arrow.scale})"
    if pa.types.is_timestamp(arrow):
        zone = "timestamptz" if arrow.tz else "timestamp"
        return f"{zone}_ns" if arrow.unit == "ns" else zone
    if pa.types.is_map(arrow):
        return f"map<{canonical_type(arrow.key_type)}, {canonical_type(arrow.item_type)}>"
    if pa.types.is_struct(arrow):
        fields = (f"{field.name}: {canonical_type(field.type)}" for field in arrow)
        return f"struct<{', '.join(fields)}>"
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return f"list<{canonical_type(arrow.value_type)}>"
    return _SCALARS.get(str(arrow), str(arrow))


_SCALARS = {
    "bool": "boolean",
    "int32": "int",
    "int64": "long",
    "float": "float",
    "double": "double",
    "date32[day]": "date",
    "time64[us]": "time",
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "binary": "binary",
    "large_binary": "binary",
    "binary_view": "binary",
}


def canonical_value(value, arrow: pa.DataType):
    """A value as JSON can hold it: exact, zone-free, and equal when the values are equal."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        moment = value.astimezone(datetime.UTC) if value.tzinfo else value
        return moment.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if pa.types.is_struct(arrow):
        return {field.name: canonical_value(value[field.name], field.type) for field in arrow}
    if pa.types.is_map(arrow):
        pairs = [[canonical_value(k, arrow.key_type), canonical_value(v, arrow.item_type)] for k, v in value]
        return sorted(pairs, key=_as_json)
    if isinstance(value, list):
        return [canonical_value(item, arrow.value_type) for item in value]
    raise TypeError(f"no canonical form for {type(value)} of {arrow}")


def summary(table: pa.Table) -> dict:
    """What is compared and printed about a table: columns, count, a digest of all rows, the first rows."""
    columns = [_column(table.column(name), field) for name, field in zip(table.column_names, table.schema)]
    rows = [list(row) for row in zip(*columns)] if columns else []
    rows.sort(key=_as_json)
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_as_json(row).encode() + b"\n")
    return {
        "columns": [[field.name, canonical_type(field.type)] for field in table.schema],
        "count": table.num_rows,
        "rows_sha256": digest.hexdigest(),
        "rows": rows[:SHOWN_ROWS],
    }


def _column(values: pa.ChunkedArray, field: pa.Field) -> list:
    arrow = field.type
    if pa.types.is_timestamp(arrow) and arrow.unit == "ns":
        # Python's datetime ends at microseconds: nanoseconds are told as a whole number since the epoch.
        return values.cast(pa.int64()).to_pylist()
    return [canonical_value(value, arrow) for value in values.to_pylist()]


def _as_json(value) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
