"""The processes of one call: each in a session of its own, and none left when the call ends."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

STOP_SECONDS = 3.0
WITH_US = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []


class PeerFailed(Exception):
    """A peer's program did not do what was asked of it."""


class Started:
    """A running program, and the lines that it prints for us."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self.process = process
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def wait_for(self, word: str, seconds: float) -> str:
        """The rest of the next line that begins with the word; other lines go to our stderr."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise PeerFailed(f"{self.name} did not say {word!r} within {seconds:.0f} s") from None
            if line is None:
                raise PeerFailed(f"{self.name} ended without saying {word!r}")
            first, _, rest = line.partition(" ")
            if first == word:
                return rest
            print(f"{self.name}: {line}", file=sys.stderr)

    def wait(self, seconds: float) -> None:
        """Waits until the program has ended well."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"{self.name} did not end within {seconds:.0f} s") from None
        if code != 0:
            raise PeerFailed(f"{self.name} ended with exit code {code}")


class Processes:
    """Starts programs, and ends them, with their children, when the block is left."""

    def __init__(self) -> None:
        self._started: list[Started] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The newest first: a store outlives those who use it.
        for started in reversed(self._started):
            self._stop(started)

    def start(
        self, name: str, command: list[str], environment: dict[str, str], directory: Path
    ) -> Started:
        # Each in a session of its own, so that a signal to it reaches its children, and the
        # footprint can tell whose they are. Where we are killed, the kernel ends it.
        process = subprocess.Popen(
            [*WITH_US, *command],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None,
            text=True,
            start_new_session=True,
        )
        started = Started(name, process)
        self._started.append(started)
        return started

    @property
    def sessions(self) -> set[int]:
        return {started.process.pid for started in self._started}

    def _stop(self, started: Started) -> None:
        session = started.process.pid
        signal_session(session, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while session_members({session}) and time.monotonic() < deadline:
            started.process.poll()
            time.sleep(0.02)
        signal_session(session, signal.SIGKILL)
        started.process.wait()


def signal_session(session: int, number: signal.Signals) -> None:
    # A child may have made itself a process group, so each member is told, not the group.
    for process in session_members({session}):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass


def session_members(sessions: set[int]) -> list[int]:
    """The living processes of these sessions."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name of the command is in parentheses, and may hold anything.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        state, session = fields[0], int(fields[3])
        if session in sessions and state not in "ZX":
            members.append(int(entry.name))
    return members
