"""Enqueues Celery tasks: celery_client.py prepare, or enqueue|trigger N."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime, timezone

import recording
from celery_peer import app, enter


def prepare() -> None:
    """Makes delayed tasks, where there are more schedules than beat can hold."""
    if os.environ.get("PEER_DELAYED") != "1":
        return
    due = datetime.fromtimestamp(int(os.environ["PEER_DUE"]), timezone.utc)
    with app.producer_or_acquire() as producer:
        for name in recording.names(int(os.environ["PEER_SCHEDULES"])):
            enter.apply_async((name,), eta=due, producer=producer)


def enqueue(n: int) -> None:
    # One connection for all: "Connections" in the guide's Calling Tasks.
    with app.producer_or_acquire() as producer:
        for name in recording.names(n):
            enter.apply_async((name,), producer=producer)
            if name == "00000000":
                recording.say(f"committed {time.time_ns()}")
    recording.wait_until_entered(n)
    with app.connection_or_acquire() as connection:
        redis = connection.default_channel.client
        # A task that is late to be acknowledged is in `unacked` until it has ended.
        while redis.llen("celery") + redis.hlen("unacked") > 0:
            time.sleep(0.005)
    recording.say(f"completed {time.time_ns()}")


def trigger(n: int) -> None:
    latencies = recording.trigger(n, lambda name: enter.apply_async((name,)))
    recording.say(f"latencies {json.dumps(latencies)}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare"]:
            prepare()
        case ["enqueue", number]:
            enqueue(int(number))
        case ["trigger", number]:
            trigger(int(number))
        case _:
            sys.exit("usage: celery_client.py prepare|enqueue N|trigger N")
