"""A limit of memory that the kernel holds a command to, whatever the command thinks of it.

Knows control groups, and what to do without. Does not know what is limited.
"""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OLD, NEW = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Limit:
    """How a command is limited, what it calls for in the child before it starts, and what the kernel has counted."""

    how: str
    enter: Callable[[], None]
    counted: Callable[[], str]


@contextmanager
def limit_of(mebibytes: int) -> Iterator[Limit]:
    """A limit for the commands that are started with `preexec_fn=limit.enter`."""
    most = mebibytes * 2**20
    for root, limit, peak, swap in (
        (OLD, "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.memsw.limit_in_bytes"),
        (NEW, "memory.max", "memory.peak", "memory.swap.max"),
    ):
        group = root / f"lakewright-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / limit).exists():
                continue
            (group / limit).write_text(str(most))
            if (group / swap).exists():
                (group / swap).write_text(str(most) if root == OLD else "0")
            processes = group / "cgroup.procs"
            yield Limit(
                f"a memory cgroup of {mebibytes} MiB, cached files counted",
                lambda: processes.write_text(str(os.getpid())),
                lambda: _told(group, peak),
            )
            return
        finally:
            group.rmdir()
    yield Limit(
        f"at most {mebibytes} MiB allocated (no memory cgroup can be made here)",
        lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most)),
        lambda: "",
    )


def _told(group: Path, peak: str) -> str:
    if not (group / peak).exists():
        return ""
    return f"; {int((group / peak).read_text()) / 2**20:.0f} MiB with cached files"
