"""A rival's half of the benchmark of merges: PyIceberg's upsert of a Parquet file into a table of a SQLite catalog.

    pyiceberg_upsert.py CATALOG TABLE KEY PARQUET
"""

import sys
from pathlib import Path

import pyarrow.parquet as parquet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "readers"))
from catalogs import sql_catalog  # noqa: E402

catalog, table, key, changes = sys.argv[1:]
sql_catalog(f"sqlite:///{catalog}", None).load_table(table).upsert(parquet.read_table(changes), join_cols=[key])
