#!/usr/bin/env bash
# tests/bench/merge_memory.sh [SCALE] [--limit MIB] [--memory SIZE] [--write copy_on_write|merge_on_read] [--binary PATH]
#
# Whether a large merge stays within its memory: TPC-H orders at SCALE (default 40: 60 million rows) is an Iceberg table,
# and every sixth row, 10 million, comes again, scattered over all files, a tenth of them with new keys. `lakewright run
# --memory 512MiB` merges them, both ways unless `--write` chooses one, while the kernel gives it and what it starts MIB
# (default 1024) at the most: a memory cgroup of its own, whose limit counts cached files too, where this user may make
# one; else what it may allocate is limited. It must end well, and the table must have all rows as they have to be.
#
# Needs about 15 GB of disk at scale 40, in $TMPDIR. The binary is the release build, unless `--binary` names another.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../services/with" bash -c 'exec "$LAKEWRIGHT_TEST_PYTHON" "$@"' bench "$here/merge_memory.py" "$@"
