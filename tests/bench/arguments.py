"""What every benchmark is told: the scale, how often, and which binary.

Knows where cargo puts the release build. Does not know what is measured.
"""

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def arguments_of(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("scale", nargs="?", default="0.1")
    parser.add_argument("--rounds", type=int, default=3)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--binary", type=Path, default=target / "release" / "lakewright")
    return parser


def require_binary(binary: Path, otherwise: str = "") -> Path:
    if not binary.is_file():
        raise SystemExit(f"no binary at {binary}\nhelp: `cargo build --release`{otherwise}")
    return binary.resolve()
