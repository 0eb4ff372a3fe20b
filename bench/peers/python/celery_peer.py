"""Celery with Redis as its broker, as its user guide recommends for tasks that must not be lost."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import worker_ready

import recording

app = Celery("celery_peer", broker=os.environ["PEER_REDIS"])
app.conf.update(
    # The message stays until the task has ended, and comes back when the worker is killed.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # "Results can be disabled": nobody reads them, and the acknowledged message says that it is done.
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)


@app.task
def enter(name: str) -> None:
    recording.record(name)


@worker_ready.connect
def say_ready(**_: object) -> None:
    recording.say("ready")
