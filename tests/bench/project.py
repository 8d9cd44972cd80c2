"""The smallest project that publishes something: SQLite catalog, local warehouse, one connection, one pipeline."""

import shutil
import sqlite3
import textwrap
from pathlib import Path

PROJECT = """
    kind: Project
    name: bench
    version: 1
    lake:
      catalog: { sqlite: { path: lake/catalog.db } }
      warehouse: { local: { path: lake/warehouse } }
    state: { sqlite: { path: lake/state.db } }
"""

DOMAIN = """
    kind: Domain
    name: bench
    description: A benchmark
    owners: [bench@example.org]
    namespace: bench
"""


def write_project(folder: Path, connection: str, pipeline: str) -> None:
    """Writes the project anew: what an earlier run published is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    write_specs(folder, connection, pipeline)


def write_specs(folder: Path, connection: str, pipeline: str) -> None:
    """Writes the specs only: what an earlier run published stays."""
    files = {
        "project.yaml": PROJECT,
        "connections/source.yaml": connection,
        "domains/bench/domain.yaml": DOMAIN,
        "domains/bench/pipelines/pipeline.yaml": pipeline,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())


def published(folder: Path) -> str:
    """The metadata file of the one table that the project has published."""
    with sqlite3.connect(folder / "lake/catalog.db") as catalog:
        [(metadata,)] = catalog.execute("SELECT metadata_location FROM iceberg_tables")
    return metadata
