"""The queue against a real Redis: its contract, and what is ours alone. The worker's own tests are beside it."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

import pytest

from fixtures.reference.core.breaker import Unavailable
from fixtures.reference.core.deadletter import Failure
from fixtures.reference.core.worker import Depth, KeyReused, Submitted, TaskQueue, WorkerPolicy
from suites.contract.core.worker import WorkerContract
from suites.support.core.fates import said
from suites.support.core.tasks import OurTasks

WEEK_MS = 7 * 86_400_000
FAILED = Failure(error="ValueError", message="no", trace="line 1", attempts=1)


@pytest.fixture
def tasks(linked):
    """A queue that no other test knows."""
    return OurTasks(linked, f"queue-{secrets.token_hex(4)}")


class TestContract(WorkerContract):
    """Ours keep what all must keep."""


@pytest.fixture
def queue(tasks):
    return tasks.queue()


async def ttl_ms(queue, task):
    """Return for how long a task is known, in ms; -1 for ever."""
    return await said(queue._link, "PTTL", queue.record_of(task))


async def due_ms(queue, taken):
    """Return when a task may be taken, in ms from now by the time of Redis."""
    seconds, microseconds = await said(queue._link, "TIME")
    score = await said(queue._link, "ZSCORE", queue.source.leases, taken.held.id)
    return float(score) - int(seconds) * 1000 - int(microseconds) // 1000


async def make_due(queue, taken):
    """Let the lease or the rest of a task be over."""
    await said(queue._link, "ZADD", queue.source.leases, 0, taken.held.id)


async def test_submitted_task_is_handed_out_as_it_was(queue):
    """Byte for byte, with its first attempt."""
    submitted = await queue.submit("mail", b"\x00\xff|\r\n")
    (taken,) = await queue.take("a", 5)

    assert submitted.is_new
    assert (taken.task, taken.kind, taken.payload) == (submitted.task, "mail", b"\x00\xff|\r\n")
    assert (taken.attempt, taken.last, taken.is_dying, taken.replays) == (1, None, False, 0)
    assert (taken.held.consumer, taken.held.deliveries) == ("a", 1)
    assert await queue.take("b", 5) == []


async def test_task_is_known_from_its_submission_on(tasks, queue):
    """Queued, running, done, with its result; and by the time of Redis."""
    before_s = int((await said(queue._link, "TIME"))[0])
    submitted = await queue.submit("mail", b"")
    queued = await queue.state(submitted.task)
    await said(queue._link, "HINCRBY", queue.record_of(submitted.task), "submitted", -90_000)
    (taken,) = await queue.take("a", 1)
    running = await queue.state(submitted.task)
    await queue.complete(taken, b"result")
    done = await queue.state(submitted.task)

    assert [each.state for each in (queued, running, done)] == ["queued", "running", "done"]
    assert [each.attempts for each in (queued, running, done)] == [0, 1, 1]
    assert (done.kind, done.result, done.error, done.entry) == ("mail", b"result", "", "")
    assert before_s <= queued.submitted_s <= before_s + 60
    assert (queued.took_s, running.took_s) == (None, None)
    assert 90 <= done.took_s <= 150
    assert await queue.state("unknown") is None
    assert await queue.depth() == Depth(new=0, pending=0, submitted=1, done=1)


async def test_outcome_is_known_for_a_week_and_a_task_under_way_for_ever(tasks):
    """What is kept only as long as it is asked for is not a queue."""
    queue = tasks.queue(kept_s=WEEK_MS / 1000)
    task = (await queue.submit("mail", b"", key="k")).task
    left = [await ttl_ms(queue, task)]
    (taken,) = await queue.take("a", 1)
    left.append(await ttl_ms(queue, task))
    await queue.complete(taken, b"")
    left.append(await ttl_ms(queue, task))

    assert left[:2] == [-1, -1]
    assert WEEK_MS - 60_000 < left[2] <= WEEK_MS
    key = await said(queue._link, "PTTL", f"queue:{{{tasks.name}}}:key:k")
    assert WEEK_MS - 60_000 < key <= WEEK_MS


async def test_task_submitted_again_with_its_key_is_there_once(queue):
    """However often, and by however many at a time; even when it is done."""
    submitted = await asyncio.gather(*(queue.submit("mail", b"to a", key="7") for _ in range(10)))

    assert sorted(each.is_new for each in submitted) == [False] * 9 + [True]
    assert len({each.task for each in submitted}) == 1
    assert await queue.depth() == Depth(new=1, pending=0, submitted=1)
    (taken,) = await queue.take("a", 5)
    await queue.complete(taken, b"")
    assert await queue.submit("mail", b"to a", key="7") == Submitted(taken.task, is_new=False)


@pytest.mark.parametrize(("kind", "payload"), [("mail", b"to b"), ("male", b"to a"), ("mailto", b" a")])
async def test_key_of_another_task_is_refused(queue, kind, payload):
    """The client would take the outcome of one for that of the other."""
    await queue.submit("mail", b"to a", key="7")

    with pytest.raises(KeyReused, match="7"):
        await queue.submit(kind, payload, key="7")
    assert (await queue.depth()).new == 1


async def test_tasks_without_a_key_are_all_there(queue):
    """The same twice is two, and an empty key is none."""
    first, second = await queue.submit("mail", b""), await queue.submit("mail", b"", key="")

    assert first.task != second.task
    assert (await queue.depth()).new == 2


async def test_submission_whose_answer_was_lost_may_be_repeated_with_its_key(tasks, queue):
    """The task is there once (D1)."""
    tasks.link.fates.append("lost")
    with pytest.raises(Unavailable):
        await queue.submit("mail", b"", key="7")

    again = await queue.submit("mail", b"", key="7")

    assert not again.is_new
    assert (await queue.state(again.task)).state == "queued"
    assert (await queue.depth()).submitted == 1


@pytest.mark.parametrize("kind", ["", "a:b", "a b"])
async def test_kind_that_names_no_run_is_refused(queue, kind):
    """A colon would make its checkpoints another task's."""
    with pytest.raises(ValueError, match="task's kind"):
        await queue.submit(kind, b"")


