#!/usr/bin/env bash
# tests/bench/s3_to_iceberg.sh [SCALE] [--rounds N] [--binary PATH]
#
# What a transform costs: TPC-H lineitem and orders at SCALE (default 0.1) as Parquet on S3, joined and summed up for
# each customer and month in decimals (about 1.4 million groups at scale 1), and published: by `lakewright run` as an
# Iceberg table, by DuckDB, with the same SQL and all cores, as one zstd Parquet file. Both write to the local disk.
# They take turns for N rounds (default 3); at the end both are compared row for row, and the table gives the median
# wall time, CPU time, peak memory, the CPU time of the S3 server, and each against DuckDB.
#
# The binary is the release build, unless `--binary` names another: `cargo build --release` first. On a busy machine
# wall times mean little: compare CPU seconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../services/with" bash -c 'exec "$LAKEWRIGHT_TEST_PYTHON" "$@"' bench "$here/s3_to_iceberg.py" "$@"
