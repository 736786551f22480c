"""Replicas that ask one limiter through one Redis, each a process with a wall clock of its own.

`python -m suites.support.core.replicas {...}` is all of those with the same skew. It says when they are ready, lets
them begin when told to, and prints what each caller was told.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from suites.support.servers import PROJECT

if TYPE_CHECKING:
    from suites.support.core.asking import Ask

ASKERS = 2  # callers at a time in each replica
LASTS_S = 1.0
PAUSE_S = 0.01  # of a caller that was refused


def asked_by(replicas: dict[float, int], **limiter: Any) -> list[Ask]:
    """Let replicas ask at the same time, so many of each skew, in seconds; return what each caller was told.

    The times are those of the monotonic clock, which all processes share.
    """
    started = []
    try:
        for skew_s, count in replicas.items():
            wanted = json.dumps({"skew_s": skew_s, "count": count, "limiter": limiter})
            command = [sys.executable, "-m", __name__, wanted]
            started.append(
                subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        for each in started:
            assert each.stdout.readline() == "ready\n"
        for each in started:
            each.stdin.write("go\n")
            each.stdin.flush()
        return [tuple(ask) for each in started for ask in json.loads(each.communicate(timeout=120)[0])]
    finally:
        for each in started:
            each.kill()
            each.communicate()


def main(*, skew_s: float, count: int, limiter: dict[str, Any]) -> None:
    """Fork the replicas, and print what they saw."""
    skew(skew_s)
    from suites.support.core import asking  # noqa: F401, PLC0415 - after the skew; once for all replicas

    context = get_context("fork")
    ready, go = context.Barrier(count + 1), context.Event()
    with context.Pool(count, initializer=_keep, initargs=(ready, go)) as pool:
        results = [pool.apply_async(_ask, (limiter,)) for _ in range(count)]
        ready.wait(60)
        print("ready", flush=True)  # noqa: T201 - what is read by `asked_by`
        sys.stdin.readline()
        go.set()
        print(json.dumps([ask for result in results for ask in result.get(60)]))  # noqa: T201 - its answer


def skew(by_s: float) -> None:
    """Set what this process believes of the time, before anything is imported that could keep the true clock."""
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + by_s
    time.time_ns = lambda: true_time_ns() + int(by_s * 1e9)


def _keep(ready: Any, go: Any) -> None:
    global READY, GO
    READY, GO = ready, go


def _ask(limiter: dict[str, Any]) -> list[Ask]:
    from suites.support.core.asking import ask_for  # noqa: PLC0415 - after the skew

    return ask_for(LASTS_S, askers=ASKERS, pause_s=PAUSE_S, ready=lambda: (READY.wait(60), GO.wait(60)), **limiter)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