async def test_queue_with_a_name_that_moves_its_keys_is_refused(tasks):
    """As of dead letters."""
    with pytest.raises(ValueError, match="queue"):
        TaskQueue(tasks.link, "a}b", WorkerPolicy())


async def test_take_hands_out_no_more_than_asked_for_and_the_due_ones_first(queue):
    """What was tried before waits longest."""
    await queue.submit("mail", b"1")
    (first,) = await queue.take("a", 1)
    for number in (b"2", b"3", b"4"):
        await queue.submit("mail", number)
    await make_due(queue, first)

    assert [each.payload for each in await queue.take("b", 2)] == [b"1", b"2"]
    assert [each.payload for each in await queue.take("b", 2)] == [b"3", b"4"]


async def test_due_tasks_alone_fill_what_is_asked_for(queue):
    """None beyond that is handed out, due or new."""
    for number in (b"1", b"2", b"3"):
        await queue.submit("mail", number)
    taken = await queue.take("a", 2)
    for each in taken:
        await make_due(queue, each)

    assert [each.payload for each in await queue.take("b", 1)] == [b"1"]
    assert [each.payload for each in await queue.take("b", 5)] == [b"2", b"3"]


async def test_lease_is_as_long_as_agreed_and_begins_anew(tasks):
    """At the take, and at each time that it is prolonged (D1)."""
    queue = tasks.queue(lease_s=100.0)
    await queue.submit("mail", b"")
    (taken,) = await queue.take("a", 1)
    assert 99_000 < await due_ms(queue, taken) <= 100_000

    await said(queue._link, "ZADD", queue.source.leases, 1, taken.held.id)
    assert await queue.extend("a", [taken.held]) == set()
    assert 99_000 < await due_ms(queue, taken) <= 100_000


async def test_lease_of_what_another_has_is_not_prolonged(queue):
    """Nor is that of what the same one lost and got again: an older delivery is told apart (D1)."""
    for number in (b"1", b"2", b"3"):
        await queue.submit("mail", number)
    kept, regained, lost = await queue.take("a", 3)
    await make_due(queue, regained)
    (again,) = await queue.take("a", 1)
    await make_due(queue, lost)
    (others,) = await queue.take("b", 1)
    await said(queue._link, "ZADD", queue.source.leases, 1e15, again.held.id, 1e15, others.held.id)

    assert await queue.extend("a", [kept.held, regained.held, lost.held]) == {regained.held, lost.held}

    assert await due_ms(queue, again) > 1e14
    assert await due_ms(queue, others) > 1e14
    assert await queue.extend("a", [again.held]) == set()


