#!/usr/bin/env bash
# tests/bench/compaction.sh [SCALE] [--files N] [--rounds N] [--binary PATH]
#
# What compaction costs: TPC-H lineitem at SCALE (default 0.1) is an Iceberg table of about N small files (default 2000).
# `lakewright maintain --only compact` makes them few. Beside it the same files are read and written plainly: by DuckDB,
# with all cores, as one zstd Parquet file, and by `lakewright run`, which loads them into another table.
#
# They take turns for three rounds, or as many as `--rounds` says. At the end all three have the same rows; the table has
# the median wall time, CPU time, peak memory, and each against DuckDB. The goal is 1.3 of the plain copy.
#
# The binary is the release build, unless `--binary` names another: `cargo build --release` first. On a busy machine
# wall times mean little: compare CPU seconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../services/with" bash -c 'exec "$LAKEWRIGHT_TEST_PYTHON" "$@"' bench "$here/compaction.py" "$@"
