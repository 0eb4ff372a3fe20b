"""Answers for tests/it/evaluator: when does cronsim say that a line fires?

Reads a JSON object a line: a zone, a span of seconds since the epoch, instants with the offset that
the asker knows there, and lines of cron. Answers each with a JSON object: the fires of each line, null for
one that cronsim never came to an end with; or why there are none to be had.
"""

import json
import signal
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim

# cronsim can go round in circles; then there is to be an answer all the same.
SECONDS_AT_MOST = 20


class Stuck(Exception):
    pass


def give_up(_signal, _frame):
    raise Stuck


def local(zone, second):
    return datetime.fromtimestamp(second, timezone.utc).astimezone(zone)


def fires(zone, line, start, end):
    begin = local(zone, start - 1)
    # Of a time that occurs twice cronsim always means the first pass: begin before it.
    while begin.fold:
        start_earlier = begin.astimezone(timezone.utc) - timedelta(hours=1)
        begin = start_earlier.astimezone(zone)
    found = []
    signal.alarm(SECONDS_AT_MOST)
    try:
        for fire in CronSim(line, begin):
            second = int(fire.timestamp())
            if second >= end:
                break
            if second >= start:
                found.append(second)
    except Stuck:
        return None
    return found


def answer(asked):
    try:
        zone = ZoneInfo(asked["zone"])
    except ZoneInfoNotFoundError:
        return {"stranger": "Python does not know the zone"}
    for second, offset in asked["offsets"]:
        known = local(zone, second).utcoffset().total_seconds()
        if known != offset:
            return {"stranger": f"Python's offset at {second} is {known:.0f} s, and not {offset} s"}
    start, end = asked["from"], asked["until"]
    return {"fires": [fires(zone, line, start, end) for line in asked["lines"]]}


def main():
    signal.signal(signal.SIGALRM, give_up)
    for text in sys.stdin:
        print(json.dumps(answer(json.loads(text))), flush=True)


main()