@pytest.mark.parametrize("who", ["b", "a"], ids=["another", "itself again"])
@pytest.mark.parametrize("how", ["complete", "postpone"])
async def test_what_a_zombie_says_is_not_taken(queue, how, who):
    """The task was taken meanwhile, by another or by a later delivery to the same (D1)."""
    task = (await queue.submit("mail", b"")).task
    (zombie,) = await queue.take("a", 1)
    await make_due(queue, zombie)
    (taken,) = await queue.take(who, 1)

    if how == "complete":
        assert await queue.complete(zombie, b"of the zombie") is False
    else:
        assert await queue.postpone(zombie, "retried", rest_s=1) is False

    assert (await queue.state(task)).state == "running"
    assert (await queue.depth()).pending == 1
    assert await queue.complete(taken, b"result") is True
    assert (await queue.state(task)).result == b"result"
    assert await queue.complete(zombie, b"of the zombie") is False
    assert (await queue.state(task)).result == b"result"


async def test_task_that_rests_is_out_of_its_last_worker_s_hands(queue):
    """A beat that was under way when it was postponed must neither shorten nor prolong its rest (D1)."""
    await queue.submit("mail", b"")
    (taken,) = await queue.take("a", 1)
    await queue.postpone(taken, "retried", rest_s=1000, failure=FAILED)

    assert await queue.extend("a", [taken.held]) == {taken.held}
    assert 990_000 < await due_ms(queue, taken) <= 1_000_000
    assert await queue.complete(taken, b"") is True, "said again, it changes nothing"
    assert (await queue.state(taken.task)).state == "resting"


@pytest.mark.parametrize(
    ("counted", "attempt", "state"),
    [("retried", 2, "resting"), ("given_back", 1, "queued"), ("refused", 1, "resting")],
)
async def test_postponed_task_comes_back_as_what_it_was_counted(queue, counted, attempt, state):
    """Only what is retried was an attempt; the failure comes along, and what should be dead is not tried again (D1)."""
    task = (await queue.submit("mail", b"")).task
    (taken,) = await queue.take("a", 1)
    await queue.postpone(taken, counted, rest_s=1000, failure=None if counted == "given_back" else FAILED)
    known = await queue.state(task)
    assert await queue.take("b", 1) == []
    await make_due(queue, taken)

    (again,) = await queue.take("b", 1)

    assert (known.state, known.error) == (state, "" if counted == "given_back" else "ValueError")
    assert (again.attempt, again.held.deliveries) == (attempt, 2)
    assert again.last == (None if counted == "given_back" else FAILED)
    assert again.is_dying == (counted == "refused")
    assert await queue.depth() == Depth(new=0, pending=1, submitted=1, **{counted: 1})


async def test_failure_before_the_last_is_not_taken_for_the_last(queue):
    """After it a worker died without a word (D1)."""
    await queue.submit("mail", b"")
    (first,) = await queue.take("a", 1)
    await queue.postpone(first, "retried", rest_s=1, failure=FAILED)
    await make_due(queue, first)
    (second,) = await queue.take("a", 1)
    await make_due(queue, second)

    (third,) = await queue.take("a", 1)

    assert (second.last, third.last, third.attempt) == (FAILED, None, 3)


@pytest.mark.parametrize("how", ["complete", "postpone"])
async def test_end_whose_answer_was_lost_may_be_said_again(tasks, queue, how):
    """It is counted once, and a task that was given back is given back once (D1)."""
    await queue.submit("mail", b"")
    (taken,) = await queue.take("a", 1)

    async def say() -> bool:
        if how == "complete":
            return await queue.complete(taken, b"result")
        return await queue.postpone(taken, "given_back", rest_s=0)

    tasks.link.fates.append("lost")
    with pytest.raises(Unavailable):
        await say()
    assert await say() is True
    assert await say() is True

    depth = await queue.depth()
    assert (depth.done, depth.given_back) == ((1, 0) if how == "complete" else (0, 1))
    if how == "postpone":
        await make_due(queue, taken)
        assert (await queue.take("b", 1))[0].attempt == 1


async def test_take_whose_answer_was_lost_costs_a_lease(tasks, queue):
    """The task is in nobody's hands, and due once the lease is over (D1)."""
    await queue.submit("mail", b"")
    tasks.link.fates.append("lost")
    with pytest.raises(Unavailable):
        await queue.take("a", 1)
    assert await queue.take("a", 1) == []

    ((entry, *_),) = await said(queue._link, "XPENDING", queue.source.stream, "workers", "-", "+", 9)
    await said(queue._link, "ZADD", queue.source.leases, 0, entry)

    assert [each.attempt for each in await queue.take("b", 1)] == [2]


