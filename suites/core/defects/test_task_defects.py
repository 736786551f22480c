"""Each seeded defect of tasks, their checkpoints and their dead letters: the same check, once red and once green."""

from __future__ import annotations

import asyncio
import json
import secrets

import pytest

from fixtures.defects import installed
from fixtures.reference.core.worker import Task
from fixtures.reference.parts import Design
from fixtures.reference.work import importing
from suites.contract.core.checkpoint import DAY_S, Receiver
from suites.support.core.checkpoint import OurCheckpoints
from suites.support.core.deadletter import OurLetters
from suites.support.core.fates import Died
from suites.support.core.tasks import OurTasks
from suites.support.replicas import until

NAME = "charge"


@pytest.fixture
def tasks(linked):
    """Make a queue with a defect, which no other test knows."""
    return lambda defect: OurTasks(linked, f"queue-{secrets.token_hex(4)}", installed(defect, Design()))


@pytest.fixture
def letters(linked):
    """Make dead letters with a defect, and a source of tasks."""
    return lambda defect: OurLetters(linked, f"queue-{secrets.token_hex(4)}", installed(defect, Design()))


@pytest.fixture
def checkpoints(linked):
    """Make checkpoints with a defect."""
    return lambda defect: OurCheckpoints(linked, f"task-{secrets.token_hex(4)}", installed(defect, Design()))


@pytest.mark.parametrize(("defect", "happened"), [("", 1), ("checkpoint-done-first", 0)])
async def test_what_is_done_has_happened_unless_done_is_said_first(checkpoints, defect, happened):
    """A worker dies on the way to an effect; another one goes on (K1)."""
    adapter, receiver = checkpoints(defect), Receiver()
    claim = await adapter.claim("run")
    with pytest.raises(Died):
        await claim.step(NAME, receiver.effect(NAME, dies="before"), idempotent=True)

    claim = await adapter.claim("run")
    await claim.step(NAME, receiver.effect(NAME), idempotent=True)

    assert await adapter.done("run") == {NAME}
    assert receiver.calls[NAME] == happened


@pytest.mark.parametrize(("defect", "is_known"), [("", True), ("checkpoint-forgotten-soon", False)])
async def test_a_run_is_known_for_a_week_unless_it_is_forgotten_soon(checkpoints, defect, is_known):
    """After its last step (K4)."""
    adapter = checkpoints(defect)
    claim = await adapter.claim("run")
    await claim.step(NAME, Receiver().effect(NAME), idempotent=True)

    left_s = await adapter.left_s("run")
    assert (6.99 * DAY_S < left_s <= 7 * DAY_S) == is_known
    assert left_s > DAY_S / 4


@pytest.mark.parametrize(("defect", "times"), [("", 1), ("checkpoint-never-done", 2)])
async def test_what_a_task_did_happens_once_unless_it_is_never_done(tasks, defect, times):
    """Its first attempt fails after its first step; its second one ends well (K1)."""
    queue, receiver = tasks(defect), Receiver()

    async def order(task, claim) -> bytes:
        await claim.step(NAME, receiver.effect(NAME), idempotent=True)
        if task.attempt == 1:
            raise ConnectionResetError
        return b"shipped"

    task = await queue.submit("order")
    async with queue.working({"order": order}):
        (ended,) = await queue.ended(task)

    assert (ended.state, ended.attempts) == ("done", 2)
    assert receiver.calls[NAME] == times


@pytest.mark.parametrize(("defect", "value"), [("", "newer"), ("write-repeated", "imported")])
async def test_an_import_that_is_tried_again_spares_newer_values_unless_writes_are_repeated(
    replicas, item, monkeypatch, defect, value
):
    """Its worker died after the commit and before the checkpoint; a client wrote before another worker came (K1)."""
    parts, _ = await replicas.start("worker", defect)
    told = json.dumps({"tenant": "", "items": [[item, "imported"]]}).encode()
    task = Task(id=secrets.token_hex(16), payload=told, attempt=1)
    killed = await parts.checkpoints.claim("import", task.id)

    async def dies(*_step) -> None:
        raise Died

    monkeypatch.setattr(killed, "_finish", dies)
    with pytest.raises(Died):
        await importing(parts)(task, killed)
    await replicas.write(parts, item, "newer")
    await importing(parts)(task, await parts.checkpoints.claim("import", task.id))

    assert await replicas.read(parts, item) == value


@pytest.mark.parametrize(("defect", "taken"), [("", 0), ("worker-keeps-no-lease", 1)])
async def test_a_long_task_stays_its_workers_unless_it_keeps_no_lease(tasks, defect, taken):
    """Its lease is over when the worker's next beat comes; then another worker asks for tasks (D1)."""
    queue, has_begun, go_on = tasks(defect), asyncio.Event(), asyncio.Event()

    async def long(_task, _claim) -> bytes:
        has_begun.set()
        await go_on.wait()
        return b""

    await queue.submit("long")
    async with queue.working({"long": long}, lease_s=600.0, poll_s=60.0, concurrency=1) as working:
        await asyncio.wait_for(has_begun.wait(), 30)
        await queue.lapse()
        await working.worker._prolong()  # as each beat does
        found = await queue.queue().take("another", 1)
        go_on.set()

    assert len(found) == taken


