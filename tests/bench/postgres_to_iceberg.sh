#!/usr/bin/env bash
# tests/bench/postgres_to_iceberg.sh [SCALE] [--rounds N] [--only NAME…] [--binary PATH]
#
# How fast, and at what cost, a table leaves PostgreSQL: TPC-H lineitem at SCALE (default 0.1) through `lakewright run`,
# beside psql's binary COPY to /dev/null (the floor: the wire alone) and DuckDB's scan into one zstd Parquet file.
# They take turns for N rounds (default 3) on a private server with the table in its cache; the table at the end gives
# the median wall time, the client's CPU time, its peak memory, the CPU time of the server, and each against the floor.
#
# The binary is the release build, unless `--binary` names another: `cargo build --release` first. On a busy machine
# wall times mean little: compare CPU seconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../services/with" bash -c 'exec "$LAKEWRIGHT_TEST_PYTHON" "$@"' bench "$here/postgres_to_iceberg.py" "$@"