async def test_clock_that_was_set_back_delays_a_task_by_one_lease(tasks):
    """What would rest for longer than anything may was scored by a clock that was ahead (T2)."""
    queue = tasks.queue(lease_s=4.0, backoff_max_s=10.0, full_s=10.0)
    await queue.submit("mail", b"")
    (taken,) = await queue.take("a", 1)
    seconds = int((await said(queue._link, "TIME"))[0])
    await said(queue._link, "ZADD", queue.source.leases, (seconds + 3600) * 1000, taken.held.id)

    assert await queue.take("b", 1) == []
    assert 0 < await due_ms(queue, taken) <= 4000
    await said(queue._link, "ZADD", queue.source.leases, (seconds + 9) * 1000, taken.held.id)
    assert await queue.take("b", 1) == []
    assert await due_ms(queue, taken) > 5000, "what may rest for so long is left alone"


async def test_queue_that_redis_lost_works_again(queue):
    """After a restart without its data: what was held is lost, and what comes then is handed out."""
    await queue.submit("mail", b"1")
    (taken,) = await queue.take("a", 1)
    await said(queue._link, "DEL", queue.source.stream, queue.source.leases, queue.record_of(taken.task))

    assert await queue.complete(taken, b"") is False
    assert await queue.extend("a", [taken.held]) == {taken.held}
    await queue.submit("mail", b"2")
    assert [each.payload for each in await queue.take("a", 5)] == [b"2"]


async def test_task_that_was_deleted_from_the_stream_is_forgotten(queue):
    """It neither comes back without its text nor keeps others from being taken."""
    await queue.submit("mail", b"1")
    (taken,) = await queue.take("a", 1)
    await make_due(queue, taken)
    await said(queue._link, "XDEL", queue.source.stream, taken.held.id)
    await queue.submit("mail", b"2")

    assert [each.payload for each in await queue.take("b", 1)] == [b"2"]
    assert await said(queue._link, "ZSCORE", queue.source.leases, taken.held.id) is None


async def test_task_that_another_program_put_there_is_taken_too(queue):
    """It has its id in the stream for a name."""
    await queue.leave()
    entry = await said(queue._link, "XADD", queue.source.stream, "*", "anything", "else")

    (taken,) = await queue.take("a", 1)

    assert (taken.task, taken.kind, taken.payload) == (entry.decode(), "", b"")
    assert await queue.complete(taken, b"") is True
    assert (await queue.state(taken.task)).state == "done"


async def test_consumer_that_leaves_is_removed_unless_it_holds_something(queue):
    """Removing one drops what is pending with it, and the task would be lost (D1)."""
    await queue.submit("mail", b"")
    (taken,) = await queue.take("holds", 1)
    await queue.take("idle", 1)
    await queue.take("other", 1)

    await queue.leave("holds")
    await queue.leave("idle")

    known = {each[1] for each in await said(queue._link, "XINFO", "CONSUMERS", queue.source.stream, "workers")}
    assert known == {b"holds", b"other"}
    assert await queue.complete(taken, b"") is True


async def test_queue_that_is_empty_counts_nothing(queue):
    """And neither a worker that leaves nor one that asks is an error."""
    await queue.leave("a")

    assert await queue.take("a", 5) == []
    assert await queue.depth() == Depth(new=0, pending=0)


async def test_replayed_task_begins_anew(tasks, queue):
    """With its own id, its first attempt and no failure; its state follows (D4)."""
    task = (await queue.submit("mail", b"")).task
    (taken,) = await queue.take("a", 1)
    await queue.postpone(taken, "given_back", rest_s=0)
    await make_due(queue, taken)
    (taken,) = await queue.take("a", 1)
    entry = await tasks.letters().move(taken.held, FAILED, record=queue.record_of(task))
    dead = await queue.state(task)
    await tasks.letters().replay(entry)
    queued = await queue.state(task)
    (again,) = await queue.take("a", 1)

    assert (dead.state, dead.entry, dead.error) == ("dead", entry, "ValueError")
    assert (queued.state, queued.attempts, queued.entry) == ("queued", 0, "")
    assert (again.task, again.attempt, again.last, again.replays) == (task, 1, None, 1)
    assert await said(queue._link, "ZRANGE", queue.source.leases, 0, -1) == [again.held.id.encode()]


async def test_failure_that_is_no_text_can_be_postponed(queue):
    """As in the name of a file."""
    await queue.submit("mail", b"")
    (taken,) = await queue.take("a", 1)

    assert await queue.postpone(taken, "retried", rest_s=0, failure=replace(FAILED, message="\udcff"))
    await make_due(queue, taken)
    assert (await queue.take("a", 1))[0].last.message == "\\udcff"
