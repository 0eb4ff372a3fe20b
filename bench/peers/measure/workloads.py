"""The four workloads, the same for every peer."""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import footprint, records, redis
from .peers import INSTALLED, Peer
from .processes import PeerFailed, Processes, Started

READY_SECONDS = 90.0
# After the programs say that they are ready, so that what they do last at a start is no part of it.
SETTLE_SECONDS = 1.0
FOOTPRINT_SETTLE_SECONDS = 5.0
FOOTPRINT_SECONDS = 20.0
# How long to look for second starts once all schedules have started.
DUPLICATE_SECONDS = 2.0
NOT_SOON_SECONDS = 6 * 3600

Result = dict[str, Any]


class Call:
    """One run of one peer: its processes, its temporary directory, its environment."""

    def __init__(self, peer: Peer, processes: Processes, temporary: Path, ends_at: float) -> None:
        self.peer = peer
        self.record = temporary / "record"
        self._processes = processes
        self._temporary = temporary
        # By the monotonic clock.
        self._ends_at = ends_at
        self._workers: list[Started] = []
        self._environment = {
            **os.environ,
            "WATCHBELL_PEERS": str(INSTALLED),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PEER_RECORD": str(self.record),
            **peer.environment,
        }
        if peer.needs_redis:
            self._environment["PEER_REDIS"] = redis.start(processes, temporary)
        elif not os.environ.get("PEER_POSTGRES"):
            raise PeerFailed("PEER_POSTGRES is not set: the URL of an empty database")

    def left(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())

    def tell(self, **variables: int) -> None:
        self._environment |= {name.upper(): str(value) for name, value in variables.items()}

    def prepare(self) -> None:
        self._start("prepare", self.peer.prepare).wait(self.left())

    def start_workers(self) -> float:
        """Starts the programs, and gives the milliseconds until all were ready."""
        began = time.monotonic()
        self._workers = [self._start(name, command) for name, command in self.peer.workers.items()]
        for worker in self._workers:
            worker.wait_for("ready", min(READY_SECONDS, self.left()))
        return (time.monotonic() - began) * 1000

    def check(self) -> None:
        """That no worker has ended."""
        for worker in self._workers:
            if worker.process.poll() is not None:
                raise PeerFailed(f"{worker.name} has ended")

    def start_client(self, verb: str, number: int) -> Started:
        return self._start(verb, [*self.peer.client, verb, str(number)])

    @property
    def sessions(self) -> set[int]:
        return self._processes.sessions

    def _start(self, name: str, command: list[str]) -> Started:
        command = [part.replace("{temporary}", str(self._temporary)) for part in command]
        return self._processes.start(
            f"{self.peer.name} {name}", command, self._environment, self.peer.directory
        )


def run(
    peer: Peer, workload: str, n: int, processes: Processes, temporary: Path, ends_at: float
) -> Result:
    call = Call(peer, processes, temporary, ends_at)
    result = {"workload": workload, **WORKLOADS[workload](call, n)}
    notes = [peer.notes.get(workload), peer.notes.get("*"), result.pop("note", None)]
    return {**result, "note": "; ".join(note for note in notes if note)}


def burst(call: Call, n: int) -> Result:
    """N schedules that are all due at one instant."""
    peer = call.peer
    delayed = peer.most_schedules is not None and n > peer.most_schedules
    lead = peer.lead_seconds + peer.lead_seconds_per_thousand * n / 1000
    due = math.ceil(time.time() + lead)
    if peer.by_the_minute and not delayed:
        due = math.ceil(due / 60) * 60
    call.tell(peer_schedules=n, peer_due=due, peer_delayed=int(delayed), peer_prompt=1)
    call.prepare()
    call.start_workers()
    if time.time() > due - 1:
        raise PeerFailed(
            f"the set-up of {n} schedules took longer than the {lead:.0f} s allowed for it"
        )

    while records.count(call.record) < n and call.left() > DUPLICATE_SECONDS:
        call.check()
        time.sleep(0.05)
    in_time = records.count(call.record) >= n
    if not records.count(call.record):
        raise PeerFailed("no schedule has started")
    time.sleep(min(DUPLICATE_SECONDS, call.left()))
    result: Result = {"n": n, **records.burst(records.read(call.record), n, due * 10**9)}
    notes = []
    if delayed:
        notes.append("delayed jobs, as so many schedules are too much for it")
    if not in_time:
        notes.append(f"given up {time.time() - due:.0f} s after the instant")
    return {**result, "note": "; ".join(notes)}


def throughput(call: Call, n: int) -> Result:
    """N jobs that do nothing, from the commit of the first to the store's knowing the last is done."""
    n = min(n, call.peer.most_throughput or n)
    call.prepare()
    if not call.peer.client_works:
        call.start_workers()
        time.sleep(SETTLE_SECONDS)
    client = call.start_client("enqueue", n)
    committed_ns = int(client.wait_for("committed", call.left()))
    completed_ns = int(client.wait_for("completed", call.left()))
    client.wait(call.left())
    entries = records.read(call.record)
    if len({entry.name for entry in entries}) != n:
        raise PeerFailed(f"{n} jobs were enqueued, and {len(entries)} started")
    seconds = (completed_ns - committed_ns) / 1e9
    return {"n": n, "seconds": round(seconds, 3), "per_second": round(n / seconds, 1)}


def trigger(call: Call, n: int) -> Result:
    """One job after the other, each enqueued when the one before has entered its handler."""
    # The handler's line is what the client waits for, so here the record is a pipe. We hold it open,
    # so that nobody waits for the other end.
    os.mkfifo(call.record)
    with ExitStack() as stack:
        descriptor = os.open(call.record, os.O_RDWR)
        stack.callback(os.close, descriptor)
        call.prepare()
        if not call.peer.client_works:
            call.start_workers()
            time.sleep(SETTLE_SECONDS)
        client = call.start_client("trigger", n)
        latencies = sorted(json.loads(client.wait_for("latencies", call.left())))
        client.wait(call.left())
    result: Result = {
        "n": len(latencies),
        "p50_ms": round(records.percentile(latencies, 0.50), 3),
        "p95_ms": round(records.percentile(latencies, 0.95), 3),
        "p99_ms": round(records.percentile(latencies, 0.99), 3),
        "max_ms": round(latencies[-1], 3),
    }
    if len(latencies) < n:
        result["note"] = f"given up after {len(latencies)} of {n}"
    return result


def idle(call: Call, n: int) -> Result:
    """What N schedules cost that are not due."""
    due = math.ceil((time.time() + NOT_SOON_SECONDS) / 60) * 60
    call.tell(peer_schedules=n, peer_due=due)
    call.prepare()
    ready_ms = call.start_workers()
    time.sleep(FOOTPRINT_SETTLE_SECONDS)
    measured = footprint.measure(call.sessions, FOOTPRINT_SECONDS)
    return {"n": n, **measured, "ready_ms": round(ready_ms, 1)}


WORKLOADS = {"burst": burst, "throughput": throughput, "trigger": trigger, "footprint": idle}
DEFAULT_SIZES = {"burst": 1000, "throughput": 20000, "trigger": 2000, "footprint": 1000}
