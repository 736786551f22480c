"""The link against a real Redis, a frozen one, and callers who go away."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
import uvloop

from fixtures.reference.core.breaker import CircuitOpen, DependencyFailed, State, Unavailable
from fixtures.reference.core.redis_link import Script, client_call
from suites.support.dice import dice_of
from suites.support.relay import Relay

ECHO = Script("return ARGV[1]")

BUDGET_S = 1.0
"""Of a call that is never answered: so long that two of them and a busy moment cannot be mistaken for each other."""


@pytest.fixture
async def relay(redis_port):
    """A port in front of Redis that counts connections."""
    relay = Relay(redis_port)
    await relay.mend()
    yield relay
    await relay.cut()


@pytest.fixture
def frozen_port():
    """A port where the kernel accepts, and nothing ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        yield frozen.getsockname()[1]


async def test_link_bounds_all_steps_of_a_call_together(linked):
    """Waiting for the one connection counts as well: six calls of a frozen server end after one budget, not six."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        link = linked(port=frozen.getsockname()[1], op_timeout_s=BUDGET_S, connections=1)
        clock = asyncio.get_running_loop().time

        began_s = clock()
        calls = (link.run(ECHO, [], ["x"]) for _ in range(6))
        results = await asyncio.gather(*calls, return_exceptions=True)
        took_s = clock() - began_s

    assert all(isinstance(result, Unavailable) for result in results)
    assert BUDGET_S <= took_s < 2 * BUDGET_S


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

    call = asyncio.create_task(client_call(failing()))
    await asyncio.sleep(0)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call


async def writing_to_what_was_closed():
    """Write to a connection that the loop has closed, as the client does when Redis has reset it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, writer = await asyncio.open_connection(*server.getsockname())
        writer.transport.abort()
        await writer.wait_closed()
        writer.transport.writelines([b"PING"])


def test_a_connection_that_uvloop_has_closed_was_lost():
    """It says `RuntimeError`, and redis-py lets that through: no caller would take it for a Redis that is away."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        with pytest.raises(RuntimeError, match="the handler is closed"):
            runner.run(writing_to_what_was_closed())
        with pytest.raises(ConnectionResetError):
            runner.run(client_call(writing_to_what_was_closed()))


async def test_another_error_of_the_client_is_told_as_it_is():
    """A mistake of ours is no Redis that is away."""

    async def mistaken() -> None:
        raise RuntimeError("await wasn't used with future")

    with pytest.raises(RuntimeError, match="with future"):
        await client_call(mistaken())


async def test_cancelled_task_may_call_while_it_cleans_up():
    """Only a cancellation during the call counts, not the one that led to it."""
    answers = []

    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            answers.append(await client_call(asyncio.sleep(0, "answered")))

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
    link, script, dice = linked(), ECHO, dice_of(7)

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


async def test_link_asks_once(linked, relay):
    """A server that hangs up is not asked again: what repeats a call is the caller's choice, and it may have acted."""
    link, relay.upstream = linked(port=relay.port), 1

    with pytest.raises(DependencyFailed) as failed:
        await link.run(ECHO, [], ["x"])

    assert relay.accepted == 1
    assert failed.value.dependency == "redis"
    assert failed.value.may_have_acted
    assert link.breaker.recent() == (1, 1)


async def test_link_takes_an_error_reply_for_an_answer(linked):
    """A script that is wrong fails its caller, and proves that Redis is there: ten of them open nothing."""
    link, wrong = linked(), Script("return redis.error_reply('no such thing')")

    for _ in range(10):
        with pytest.raises(DependencyFailed):
            await link.run(wrong, [], [])

    assert link.breaker.state is State.CLOSED
    assert link.breaker.recent()[0] == 0


