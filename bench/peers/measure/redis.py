"""A Redis of our own for one call, as durable as Redis's documentation recommends."""

from __future__ import annotations

import os
import random
import shutil
import socket
import time
from pathlib import Path

from .processes import PeerFailed, Processes

START_SECONDS = 20.0


def start(processes: Processes, directory: Path) -> str:
    """Starts a server on a free port of 127.0.0.1, and gives its URL."""
    program = shutil.which("redis-server") or "/usr/bin/redis-server"
    data = directory / "redis"
    data.mkdir()
    for _ in range(20):
        # Below the ports that systems hand out for outgoing connections. Should another take it
        # between the look and the start, the server ends, and we go on.
        port = random.randint(20000, 31999)
        if _answers(port):
            continue
        server = processes.start(
            "redis-server",
            [program, *_settings(port, data)],
            dict(os.environ),
            data,
        )
        deadline = time.monotonic() + START_SECONDS
        while server.process.poll() is None and time.monotonic() < deadline:
            if _answers(port):
                return f"redis://127.0.0.1:{port}/0"
            time.sleep(0.02)
    raise PeerFailed("redis-server did not start")


def _settings(port: int, data: Path) -> list[str]:
    # Both kinds of persistence, and one fsync a second: what "Redis persistence" recommends to those
    # who want the safety of PostgreSQL. Snapshots are on by default.
    return [
        "--port", str(port),
        "--bind", "127.0.0.1",
        "--dir", str(data),
        "--appendonly", "yes",
        "--appendfsync", "everysec",
        "--daemonize", "no",
        "--loglevel", "warning",
    ]  # fmt: skip


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
