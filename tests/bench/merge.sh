#!/usr/bin/env bash
# tests/bench/merge.sh [SCALE] [--rounds N] [--binary PATH] [--clustered|--scattered] [--spark]
#
# What a merge costs: TPC-H orders at SCALE (default 0.1) is an Iceberg table sorted by its key, in eight files at
# scale 1 and in two at a tenth. One row of a hundred changes, a tenth of them into rows with new keys: all in one
# range of keys (clustered), or every hundredth (scattered); one after the other, unless a flag chooses. `lakewright
# run` merges the changes, a Parquet file, as it chooses, by copy_on_write and by merge_on_read, PyIceberg by `upsert`, DuckDB by
# MERGE INTO through the REST catalog: its table lies on S3, whose CPU time is a column of its own. With --spark also
# Spark 3.5, in an environment that is installed for it once. All start from the same rows in the same files.
#
# They take turns for N rounds (default 3). At the end all tables are compared row for row with what the merge has to
# give; the table has the median wall time, CPU time, peak memory, and each against the first.
#
# The binary is the release build, unless `--binary` names another: `cargo build --release` first. On a busy machine
# wall times mean little: compare CPU seconds.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../services/with" bash -c 'exec "$LAKEWRIGHT_TEST_PYTHON" "$@"' bench "$here/merge.py" "$@"