@pytest.mark.parametrize(("defect", "state"), [("", "done"), ("queue-lets-go-too-early", "running")])
async def test_a_task_of_a_killed_worker_is_done_unless_the_queue_let_go_of_it(tasks, defect, state):
    """By another one, until nothing is left to be done (D1)."""
    queue, has_begun = tasks(defect), asyncio.Event()

    async def once(task, _claim) -> bytes:
        if not has_begun.is_set():
            has_begun.set()
            await asyncio.Event().wait()
        return task.id.encode()

    task = await queue.submit("once")
    async with queue.working({"once": once}, lease_s=600.0) as working:
        await asyncio.wait_for(has_begun.wait(), 30)
        await working.crash()
    await queue.lapse()

    async def is_empty() -> bool:
        depth = await queue.depth()
        return depth.new + depth.pending == 0

    async with queue.working({"once": once}):
        await until(is_empty)

    assert (await queue.state(task)).state == state


@pytest.mark.parametrize(("defect", "is_done"), [("", True), ("queue-blocks-on-poison", False)])
async def test_others_are_done_while_a_task_rests_unless_it_is_waited_for(tasks, defect, is_done):
    """A worker with room for one is given one that fails, and then another; the rest of the first is over by hand (D1)."""
    queue, has_failed = tasks(defect), asyncio.Event()

    async def fails(_task, _claim) -> bytes:
        has_failed.set()
        raise ConnectionResetError

    async def goes(_task, _claim) -> bytes:
        return b""

    await queue.submit("poison")
    async with queue.working({"poison": fails, "plain": goes}, concurrency=1, backoff_s=600.0, drain_s=0.1) as working:
        await asyncio.wait_for(has_failed.wait(), 30)
        other = await queue.submit("plain")
        states = await asyncio.gather(queue.ended(other, within_s=1.0 if defect else 100.0), return_exceptions=True)
        await working.crash()

    assert isinstance(states[0], TimeoutError) != is_done


@pytest.mark.parametrize(("defect", "last"), [("", 3), ("worker-never-gives-up", 5)])
async def test_poison_is_dead_after_its_attempts_unless_it_is_never_given_up(tasks, defect, last):
    """It fails each time, and three attempts are agreed; it is looked at until it is dead, or was tried for the fifth time."""
    queue, attempts = tasks(defect), []

    async def fails(task, _claim) -> bytes:
        attempts.append(task.attempt)
        raise ConnectionResetError

    task = await queue.submit("poison")

    async def is_over() -> bool:
        return len(attempts) >= 5 or (await queue.state(task)).state == "dead"

    async with queue.working({"poison": fails}, max_attempts=3, backoff_s=0.01, backoff_max_s=0.01):
        await until(is_over)

    assert attempts[:5] == list(range(1, last + 1))
    assert ((await queue.state(task)).state == "dead") is not bool(defect)


@pytest.mark.parametrize(("defect", "count"), [("", 1), ("queue-ignores-keys", 2)])
async def test_a_task_submitted_again_is_the_same_unless_keys_are_ignored(world, item, defect, count):
    """A client that did not hear the answer asks again, with the same idempotency key."""
    client = await world.replica(design=installed(defect, Design()))
    told = {"kind": "import", "items": [{"item": item, "value": "imported"}]}

    answers = [await client.post("/tasks", json=told, headers={"idempotency-key": "again"}) for _ in range(2)]

    assert {each.status_code for each in answers} == {202}
    assert len({each.json()["task"] for each in answers}) == count


@pytest.mark.parametrize(("defect", "accounted"), [("", 8), ("letters-drop-in-silence", 5)])
async def test_every_dead_task_is_accounted_for_unless_some_are_dropped_in_silence(letters, defect, accounted):
    """Eight fail for good where five have room: in the source, among the dead, or counted as dropped (D1)."""
    adapter = letters(defect)

    for held in await adapter.produce(*(b"%d" % number for number in range(8))):
        await asyncio.gather(adapter.bury(held, max_entries=5), return_exceptions=True)

    found = len(await adapter.queued()) + len(await adapter.dead()) + await adapter.dropped()
    assert found == accounted


@pytest.mark.parametrize(("defect", "lost"), [("", set()), ("letters-move-in-two-steps", {b"1"})])
async def test_a_dying_worker_loses_no_task_unless_it_is_moved_in_two_steps(letters, defect, lost):
    """It is killed after each of its first commands to Redis in turn (D1)."""
    adapter = letters(defect)
    payloads = [b"%d" % number for number in range(4)]
    for dies_after, held in enumerate(await adapter.produce(*payloads)):
        await asyncio.gather(adapter.bury(held, dies_after=dies_after), return_exceptions=True)

    assert {*payloads} - {*await adapter.queued(), *(await adapter.dead()).values()} == lost


@pytest.mark.parametrize(("defect", "times"), [("", 1), ("letters-replay-twice", 2)])
async def test_a_dead_letter_goes_back_once_unless_it_is_replayed_twice(letters, defect, times):
    """Two people replay it at the same time (D4)."""
    adapter = letters(defect)
    (held,) = await adapter.produce(b"order")
    await adapter.bury(held)
    (entry,) = await adapter.dead()

    await asyncio.gather(adapter.replay(entry), adapter.replay(entry))

    assert await adapter.queued() == [b"order"] * times
