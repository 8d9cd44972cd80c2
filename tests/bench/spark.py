"""Spark 3.5 with Iceberg's runtime, both from PyPI, as a command that merges a Parquet file into a table.

Knows where Spark is installed to. Does not know what is merged.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# The runtime's jar comes in a package for another purpose; of its later releases the jar is incomplete.
PACKAGES = ["pyspark==3.5.9", "snowpark-connect-deps-iceberg==1.0.2"]

CONFIGURATION = {
    "spark.master": "local[*]",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 1),
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.lake.type": "hadoop",
}


def install() -> Path:
    """Its packages, in an environment that stays, as that of the tests does."""
    home = Path(os.environ.get("LAKEWRIGHT_TEST_HOME", Path.home() / ".cache/lakewright-tests"))
    venv = home / "spark-3.5"
    if not (venv / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        subprocess.run([str(venv / "bin/pip"), "install", "--quiet", *PACKAGES], check=True)
        (venv / "installed").touch()
    [packages] = venv.glob("lib/python*/site-packages")
    return packages


def adopt(metadata: str, warehouse: Path, table: str) -> None:
    """Makes the table of a metadata file one of a Hadoop catalog, its files where they are: Spark has no SQLite."""
    folder = warehouse.joinpath(*table.split("."), "metadata")
    folder.mkdir(parents=True)
    shutil.copy(metadata.removeprefix("file://"), folder / "v1.metadata.json")


def newest(warehouse: Path) -> str:
    """The metadata file of the one table of a Hadoop catalog."""
    return str(max(warehouse.rglob("*.metadata.json"), key=lambda file: int(file.name.split(".")[0].removeprefix("v"))))


def merge_command(packages: Path, warehouse: Path, table: str, key: str, changes: Path, mode: str) -> list[str]:
    statements = f"""
        ALTER TABLE lake.{table} SET TBLPROPERTIES ('write.merge.mode' = '{mode}');
        CREATE TEMPORARY VIEW changes USING parquet OPTIONS (path '{changes}');
        MERGE INTO lake.{table} AS t USING changes AS c ON t.{key} = c.{key}
        WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *;
    """
    [runtime] = packages.glob("snowpark_connect_deps_iceberg/jars/iceberg-spark-runtime-3.5_2.12-*.jar")
    configuration = CONFIGURATION | {"spark.sql.catalog.lake.warehouse": str(warehouse)}
    options = [part for name, value in configuration.items() for part in ("--conf", f"{name}={value}")]
    spark_sql = packages / "pyspark/bin/spark-sql"
    return [str(spark_sql), "--driver-class-path", str(runtime), *options, "-e", statements]
