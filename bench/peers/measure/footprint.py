"""What processes take of the machine: their share of memory, and of the processors."""

from __future__ import annotations

import os
import time
from pathlib import Path

from .processes import session_members

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def measure(sessions: set[int], seconds: float) -> dict[str, int | float]:
    """Watches the processes of these sessions for so long."""
    before = _cpu_ticks(session_members(sessions))
    started = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - started
    members = session_members(sessions)
    after = _cpu_ticks(members)
    # A process that came up in between counts from its start; what one that ended took is not known.
    ticks = sum(ticks - before.get(process, 0) for process, ticks in after.items())
    return {
        "rss_mib": round(sum(_proportional_kib(process) for process in members) / 1024, 1),
        "cpu_percent": round(100 * ticks / TICKS_PER_SECOND / elapsed, 2),
        "processes": len(members),
    }


def _proportional_kib(process: int) -> int:
    """The memory of a process, with what it shares divided among the sharers."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _cpu_ticks(processes: list[int]) -> dict[int, int]:
    ticks = {}
    for process in processes:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks[process] = int(fields[11]) + int(fields[12])
    return ticks
