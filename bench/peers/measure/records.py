"""What the handlers wrote down, and what follows from it.

A handler appends one line, `NAME NANOSECONDS`, as the first thing it does: the name of its schedule
or job, in eight digits, and the wall clock. All lines are of one length, so that the size of the file
tells how many there are.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

LINE_BYTES = len("00000000 1700000000000000000\n")


@dataclass(frozen=True)
class Entry:
    """One entry into a handler."""

    name: str
    at_ns: int


def count(path: Path) -> int:
    """How many lines there are by now, without reading them."""
    try:
        return path.stat().st_size // LINE_BYTES
    except FileNotFoundError:
        return 0


def read(path: Path) -> list[Entry]:
    if not path.exists():
        return []
    entries = []
    for line in path.read_text().splitlines():
        name, at_ns = line.split()
        entries.append(Entry(name, int(at_ns)))
    return entries


def percentile(ordered: list[float], part: float) -> float:
    """The nearest rank, which is a value that was measured."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def burst(entries: list[Entry], n: int, due_ns: int) -> dict[str, int | float]:
    """How a burst of n schedules came out. Each schedule counts with its first start."""
    first: dict[str, int] = {}
    for entry in sorted(entries, key=lambda entry: entry.at_ns):
        first.setdefault(entry.name, entry.at_ns)
    starts = Counter(entry.name for entry in entries)
    late = sorted((at_ns - due_ns) / 1e6 for at_ns in first.values())
    result: dict[str, int | float] = {
        "started": len(entries),
        "distinct": len(first),
        "lost": n - len(first),
        "duplicated": sum(count - 1 for count in starts.values()),
    }
    if late:
        result |= {
            "first_ms": round(late[0], 3),
            "p50_ms": round(percentile(late, 0.50), 3),
            "p99_ms": round(percentile(late, 0.99), 3),
            "last_ms": round(late[-1], 3),
        }
    return result
