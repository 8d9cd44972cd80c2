"""Read an Iceberg table from its metadata file with PyIceberg and with DuckDB, and print what each saw as JSON.

    read_table.py METADATA_LOCATION [--s3-endpoint URL --s3-access-key KEY --s3-secret-key KEY --s3-region NAME]

Ends with 1, and the difference on stderr, when the two disagree about columns, types or rows.
"""

import argparse
import json
import sys

from canonical import summary
from readers import add_s3_arguments, read_with_duckdb, read_with_pyiceberg, s3_of

SHOWN_DIFFERENCES = 5


def differences(left: dict, right: dict) -> list[str]:
    found = [
        f"{key}: pyiceberg {left[key]}, duckdb {right[key]}"
        for key in ("columns", "count", "rows_sha256")
        if left[key] != right[key]
    ]
    pairs = [pair for pair in zip(left["rows"], right["rows"]) if pair[0] != pair[1]]
    return found + [f"row: pyiceberg {one}, duckdb {other}" for one, other in pairs[:SHOWN_DIFFERENCES]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metadata_location")
    add_s3_arguments(parser)
    arguments = parser.parse_args()
    s3 = s3_of(arguments)

    seen = {
        "pyiceberg": summary(read_with_pyiceberg(arguments.metadata_location, s3)),
        "duckdb": summary(read_with_duckdb(arguments.metadata_location, s3)),
    }
    found = differences(seen["pyiceberg"], seen["duckdb"])
    json.dump({**seen, "agree": not found}, sys.stdout, ensure_ascii=False)
    print()
    if found:
        print(*found, sep="\n", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
