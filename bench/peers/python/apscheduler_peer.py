"""APScheduler with its SQLAlchemy job store on PostgreSQL.

apscheduler_peer.py prepare|worker, or enqueue|trigger N, which are workers too: a job store is of
one process ("How do I share a single job store among one or more worker processes?": you cannot).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import datetime, timezone

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import create_engine, text

import recording


def url() -> str:
    """The database's URL, with the driver that SQLAlchemy is to use."""
    return "postgresql+psycopg://" + os.environ["PEER_POSTGRES"].partition("://")[2]


def scheduler() -> BackgroundScheduler:
    # The executor is the default one, a pool of 10 threads.
    return BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=url())},
        # However late a job comes to its turn, it is run.
        job_defaults={"misfire_grace_time": None},
        timezone=timezone.utc,
    )


def prepare() -> None:
    paused = scheduler()
    paused.start(paused=True)
    due = datetime.fromtimestamp(int(os.environ.get("PEER_DUE", "0")), timezone.utc)
    for name in recording.names(int(os.environ.get("PEER_SCHEDULES", "0"))):
        at = CronTrigger(hour=due.hour, minute=due.minute, second=due.second, timezone=timezone.utc)
        paused.add_job(recording.record, at, args=[name], id=name)
    paused.shutdown()


def work() -> None:
    # Before the thread starts, so that the signal cannot be missed.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    running = scheduler()
    running.start()
    recording.say("ready")
    signal.sigwait({signal.SIGTERM})
    running.shutdown()


def enqueue(n: int) -> None:
    # Paused until all are there: that takes half the time of adding jobs to a scheduler at work.
    running = scheduler()
    running.start(paused=True)
    for name in recording.names(n):
        running.add_job(recording.record, args=[name], id=name)
        if name == "00000000":
            recording.say(f"committed {time.time_ns()}")
    running.resume()
    recording.wait_until_entered(n)
    with create_engine(url(), isolation_level="AUTOCOMMIT").connect() as connection:
        while connection.scalar(text("SELECT count(*) FROM apscheduler_jobs")):
            time.sleep(0.005)
    recording.say(f"completed {time.time_ns()}")
    running.shutdown()


def trigger(n: int) -> None:
    running = scheduler()
    running.start()
    latencies = recording.trigger(
        n, lambda name: running.add_job(recording.record, args=[name], id=name)
    )
    recording.say(f"latencies {json.dumps(latencies)}")
    running.shutdown()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare"]:
            prepare()
        case ["worker"]:
            work()
        case ["enqueue", number]:
            enqueue(int(number))
        case ["trigger", number]:
            trigger(int(number))
        case _:
            sys.exit("usage: apscheduler_peer.py prepare|worker|enqueue N|trigger N")
