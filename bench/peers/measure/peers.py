"""The peers: which programs each consists of, and how much can be asked of it."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from .processes import PeerFailed

HERE = Path(__file__).resolve().parent.parent
# Absolute, since the peers' programs run in directories of their own.
INSTALLED = Path(
    os.environ.get("WATCHBELL_PEERS") or Path(tempfile.gettempdir()) / "watchbell-peers"
).absolute()


@dataclass(frozen=True)
class Peer:
    """One scheduler in one configuration."""

    name: str
    directory: Path
    # Makes the schema, and what schedules the peer keeps in its store.
    prepare: list[str]
    # The programs to keep running, which say "ready" when they are.
    workers: dict[str, list[str]]
    # Takes a verb, `enqueue` or `trigger`, and a number.
    client: list[str]
    # Whether the client is also the worker, since the peer allows no other process to enqueue.
    client_works: bool = False
    needs_redis: bool = False
    # Whether its schedules are due at full minutes only.
    by_the_minute: bool = True
    # How long the set-up takes before a burst can be due: at all, and for each thousand schedules.
    lead_seconds: float = 10.0
    lead_seconds_per_thousand: float = 1.0
    # A burst of more than this uses delayed jobs instead of schedules.
    most_schedules: int | None = None
    most_throughput: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def find(name: str) -> Peer:
    makers = {
        "celery": _celery,
        "apscheduler": _apscheduler,
        "graphile-worker": _graphile_worker,
        "graphile-worker-batched": _graphile_worker_batched,
        "pg-boss": _pg_boss,
        "pg-boss-batched": _pg_boss_batched,
        "apalis": _apalis,
    }
    if name not in makers:
        raise PeerFailed(f"no peer is called {name!r}; there are {', '.join(makers)}")
    return makers[name]()


def _installed(program: Path) -> str:
    if not program.exists():
        raise PeerFailed(f"{program} is not there; run bench/peers/install")
    return str(program)


# ── Python ───────────────────────────────────────────────────────────────────────────────────────


def _celery() -> Peer:
    celery = _installed(INSTALLED / "venv/bin/celery")
    python = _installed(INSTALLED / "venv/bin/python")
    return Peer(
        name="celery",
        directory=HERE / "python",
        prepare=[python, "celery_client.py", "prepare"],
        workers={
            "worker": [celery, "-A", "celery_peer", "worker", "--concurrency=2", "--loglevel=WARNING"],
            # Beat keeps the schedules in a file, here in the call's own directory.
            "beat": [
                celery,
                "-A",
                "celery_beat",
                "beat",
                "--loglevel=WARNING",
                "--pidfile=",
                "--schedule={temporary}/beat-schedule",
            ],
        },
        client=[python, "celery_client.py"],
        needs_redis=True,
        # For each schedule that beat sends, it compares all of them with those of the time before: for
        # 1,000 that takes 3 s at best, and for 10,000 a hundred times as long.
        most_schedules=2500,
        lead_seconds_per_thousand=2.5,
        notes={"*": "Redis fsyncs once a second: a crash of the machine may lose the last second"},
    )


def _apscheduler() -> Peer:
    program = [_installed(INSTALLED / "venv/bin/python"), "apscheduler_peer.py"]
    return Peer(
        name="apscheduler",
        directory=HERE / "python",
        prepare=[*program, "prepare"],
        workers={"scheduler": [*program, "worker"]},
        client=program,
        client_works=True,
        by_the_minute=False,
        lead_seconds_per_thousand=7.0,
        # A transaction for each job that is added and for each that is done: some hundred in a second.
        most_throughput=5000,
        notes={
            "throughput": "date jobs that are due at once; enqueued in the scheduler's own process",
            "trigger": "enqueued in the scheduler's own process, from another thread",
        },
    )


# ── Node.js ──────────────────────────────────────────────────────────────────────────────────────


def _node() -> str:
    architecture = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), "none")
    bundled = INSTALLED / f"node/node_modules/node-linux-{architecture}/bin/node"
    if bundled.exists():
        return str(bundled)
    return shutil.which("node") or _installed(bundled)


def _graphile_worker() -> Peer:
    _installed(INSTALLED / "node/node_modules/graphile-worker")
    program = [_node(), "graphile-worker.mjs"]
    return Peer(
        name="graphile-worker",
        directory=HERE / "node",
        prepare=[*program, "prepare"],
        workers={"worker": [*program, "worker"]},
        client=program,
        # Without it each job is a line on the console.
        environment={"NO_LOG_SUCCESS": "1"},
    )


def _graphile_worker_batched() -> Peer:
    return _batched(_graphile_worker())


def _batched(plain: Peer) -> Peer:
    """The same program, which takes and completes many jobs at once."""
    return replace(
        plain,
        name=f"{plain.name}-batched",
        environment={**plain.environment, "PEER_BATCHED": "1"},
    )


def _pg_boss() -> Peer:
    _installed(INSTALLED / "node/node_modules/pg-boss")
    program = [_node(), "pg-boss.mjs"]
    return Peer(
        name="pg-boss",
        directory=HERE / "node",
        prepare=[*program, "prepare"],
        workers={"worker": [*program, "worker"]},
        client=program,
        lead_seconds_per_thousand=6.0,
        # It forwards 50 schedules that are due in each cronWorkerIntervalSeconds, which is 1 at least:
        # 10,000 would take 200 s, longer than a call may last.
        most_schedules=2500,
        notes={
            "burst": "forwards at most 50 due schedules a second",
            "footprint": "looks for due schedules every 30 s, its default; for bursts every second",
        },
    )


def _pg_boss_batched() -> Peer:
    return _batched(_pg_boss())


# ── Rust ─────────────────────────────────────────────────────────────────────────────────────────


def _apalis() -> Peer:
    program = [_installed(INSTALLED / "apalis/release/apalis-peer")]
    return Peer(
        name="apalis",
        directory=HERE / "apalis",
        prepare=[*program, "prepare"],
        workers={"worker": [*program, "worker"]},
        client=program,
        by_the_minute=False,
    )
