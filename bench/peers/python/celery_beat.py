"""The same application for beat, which alone needs to know the schedules."""

from __future__ import annotations

import os
from datetime import datetime, timezone

from celery.schedules import crontab
from celery.signals import beat_init

import recording
from celery_peer import app, enter

__all__ = ["app"]

# Where there are delayed tasks instead, beat has nothing to do.
delayed = os.environ.get("PEER_DELAYED") == "1"
due = datetime.fromtimestamp(int(os.environ.get("PEER_DUE", "0")), timezone.utc)
app.conf.beat_schedule = {
    name: {
        "task": enter.name,
        "schedule": crontab(minute=due.minute, hour=due.hour),
        "args": (name,),
    }
    for name in recording.names(0 if delayed else int(os.environ.get("PEER_SCHEDULES", "0")))
}


@beat_init.connect
def say_ready(**_: object) -> None:
    recording.say("ready")
