"""TPC-H tables as Parquet, in some files of each: FOLDER/TABLE/*.parquet."""

import subprocess
import sys
from pathlib import Path


def write_tpch(folder: Path, scale: str, tables: tuple[str, ...], parts: int) -> None:
    generator = str(Path(sys.executable).parent / "tpchgen-cli")
    shape = ["--compression", "ZSTD(1)", "--row-group-bytes", "64MB", "--parts", str(parts)]
    subprocess.run(
        [generator, "parquet", "--quiet", "-s", scale, *shape, "-T", ",".join(tables), "-o", str(folder)], check=True
    )
