"""The link against a real Redis, a frozen one, and callers who go away."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from random import Random

import pytest

from fixtures.reference.core.breaker import DependencyFailed, Unavailable
from fixtures.reference.core.redis_link import Script, keeping_cancellation

ECHO = Script("return ARGV[1]")


async def test_link_bounds_all_steps_of_a_call_together(linked):
    """Waiting for the one connection counts as well: six calls of a frozen server end after one budget, not six."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        link = linked(port=frozen.getsockname()[1], op_timeout_s=0.5, connections=1)
        clock = asyncio.get_running_loop().time

        began_s = clock()
        calls = (link.run(ECHO, [], ["x"]) for _ in range(6))
        results = await asyncio.gather(*calls, return_exceptions=True)
        took_s = clock() - began_s

    assert all(isinstance(result, Unavailable) for result in results)
    assert 0.5 <= took_s < 2 * 0.5


async def losing_cancellation(*_words):
    """A call of the client that goes on when it is cancelled, as with `asyncio.wait_for` before Python 3.12."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return b"as if nothing had happened"


async def test_link_stays_cancelled_where_the_client_goes_on(linked):
    """A task that was told to stop ends; that says nothing of Redis."""
    link = linked()
    link._client.execute_command = losing_cancellation
    call = asyncio.create_task(link.run(ECHO, [], ["x"]))
    await asyncio.sleep(0)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert link.breaker.recent() == (0, 0)
    assert link.breaker.admitted == 1


async def test_link_holds_its_budget_where_the_client_goes_on(linked):
    """What is cancelled by the budget has failed, whatever the client answers after it."""
    link = linked(op_timeout_s=0.01)
    link._client.execute_command = losing_cancellation

    with pytest.raises(DependencyFailed):
        await link.run(ECHO, [], ["x"])
    assert link.breaker.recent() == (1, 1)


async def test_cancelling_is_kept_where_the_call_fails_after_it():
    """An error of the client does not call the task back."""

    async def failing() -> None:
        await losing_cancellation()
        raise OSError

    call = asyncio.create_task(keeping_cancellation(failing()))
    await asyncio.sleep(0)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancelled_task_may_call_while_it_cleans_up():
    """Only a cancellation during the call counts, not the one that led to it."""
    answers = []

    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            answers.append(await keeping_cancellation(asyncio.sleep(0, "answered")))

    task = asyncio.create_task(clean_up())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert answers == ["answered"]


async def test_link_makes_its_scripts_known_again_after_redis_forgot_them(linked):
    """After SCRIPT FLUSH, as after a restart, a call works as if nothing had happened."""
    link, script = linked(), ECHO
    assert await link.run(script, [], ["before"]) == b"before"

    await link.run(Script("return 1"), [], [])
    await link._send("SCRIPT", "FLUSH")

    assert await link.run(script, [], ["after"]) == b"after"
    assert link.breaker.recent()[0] == 0


async def test_link_gives_no_caller_the_reply_of_another(linked):
    """Calls cancelled at every moment never leave a reply for the next caller on the connection (C8)."""
    link, script, dice = linked(), ECHO, Random(7)

    async def call(tag: str) -> bool:
        return await link.run(script, [], [tag]) == tag.encode()

    async def storm(number: int) -> bool | None:
        task = asyncio.create_task(call(str(number)))
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
        if number % 3:
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return None

    for _ in range(10):
        results = await asyncio.gather(*(storm(number) for number in range(60)))
        assert False not in results
    assert all(await asyncio.gather(*(call(f"after {number}") for number in range(64))))
