"""One form for what any reader returns: Arrow in, plain values out, the same for equal tables whoever read them.

Knows Arrow. Does not know Iceberg, or who read.
"""

import datetime
import decimal
import uuid

import pyarrow as pa


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


def columns_of(table: pa.Table) -> list[list[str]]:
    return [[field.name, canonical_type(field.type)] for field in table.schema]


def rows_of(table: pa.Table) -> list[tuple]:
    """Every row, in the order of the reader, as a tuple that is equal to another exactly when all values are."""
    if not table.num_columns:
        return [()] * table.num_rows
    return list(zip(*(_column(table.column(i), field.type) for i, field in enumerate(table.schema))))


def _column(values: pa.ChunkedArray, arrow: pa.DataType) -> list:
    if _is_plain(arrow):
        return values.to_pylist()
    if pa.types.is_timestamp(arrow):
        # As text, because Python's own ends at microseconds and at the years 1 and 9999.
        moments = values.cast(pa.timestamp(arrow.unit))
        zone = "Z" if arrow.tz else ""
        return [None if moment is None else moment + zone for moment in moments.cast(pa.string()).to_pylist()]
    return [_value(value, arrow) for value in values.to_pylist()]


def _is_plain(arrow: pa.DataType) -> bool:
    """Whether Python's values are canonical as they are; most cells are, and a call for each would take long."""
    return pa.types.is_integer(arrow) or canonical_type(arrow) in ("boolean", "string", "date")


def _value(value, arrow: pa.DataType):
    """A value that can be hashed: exact, zone-free, and equal when the values are equal."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        # NaN is NaN here, and -0.0 is not 0.0.
        return repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        moment = value.astimezone(datetime.UTC) if value.tzinfo else value
        return moment.isoformat(timespec="microseconds")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if pa.types.is_struct(arrow):
        return tuple(_value(value[field.name], field.type) for field in arrow)
    if pa.types.is_map(arrow):
        pairs = ((_value(key, arrow.key_type), _value(item, arrow.item_type)) for key, item in value)
        return tuple(sorted(pairs, key=repr))
    if isinstance(value, list):
        return tuple(_value(item, arrow.value_type) for item in value)
    raise TypeError(f"no canonical form for {type(value)} of {arrow}")
