"""A worker as a program that can be killed: `python -m suites.support.core.taskprogram PORT QUEUE NAME POLICY`.

What its tasks do happens in Redis, at a receiver that acts once for each idempotency key and counts what arrives.
POLICY is a JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
from random import Random

from fixtures.reference.clock import MonotonicClock
from fixtures.reference.core.breaker import Breaker, BreakerPolicy
from fixtures.reference.core.checkpoint import CheckpointPolicy, Checkpoints, Claim
from fixtures.reference.core.deadletter import DeadLetterPolicy, DeadLetters
from fixtures.reference.core.redis_link import RedisLink, RedisLinkPolicy, Script
from fixtures.reference.core.worker import GiveUp, Task, TaskQueue, Worker, WorkerPolicy, serve

STEPS = ("reserve", "charge", "ship")

# KEYS 1 idempotency keys, 2 what was done, 3 arrivals; ARGV 1 key, 2 what.
RECEIVE = Script("""
redis.call('INCR', KEYS[3])
if redis.call('HSETNX', KEYS[1], ARGV[1], '1') == 1 then redis.call('RPUSH', KEYS[2], ARGV[2]) end
return 'done'
""")


def receiver_keys(queue: str) -> list[str]:
    """Return the keys of the receiver: idempotency keys, what was done, arrivals."""
    return [f"receiver:{{{queue}}}:{what}" for what in ("keys", "done", "arrivals")]


def handlers(link: RedisLink, queue: str) -> dict[str, object]:
    """Return what the tasks do."""

    async def order(task: Task, claim: Claim) -> bytes:
        for name in STEPS:

            async def effect(key: str, what: str = f"{task.id}:{name}") -> bytes:
                return await link.run(RECEIVE, receiver_keys(queue), [key, what])

            await claim.step(name, effect, idempotent=True)
        return task.id.encode()

    async def flaky(task: Task, claim: Claim) -> bytes:
        if task.attempt % 2:
            raise ConnectionResetError
        return await order(task, claim)

    async def poison(_task: Task, _claim: Claim) -> bytes:
        raise GiveUp

    async def wait(_task: Task, _claim: Claim) -> bytes:
        gate = Script("redis.call('INCR', KEYS[1]) return redis.call('EXISTS', KEYS[2])")
        while not await link.run(gate, [f"asked:{{{queue}}}", f"open:{{{queue}}}"], []):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        return b"open"

    return {"order": order, "flaky": flaky, "poison": poison, "wait": wait}


async def main(port: int, queue: str, name: str, policy: dict[str, float]) -> None:
    """Work until told to stop."""
    clock = MonotonicClock()
    breaker = Breaker("redis", BreakerPolicy(recovery_s=0.1), clock=clock, random=Random(1))
    link = RedisLink(RedisLinkPolicy(host="127.0.0.1", port=port, op_timeout_s=5.0), breaker=breaker)
    tasks = TaskQueue(link, queue, WorkerPolicy(**policy))
    worker = Worker(
        tasks,
        Checkpoints(link, CheckpointPolicy()),
        DeadLetters(link, queue, tasks.source, DeadLetterPolicy()),
        handlers(link, queue),
        name=name,
        clock=clock,
        random=Random(1),
    )
    await serve(worker)
    await link.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4])))
