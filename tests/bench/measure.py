"""What one command costs: wall and CPU time, peak memory, and the CPU time its server spent meanwhile.

Knows Linux's accounting. Does not know what is measured.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    wall_s: float
    cpu_s: float
    server_cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Contender:
    """A command, how it is started, and what is made ready before, unmeasured."""

    command: list[str]
    options: dict = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None


def take_turns(
    contenders: dict[str, Contender], rounds: int, log: Path, server_cpu: Callable[[], float]
) -> dict[str, list[Cost]]:
    """One round to warm the server's cache, which is thrown away; then they take turns."""
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            contender.prepare()
            cost = cost_of(contender.command, log, server_cpu, **contender.options)
            label = f"round {number}" if number else "warm-up"
            print(f"{label}: {name}: {cost.wall_s:.2f} s, {cost.cpu_s:.2f} CPU-s", file=sys.stderr, flush=True)
            if number:
                costs[name].append(cost)
    return costs


def cost_of(command: list[str], log: Path, server_cpu: Callable[[], float], **options) -> Cost:
    """Runs `command` to its end; a failure ends the benchmark with the command's own words."""
    server_before = server_cpu()
    started = time.perf_counter()
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options)
        # wait4 gives this child's own usage, peak memory included; RUSAGE_CHILDREN would mix all children so far.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{log.read_text(errors='replace')[-4000:]}")
    # The process that served the connection adds to its parent's account only once it has been reaped.
    time.sleep(0.5)
    return Cost(
        wall_s=wall,
        cpu_s=usage.ru_utime + usage.ru_stime,
        server_cpu_s=server_cpu() - server_before,
        peak_mb=usage.ru_maxrss / 1024,
    )


def cpu_of_tree(root: int) -> float:
    """CPU seconds of a process, its living children, and those of its children that have ended."""
    return sum(_cpu_of(pid, with_ended=pid == root) for pid in [root, *_children_of(root)])


def service(name: str) -> int:
    """A service that `tests/services/with`, whose child this is, has started under this name."""
    found = [pid for pid in _children_of(os.getppid()) if Path(f"/proc/{pid}/comm").read_text().strip() == name]
    if not found:
        raise SystemExit(f"no process `{name}` beside this one\nhelp: start the benchmark by its .sh")
    return found[0]


def _children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()]


def _cpu_of(pid: int, with_ended: bool) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return 0.0
    # After the name, which may hold blanks: utime, stime, cutime, cstime are fields 14 to 17 of the whole line.
    fields = stat.rpartition(")")[2].split()
    utime, stime, ended_utime, ended_stime = (int(field) for field in fields[11:15])
    ticks = utime + stime + (ended_utime + ended_stime if with_ended else 0)
    return ticks / TICKS_PER_SECOND


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, part.name) for cost in costs) for part in fields(Cost)))


def table(medians: dict[str, Cost], floor: str) -> str:
    header = f"{'':24} {'wall s':>8} {'×':>6} {'CPU s':>8} {'×':>6} {'server CPU s':>13} {'peak MB':>8}"
    lines = [header]
    base = medians.get(floor)
    for name, cost in medians.items():
        wall_ratio = f"{cost.wall_s / base.wall_s:6.2f}" if base else f"{'-':>6}"
        cpu_ratio = f"{cost.cpu_s / base.cpu_s:6.2f}" if base and base.cpu_s else f"{'-':>6}"
        lines.append(
            f"{name:24} {cost.wall_s:8.2f} {wall_ratio} {cost.cpu_s:8.2f} {cpu_ratio}"
            f" {cost.server_cpu_s:13.2f} {cost.peak_mb:8.0f}"
        )
    return "\n".join(lines)
