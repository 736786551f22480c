"""One worker against a real Redis: how an attempt ends, what Redis does not hear, and whose a task is."""

from __future__ import annotations

import asyncio
import secrets
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.reference.core.checkpoint import UncertainStep
from fixtures.reference.core.worker import GiveUp, WorkerPolicy
from fixtures.reference.core.worker.settings import WorkerSettings
from suites.support.core.fates import said
from suites.support.core.tasks import OurTasks


@pytest.fixture
def tasks(linked):
    """A queue that no other test knows."""
    return OurTasks(linked, f"worker-{secrets.token_hex(4)}")


async def echo(task, _claim) -> bytes:
    """Return the payload."""
    return task.payload


def raising(error):
    """Return a handler that raises, and the list of the attempts that it saw."""
    tried = []

    async def handler(task, _claim) -> bytes:
        tried.append(task.attempt)
        raise error

    return handler, tried


def hanging():
    """Return a handler that waits until it is let go or cancelled, and what happened to it."""
    entered, leave, seen = asyncio.Event(), asyncio.Event(), []

    async def handler(_task, _claim) -> bytes:
        entered.set()
        try:
            await leave.wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        seen.append("left")
        return b"late"

    return handler, entered, leave, seen


async def until(condition, within_s: float = 100.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is told by no event
            await asyncio.sleep(0.005)


def ended(worker):
    """Return how tasks ended; as many as were taken."""
    counts = {name: count for name, count in worker.counts.items() if name not in {"taken", "unavailable"} and count}
    assert sum(counts.values()) == worker.counts["taken"] - worker.running
    return counts


async def test_counts_tell_how_each_task_ended(tasks):
    """Together as many as were taken (D1)."""
    for kind in ("echo", "echo", "fails", "ends"):
        await tasks.submit(kind)
    fails, _ = raising(ValueError())
    ends, _ = raising(GiveUp())

    async with tasks.working({"echo": echo, "fails": fails, "ends": ends}, max_attempts=3) as working:
        await until(lambda: working.worker.counts["buried"] == 2 and working.worker.counts["done"] == 2)

    assert working.worker.running == 0
    assert working.worker.counts["taken"] == 6
    assert ended(working.worker) == {"done": 2, "retried": 2, "buried": 2}


async def test_dead_letter_tells_what_the_task_died_of(tasks):
    """The kind, what it said, where, and after how many attempts (D1)."""
    fails, _ = raising(ValueError("what it said"))
    task = await tasks.submit("fails", b"payload")
    async with tasks.working({"fails": fails}, max_attempts=2):
        await tasks.ended(task)

    (entry,) = await tasks.letters().entries()
    assert (entry.failure.error, entry.failure.message, entry.failure.attempts) == ("ValueError", "what it said", 2)
    assert "in handler" in entry.failure.trace
    assert (entry.payload, entry.task[b"task"].decode()) == (b"payload", task)
    assert (await tasks.state(task)).entry == entry.id


@pytest.mark.parametrize("error", [GiveUp("no"), UncertainStep("a", "b", "c", key="k", started_s=0)])
async def test_hopeless_task_is_not_tried_again(tasks, error):
    """A handler says so, or only its receiver knows what has happened (K1)."""
    handler, tried = raising(error)
    task = await tasks.submit("hopeless")
    async with tasks.working({"hopeless": handler}, max_attempts=5):
        await tasks.ended(task)

    assert tried == [1]
    (entry,) = await tasks.letters().entries()
    assert (entry.failure.error, entry.failure.attempts) == (type(error).__name__, 1)


async def test_step_left_uncertain_by_a_dead_worker_is_for_people(tasks):
    """It is not begun again, and the dead letter says what to look for (K1)."""
    calls, entered = [], asyncio.Event()

    async def charge(_task, claim) -> bytes:
        async def effect(key: str) -> bytes:
            calls.append(key)
            entered.set()
            await asyncio.Event().wait()
            return b""

        return await claim.step("charge", effect)

    task = await tasks.submit("charge")
    async with tasks.working({"charge": charge}, lease_s=600.0) as working:
        await asyncio.wait_for(entered.wait(), 30)
        await working.crash()
    await tasks.lapse()
    async with tasks.working({"charge": charge}):
        await tasks.ended(task)

    (entry,) = await tasks.letters().entries()
    assert (len(calls), entry.failure.error, entry.failure.attempts) == (1, "UncertainStep", 2)
    assert calls[0] in entry.failure.message


async def test_task_that_no_handler_knows_is_tried_again(tasks):
    """While a newer program is brought out some workers know it and some do not (D1)."""
    task = await tasks.submit("new")
    async with tasks.working({}, max_attempts=50) as older:
        await until(lambda: older.worker.counts["retried"] >= 1)
    async with tasks.working({"new": echo}, max_attempts=50):
        await tasks.ended(task)

    assert (await tasks.state(task)).state == "done"


async def test_handler_that_cancels_itself_has_failed(tasks):
    """Given back instead, it would be tried without end (D1)."""
    handler, tried = raising(asyncio.CancelledError())
    task = await tasks.submit("cancels")
    async with tasks.working({"cancels": handler}, max_attempts=2) as working:
        await tasks.ended(task)

    assert tried == [1, 2]
    assert ended(working.worker) == {"retried": 1, "buried": 1}


async def test_task_without_room_among_dead_letters_stays_and_is_not_tried_again(tasks):
    """It is a dead letter once there is room, of what it died of, after the attempts that it had (D1, D2)."""
    handler, tried = raising(ValueError("first"))
    filler, task = await tasks.submit("fails"), None
    room = {"max_entries": 1}
    async with tasks.working({"fails": handler}, max_attempts=1, full_s=0.02, letters=room) as working:
        await tasks.ended(filler)
        task = await tasks.submit("fails")
        await until(lambda: working.worker.counts["refused"] >= 3)
        known = await tasks.state(task)
        assert (await tasks.depth()).pending == 1
        (entry,) = await tasks.letters().entries()
        await tasks.letters().discard(entry.id)
        await tasks.ended(task)

    assert known.state in {"resting", "running"}
    assert tried == [1, 1], "once for each of the two tasks"
    (entry,) = await tasks.letters().entries()
    assert (entry.failure.error, entry.failure.message, entry.failure.attempts) == ("ValueError", "first", 1)
    assert "in handler" in entry.failure.trace
    assert (await tasks.letters().statistics()).refused == (await tasks.depth()).refused >= 3


async def test_task_whose_worker_never_said_how_it_ended_died_of_that(tasks):
    """And not of the failure of an attempt before (D1)."""
    task = await tasks.submit("echo")
    queue = tasks.queue(lease_s=0.01)
    for _ in range(2):
        async with asyncio.timeout(30):
            while not await queue.take("dies", 1):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
    async with tasks.working({"echo": echo}, max_attempts=2) as working:
        await tasks.ended(task)

    (entry,) = await tasks.letters().entries()
    assert (entry.failure.error, entry.failure.attempts) == ("WorkerLost", 2)
    assert ended(working.worker) == {"buried": 1}


async def test_end_that_redis_does_not_hear_is_said_again(tasks):
    """Until it does, and it counts once (D1)."""
    handler, entered, leave, _ = hanging()
    task = await tasks.submit("hangs")
    async with tasks.working({"hangs": handler}, lease_s=60.0) as working:
        await asyncio.wait_for(entered.wait(), 30)
        working.link.fates.extend(["down", "lost", "down"])
        leave.set()
        (known,) = await tasks.ended(task)
        await until(lambda: working.worker.running == 0)

    assert (known.state, known.attempts, known.result) == ("done", 1, b"late")
    assert ended(working.worker) == {"done": 1}
    assert working.worker.counts["unavailable"] >= 2
    assert (await tasks.depth()).done == 1


async def test_death_that_redis_does_not_hear_is_said_again(tasks):
    """The dead letter is there once, whichever answer was lost (D1)."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def fails(_task, _claim) -> bytes:
        entered.set()
        await leave.wait()
        raise GiveUp

    task = await tasks.submit("fails")
    async with tasks.working({"fails": fails}, lease_s=60.0, concurrency=1) as working:
        await asyncio.wait_for(entered.wait(), 30)
        working.link.fates.extend(["lost"])
        leave.set()
        await tasks.ended(task)
        await until(lambda: working.worker.running == 0)

    assert ended(working.worker) == {"buried": 1}
    assert (await tasks.letters().statistics()).moved == 1


async def test_end_that_redis_never_hears_leaves_the_task_to_another(tasks):
    """Once the lease is over there is nothing more to say (D1)."""
    handler, entered, leave, _ = hanging()
    task = await tasks.submit("hangs")
    async with tasks.working({"hangs": handler}, lease_s=0.5, concurrency=1) as working:
        await asyncio.wait_for(entered.wait(), 30)
        working.link.fates.extend(["down"] * 1_000_000)
        leave.set()
        await until(lambda: working.worker.counts["unsettled"] + working.worker.counts["lost"] >= 1)
        async with tasks.working({"hangs": echo}):
            (known,) = await tasks.ended(task)
        working.link.fates.clear()

    assert known.state == "done"
    assert known.attempts >= 2


async def test_worker_that_stops_while_redis_is_gone_does_not_wait_for_it(tasks):
    """What it has is another's after the lease (D1)."""
    handler, entered, _, seen = hanging()
    await tasks.submit("hangs")
    async with tasks.working({"hangs": handler}, lease_s=600.0, drain_s=0.01) as working:
        await asyncio.wait_for(entered.wait(), 30)
        working.link.fates.extend(["down"] * 1_000_000)
        working.drain()
        await asyncio.wait_for(asyncio.shield(working.run), 30)

    assert seen == ["cancelled"]
    assert ended(working.worker) == {"unsettled": 1}
    assert (await tasks.depth()).pending == 1


async def test_worker_without_redis_rests_between_two_tries(tasks):
    """Asking without a pause would take a whole core (M12's kind)."""
    clock = asyncio.get_running_loop().time
    async with tasks.working({"echo": echo}, poll_s=0.05) as working:
        working.link.fates.extend(["down"] * 1_000_000)
        began_s, before = clock(), working.worker.counts["unavailable"]
        await until(lambda: working.worker.counts["unavailable"] >= before + 10)
        took_s = clock() - began_s
        working.link.fates.clear()
        (known,) = await tasks.ended(await tasks.submit("echo"))

    assert took_s >= 0.4, "ten tries have nine whole rests between them"
    assert known.state == "done"


async def test_idle_worker_rests_between_two_tries(tasks):
    """Likewise where there is nothing to do."""
    clock = asyncio.get_running_loop().time
    async with tasks.working({"echo": echo}, poll_s=0.05) as working:
        await until(lambda: working.link.sent >= 2)  # it has come, and asked once
        began_s, before = clock(), working.link.sent
        await until(lambda: working.link.sent >= before + 10)
        took_s = clock() - began_s

    assert took_s >= 0.4


async def test_task_whose_checkpoints_cannot_be_claimed_is_given_back(tasks):
    """It has no part in that, and no attempt is lost for it (D1)."""
    task = await tasks.submit("echo")
    link = tasks._linked(kind=type(tasks.link))
    link.fates.extend(["ok", "ok", "down"])  # it comes, takes, and claims
    worker = tasks.worker({"echo": echo}, link=link, max_attempts=1, concurrency=1)
    run = asyncio.create_task(worker.run())
    (known,) = await tasks.ended(task)
    worker.drain()
    await run

    assert (known.state, known.attempts) == ("done", 1)
    assert ended(worker) == {"given_back": 1, "done": 1}


async def test_attempt_whose_task_is_another_s_is_ended_in_silence(tasks):
    """At the next beat: what it would do from there on would be done twice (D1)."""
    handler, entered, _, seen = hanging()
    task = await tasks.submit("hangs")
    async with tasks.working({"hangs": handler}, lease_s=1.0, concurrency=1) as working:
        await asyncio.wait_for(entered.wait(), 30)
        ((entry, *_),) = await said(tasks.link, "XPENDING", tasks.queue().source.stream, "workers", "-", "+", 9)
        await said(tasks.link, "ZADD", tasks.queue().source.leases, 0, entry)
        (taken,) = await tasks.queue(lease_s=60.0).take("another", 1)
        await until(lambda: seen)
        await until(lambda: working.worker.running == 0)

        assert ended(working.worker) == {"lost": 1}
        assert await tasks.queue().complete(taken, b"of the other")
    assert seen == ["cancelled"]
    assert (await tasks.state(task)).result == b"of the other"


async def test_attempt_is_ended_when_its_lease_may_be_over(tasks):
    """Redis does not answer, so the worker cannot know; it goes by its own clock (D1)."""
    handler, entered, _, seen = hanging()
    await tasks.submit("hangs")
    async with tasks.working({"hangs": handler}, lease_s=0.6, drain_s=0.05, concurrency=1) as working:
        await asyncio.wait_for(entered.wait(), 30)
        working.link.fates.extend(["down"] * 1_000_000)
        await until(lambda: seen)
        await until(lambda: working.worker.running == 0)
        working.link.fates.clear()

    assert seen == ["cancelled"]
    assert working.worker.counts["lost"] == 1


async def test_beat_that_is_lost_now_and_then_costs_nothing(tasks):
    """There are three within a lease (D1)."""
    handler, entered, leave, seen = hanging()
    task = await tasks.submit("hangs")
    async with tasks.working({"hangs": handler}, lease_s=3.0, poll_s=60.0, concurrency=1) as working:
        await asyncio.wait_for(entered.wait(), 30)
        working.link.fates.append("down")
        await until(lambda: working.worker.counts["unavailable"] == 1)
        sent = working.link.sent
        await until(lambda: working.link.sent > sent)
        leave.set()
        (known,) = await tasks.ended(task)

    assert (known.state, known.attempts, seen) == ("done", 1, ["left"])


async def test_end_that_is_being_said_is_not_interrupted(tasks):
    """A beat finds the task gone because it is done, and must not take that for lost (D1)."""
    said_once, go_on = asyncio.Event(), asyncio.Event()
    task = await tasks.submit("echo")
    async with tasks.working({"echo": echo}, lease_s=600.0, poll_s=60.0, concurrency=1) as working:
        complete = working.worker._queue.complete

        async def slowly(taken, result) -> bool:
            is_ours = await complete(taken, result)
            said_once.set()
            await go_on.wait()
            return is_ours

        working.worker._queue.complete = slowly
        working.worker._woken.set()
        await asyncio.wait_for(said_once.wait(), 30)
        for _ in range(3):
            await working.worker._prolong()  # as each beat does
        go_on.set()
        await until(lambda: working.worker.running == 0)

    assert ended(working.worker) == {"done": 1}
    assert (await tasks.state(task)).state == "done"


async def test_cancelled_worker_gives_back_at_once(tasks):
    """As when the program around it ends (D1)."""
    handler, entered, _, seen = hanging()
    task = await tasks.submit("hangs")
    worker = tasks.worker({"hangs": handler}, lease_s=600.0, drain_s=600.0)
    run = asyncio.create_task(worker.run())
    await asyncio.wait_for(entered.wait(), 30)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert (seen, ended(worker)) == (["cancelled"], {"given_back": 1})
    assert (await tasks.state(task)).state == "queued"


async def test_tasks_that_arrive_after_the_word_to_stop_are_given_back(tasks):
    """They were on their way when it was said; none is begun (D1)."""
    task = await tasks.submit("fails")
    handler, tried = raising(ValueError())
    worker = tasks.worker({"fails": handler}, lease_s=600.0)
    take = worker._queue.take

    async def and_stop(consumer, most):
        taken = await take(consumer, most)
        worker.drain()
        return taken

    worker._queue.take = and_stop
    await asyncio.wait_for(worker.run(), 30)

    assert (tried, ended(worker)) == ([], {"given_back": 1})
    known = await tasks.state(task)
    assert (known.state, (await tasks.depth()).given_back) == ("queued", 1)


async def test_worker_that_ends_leaves_no_consumer_behind(tasks):
    """Each start of each process would be one more for ever."""
    task = await tasks.submit("echo")
    async with tasks.working({"echo": echo}, name="passing"):
        await tasks.ended(task)

    assert await said(tasks.link, "XINFO", "CONSUMERS", tasks.queue().source.stream, "workers") == []


async def test_worker_goes_on_at_once_when_there_is_room(tasks):
    """It does not wait for its next look while tasks are there."""
    ids = [await tasks.submit("echo") for _ in range(5)]
    async with tasks.working({"echo": echo}, concurrency=1, poll_s=3600.0):
        states = await tasks.ended(*ids)

    assert [each.state for each in states] == ["done"] * 5


@given(attempt=st.integers(1, 10_000), seed=st.integers(), jitter=st.floats(0, 0.99), base_s=st.floats(1e-3, 100))
def test_rest_doubles_up_to_the_longest_and_jitter_only_shortens(attempt, seed, jitter, base_s):
    """Base times two to the power of failures before, at most the longest; never a share of more than the jitter less."""
    policy = WorkerPolicy(backoff_s=base_s, backoff_max_s=300.0, jitter_ratio=jitter)
    full_s = min(300.0, base_s * 2 ** min(attempt - 1, 60))

    rest_s = policy.rest_s(attempt, Random(seed))

    assert full_s * (1 - jitter) * 0.999999 <= rest_s <= full_s * 1.000001


def test_rests_differ_from_task_to_task():
    """What failed together must not come back together."""
    policy, dice = WorkerPolicy(), Random(1)

    assert len({policy.rest_s(3, dice) for _ in range(50)}) == 50


OTHER_THAN_BY_DEFAULT = {
    "concurrency": 3,
    "timeout_s": 11.0,
    "max_attempts": 7,
    "backoff_s": 2.5,
    "backoff_max_s": 99.0,
    "lease_s": 12.0,
    "drain_s": 13.0,
}


@pytest.mark.parametrize("name", OTHER_THAN_BY_DEFAULT)
def test_each_variable_reaches_the_policy_and_no_other_does(name):
    """One at a time, so that none can stand in for another."""
    assert OTHER_THAN_BY_DEFAULT.keys() == WorkerSettings.model_fields.keys()
    by_default = WorkerSettings().policy()

    chosen = WorkerSettings(**{name: OTHER_THAN_BY_DEFAULT[name]}).policy()

    differing = {each for each in WorkerPolicy.__slots__ if getattr(chosen, each) != getattr(by_default, each)}
    assert (differing, getattr(chosen, name)) == ({name}, OTHER_THAN_BY_DEFAULT[name])


def test_settings_without_a_variable_drain_within_what_docker_waits():
    """Ten seconds, after which it kills; the rest is the policy's own default."""
    settings = WorkerSettings()

    assert settings.drain_s < 10
    assert settings.policy() == WorkerPolicy(drain_s=settings.drain_s)


@pytest.mark.parametrize("name", OTHER_THAN_BY_DEFAULT)
def test_settings_refuse_what_makes_no_sense(name):
    """At the start, by its name."""
    with pytest.raises(ValueError, match=name):
        WorkerSettings(**{name: -1})
