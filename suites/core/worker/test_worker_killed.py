"""A worker's process gets SIGKILL at seeded moments, and SIGTERM; no task is lost, and no effect happens twice.

A moment is a number of arrivals at the receiver of the effects and a delay after them, so that it is the same on a fast
machine and on a slow one: while a step begins, while its effect is on its way, before it is done, between two tasks.
Four of them by default; `nox -s kills` takes 20 (READINESS_KILLS).
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from suites.support.core.fates import said
from suites.support.core.taskprogram import STEPS, receiver_keys
from suites.support.core.tasks import OurTasks
from suites.support.dice import dice_of
from suites.support.servers import PROJECT

RNG = dice_of(20261129)
DRAWN = [(RNG.randint(1, 9), round(RNG.uniform(0.0, 0.01), 4)) for _ in range(20)]
MOMENTS = DRAWN if "READINESS_KILLS" in os.environ else DRAWN[:4]

POLICY = {
    "lease_s": 0.4,
    "poll_s": 0.01,
    "concurrency": 3,
    "max_attempts": 50,
    "backoff_s": 0.01,
    "backoff_max_s": 0.05,
}
PATIENCE_S = 100.0


@pytest.fixture
def tasks(linked):
    """A queue that no other test knows."""
    return OurTasks(linked, f"killed-{secrets.token_hex(4)}")


@contextmanager
def program(redis_port, tasks, name, **policy):
    """Run a worker in a process of its own, which is gone in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "suites.support.core.taskprogram", str(redis_port), tasks.name, name, json.dumps({**POLICY, **policy})],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def until(condition, process):
    """Wait until a condition holds, as long as the process lives."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            assert process.poll() is None, process.communicate()[0]
            await asyncio.sleep(0.002)


async def ended_well(process):
    """Wait for a process to end by itself, without an error."""
    out, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "")


async def test_worker_killed_at_any_moment_loses_no_task_and_shows_no_effect_twice(redis_port, tasks):
    """Every task is done or a dead letter as it should be; every effect happened once (K1, D1)."""
    _, done, arrivals = receiver_keys(tasks.name)
    need = sum(count for count, _ in MOMENTS) // len(STEPS)
    orders = [await tasks.submit("order") for _ in range(12 + need)]
    flaky = [await tasks.submit("flaky") for _ in range(4)]
    poison = [await tasks.submit("poison") for _ in range(4)]

    async def arrived() -> int:
        return int(await said(tasks.link, "GET", arrivals) or 0)

    for number, (count, delay_s) in enumerate(MOMENTS):
        target = await arrived() + count
        with program(redis_port, tasks, f"victim-{number}") as process:

            async def is_reached(target=target) -> bool:
                return await arrived() >= target

            await until(is_reached, process)
            await asyncio.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
        depth = await tasks.depth()
        dead = (await tasks.letters().statistics()).entries
        assert depth.new + depth.pending + depth.done + dead == depth.submitted
        assert depth.new + depth.pending > 0, "there is nothing left to be killed in"

    with program(redis_port, tasks, "survivor") as process:
        states = await tasks.ended(*orders, *flaky, *poison, within_s=PATIENCE_S)
        process.send_signal(signal.SIGTERM)
        await ended_well(process)

    good, depth = [*orders, *flaky], await tasks.depth()
    assert [state.state for state in states] == ["done"] * len(good) + ["dead"] * len(poison)
    assert (depth.new, depth.pending, depth.done, depth.submitted) == (0, 0, len(good), len(good) + len(poison))
    acted = Counter(each.decode() for each in await said(tasks.link, "LRANGE", done, 0, -1))
    assert acted == {f"{task}:{name}": 1 for task in good for name in STEPS}
    assert await arrived() >= acted.total()
    assert {entry.task[b"task"].decode() for entry in await tasks.letters().entries()} == set(poison)
    assert sum(state.attempts - 1 for state in states[: len(orders)]) > 0, "no task was in the hands of a victim"


async def test_program_told_to_stop_ends_what_it_has_and_leaves_the_rest(redis_port, tasks):
    """SIGTERM, and a second one that changes nothing: exit code 0, one task done, the others as they were (D1)."""
    ids = [await tasks.submit("wait") for _ in range(3)]

    async def is_asked() -> bool:
        return bool(await said(tasks.link, "EXISTS", f"asked:{{{tasks.name}}}"))

    with program(redis_port, tasks, "one", concurrency=1, drain_s=PATIENCE_S, lease_s=30) as process:
        await until(is_asked, process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        await said(tasks.link, "SET", f"open:{{{tasks.name}}}", 1)
        await ended_well(process)

    assert [(await tasks.state(task)).state for task in ids] == ["done", "queued", "queued"]
    assert (await tasks.depth()).new == 2


async def test_program_told_to_stop_gives_back_what_does_not_end(redis_port, tasks):
    """It does not wait for longer than it may; the next worker has the task at once, and its first attempt (D1)."""
    task = await tasks.submit("wait")

    async def is_asked() -> bool:
        return bool(await said(tasks.link, "EXISTS", f"asked:{{{tasks.name}}}"))

    with program(redis_port, tasks, "one", drain_s=0.05, lease_s=600, max_attempts=1) as process:
        await until(is_asked, process)
        process.send_signal(signal.SIGINT)
        await ended_well(process)
    await asyncio.sleep(0.005)  # what is given back rests for a millisecond

    (taken,) = await tasks.queue().take("next", 5)
    assert (taken.task, taken.attempt) == (task, 1)
    consumers = await said(tasks.link, "XINFO", "CONSUMERS", tasks.queue().source.stream, "workers")
    assert {each[1] for each in consumers} == {b"next", b"resting"}, "the program has left its group"