async def test_link_asks_nothing_while_its_breaker_rests(linked, relay):
    """Five failures and it is refused without a connection; a ping goes past the breaker."""
    link = linked(port=relay.port)
    await relay.cut()
    for _ in range(5):
        with pytest.raises(DependencyFailed):
            await link.run(ECHO, [], ["x"])
    await relay.mend()

    with pytest.raises(CircuitOpen):
        await link.run(ECHO, [], ["x"])

    assert relay.accepted == 0
    await link.ping()
    assert relay.accepted == 1


async def test_a_ping_of_the_link_leaves_its_breaker_alone(linked, redis_port, frozen_port):
    """Whether it is answered or not; and it gives up after the budget of a call."""
    answered, ignored = linked(), linked(port=frozen_port, op_timeout_s=0.05)

    await answered.ping()
    async with asyncio.timeout(5):
        with pytest.raises(DependencyFailed) as failed:
            await ignored.ping()

    assert not failed.value.may_have_acted
    assert [(link.breaker.recent(), link.breaker.admitted) for link in (answered, ignored)] == [((0, 0), 0)] * 2


async def test_a_ping_waits_for_a_connection_no_longer_than_for_an_answer(linked):
    """All connections are busy: the budget bounds the waiting too, which the client itself does not."""
    link = linked(connections=1, op_timeout_s=0.1)
    busy = await link._pool.get_connection()

    async with asyncio.timeout(5):
        with pytest.raises(DependencyFailed):
            await link.ping()

    await link._pool.release(busy)


async def test_link_makes_callers_wait_for_a_connection(linked, relay):
    """Sixty calls at once over two connections are all answered, each with its own reply."""
    link = linked(port=relay.port, connections=2, op_timeout_s=10.0)

    replies = await asyncio.gather(*(link.run(ECHO, [], [str(number)]) for number in range(60)))

    assert replies == [str(number).encode() for number in range(60)]
    assert relay.accepted <= 2


async def test_link_keeps_no_connection_when_it_is_closed(linked, relay):
    """A replica that has stopped leaves none to the server."""
    link = linked(port=relay.port)
    await asyncio.gather(*(link.run(ECHO, [], ["x"]) for _ in range(3)))
    assert relay.open_count >= 1

    await link.close()

    async with asyncio.timeout(5):
        while relay.open_count:  # noqa: ASYNC110 - the relay notices in its own time
            await asyncio.sleep(0.01)


async def test_a_script_has_the_name_that_redis_gives_it(linked):
    """Under another name each call would be sent twice, by its name and then in full."""
    assert await linked()._send("SCRIPT", "LOAD", ECHO.text) == ECHO.digest.encode()


async def test_link_hands_over_keys_and_arguments_in_their_places(linked):
    """A script sees as many keys as were named, and then the arguments; numbers become their text."""
    counted = Script("return {#KEYS, KEYS[1], #ARGV, ARGV[1], ARGV[2]}")

    link = linked()
    for _ in range(2):  # once in full, since Redis does not know it yet, and once by its name
        assert await link.run(counted, ["one", "two"], [3, b"four"]) == [2, b"one", 2, b"3", b"four"]


async def test_link_bounds_a_command(linked):
    """A command has one budget for all its steps, as a script has, and goes through the breaker."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        link = linked(port=frozen.getsockname()[1], op_timeout_s=BUDGET_S, connections=1)
        clock = asyncio.get_running_loop().time

        began_s = clock()
        results = await asyncio.gather(*(link.call("PING") for _ in range(3)), return_exceptions=True)
        took_s = clock() - began_s

    assert all(isinstance(result, DependencyFailed) for result in results)
    assert BUDGET_S <= took_s < 2 * BUDGET_S
    assert link.breaker.recent() == (3, 3)


async def test_link_returns_what_a_command_answers(linked):
    """Strings stay bytes, numbers are numbers, and what is not there is None."""
    link = linked()

    assert await link.call("SET", "link:called", "värde") is not None
    assert await link.call("GET", "link:called") == "värde".encode()
    assert await link.call("STRLEN", "link:called") == 6
    assert await link.call("GET", "link:none") is None
