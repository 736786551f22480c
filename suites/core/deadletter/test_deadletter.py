"""Dead letters against a real Redis: their contract (D1 to D5), and what is ours alone."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

import pytest

from fixtures.reference.core.deadletter import (
    AtCap,
    DeadLetterPolicy,
    DeadLetters,
    Failure,
    Held,
    Level,
    QueueFull,
    Source,
    Statistics,
)
from fixtures.reference.core.deadletter._advice import advise
from suites.contract.core.deadletter import DeadLetterContract
from suites.support.core.deadletter import CONSUMER, OurLetters
from suites.support.core.fates import FatedLink, said

DAY_MS = 86_400_000
FAILED = Failure(error="ValueError", message="no", trace="line 1", attempts=5)


@pytest.fixture
def ours(linked):
    """Dead letters and a source that no other test knows."""
    return OurLetters(linked, f"queue-{secrets.token_hex(4)}")


class TestContract(DeadLetterContract):
    """Ours keep what all must keep."""

    @pytest.fixture
    def letters(self, ours):
        return ours


@pytest.fixture
def letters(ours):
    return ours.letters()


async def now_ms(link) -> int:
    """Return the time of Redis."""
    seconds, microseconds = await said(link, "TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


async def grown_old(ours, *ages_ms, error="ValueError", count=True):
    """Put dead letters there that died so long ago, the oldest first, as a move would have done it then."""
    now, entries = await now_ms(ours.link), f"dlq:{{{ours._queue}}}:entries"
    for age_ms in ages_ms:
        words = {
            "queue": "q",
            "source": "1-0",
            "error": error,
            "message": "",
            "attempts": 5,
            "trace": "",
            "first": 1,
            "replays": 0,
            "record": "",
            "=payload": age_ms,
        }
        await said(ours.link, "XADD", entries, f"{now - age_ms}-0", *(word for pair in words.items() for word in pair))
        if count:
            await said(ours.link, "HINCRBY", f"dlq:{{{ours._queue}}}:counts", "moved", 1)
            await said(ours.link, "HINCRBY", f"dlq:{{{ours._queue}}}:counts", f"error:{error}", 1)
    return entries


def balance(seen: Statistics) -> int:
    """Return what the books are off by."""
    return seen.moved - seen.entries - seen.replayed - seen.expired - seen.dropped - seen.discarded


async def test_entry_tells_all_there_is_to_know(ours, letters):
    """Where it came from, what it died of, and when, by the time of Redis."""
    before_ms = await now_ms(ours.link)
    (held,) = await ours.produce(b"payload")
    entry_id = await letters.move(held, FAILED)
    (entry,) = await letters.entries()
    after_ms = await now_ms(ours.link)

    assert (entry.id, entry.queue, entry.source_id) == (entry_id, letters.queue, held.id)
    assert entry.failure == FAILED
    assert entry.task == {b"kind": b"any", b"payload": b"payload"}
    assert before_ms <= entry.first_s * 1000 <= entry.died_s * 1000 <= after_ms
    assert entry.first_s == int(held.id.split("-")[0]) / 1000
    assert entry.replays == 0


async def test_move_takes_the_task_from_its_source(ours, letters):
    """It is neither pending there nor in the stream, and has no lease (D1)."""
    leases = f"{ours.stream}:leases"
    letters.source = replace(ours.source, leases=leases)
    held, other = await ours.produce(b"1", b"2")
    await said(ours.link, "ZADD", leases, 1, held.id, 2, other.id)

    await letters.move(held, FAILED)

    assert await ours.queued() == [b"2"]
    assert [each[0] for each in await said(ours.link, "XPENDING", ours.stream, "workers", "-", "+", 9)] == [
        other.id.encode()
    ]
    assert await said(ours.link, "ZRANGE", leases, 0, -1) == [other.id.encode()]


@pytest.mark.parametrize(
    "change",
    [{"consumer": "another"}, {"deliveries": 2}, {"deliveries": 0}, {"id": "1-1"}],
    ids=["consumer", "later", "earlier", "unknown"],
)
async def test_only_the_one_who_has_a_task_moves_it(ours, letters, change):
    """A worker that lost it to another says nothing any more (D1)."""
    (held,) = await ours.produce(b"1")

    assert await letters.move(replace(held, **change), FAILED) is None

    assert await letters.entries() == []
    assert await ours.queued() == [b"1"]
    assert (await letters.statistics()).moved == 0


async def test_task_whose_text_is_gone_is_no_dead_letter(ours, letters):
    """Something else has deleted it from the stream: there is nothing to move, and no empty entry (D5)."""
    (held,) = await ours.produce(b"1")
    await said(ours.link, "XDEL", ours.stream, held.id)

    assert await letters.move(held, FAILED) is None
    assert await letters.entries() == []


async def test_record_is_told_of_death_and_replay(ours, letters):
    """And of when it may be forgotten: not before its entry, and not while the task is queued again."""
    record = f"{ours.stream}:record"
    await said(ours.link, "HSET", record, "state", "running", "attempts", 5)
    (held,) = await ours.produce(b"1")

    entry = await letters.move(held, FAILED, record=record)
    told = await said(ours.link, "HMGET", record, "state", "entry", "error", "said")
    assert told == [b"dead", entry.encode(), b"ValueError", b"no"]
    assert 29.9 * DAY_MS < await said(ours.link, "PTTL", record) <= 30 * DAY_MS

    await letters.replay(entry)
    assert await said(ours.link, "HMGET", record, "state", "attempts") == [b"queued", b"0"]
    assert await said(ours.link, "PTTL", record) == -1


async def test_record_that_was_forgotten_does_not_come_back(ours, letters):
    """A hash with half of what is known would be taken for a task."""
    record = f"{ours.stream}:record"
    (held,) = await ours.produce(b"1")
    entry = await letters.move(held, FAILED, record=record)
    await said(ours.link, "DEL", record)

    await letters.replay(entry)

    assert await said(ours.link, "EXISTS", record) == 0


async def test_move_whose_answer_was_lost_may_be_asked_for_again(ours, linked):
    """With a record the second answer is the first one's; the task is there once (D1)."""
    link = linked(kind=FatedLink)
    letters, record = ours.letters(link), f"{ours.stream}:record"
    (held,) = await ours.produce(b"1")
    link.fates.append("lost")
    with pytest.raises(Exception, match="redis failed"):
        await letters.move(held, FAILED, record=record)

    entry = await letters.move(held, FAILED, record=record)

    assert [each.id for each in await letters.entries()] == [entry]
    assert (await letters.statistics()).moved == 1
    assert await letters.move(replace(held, deliveries=2), FAILED, record=record) is None


async def test_replayed_task_carries_where_it_was(ours, letters):
    """The id of its entry, how often, and since when it has been on its way: through any number of replays (D4)."""
    (held,) = await ours.produce(b"1")
    entry = await letters.move(held, FAILED)
    first = held.id.split("-")[0].encode()
    for times in (1, 2):
        again = await letters.replay(entry)
        ((found, flat),) = await said(ours.link, "XRANGE", ours.stream, "-", "+")
        assert found.decode() == again
        assert dict(zip(flat[::2], flat[1::2], strict=True)) == {
            b"kind": b"any", b"payload": b"1", b"first": first, b"replay": entry.encode(), b"replays": b"%d" % times,
        }  # fmt: skip
        assert len(flat) == 10
        (held,) = await ours.take()
        entry = await letters.move(held, FAILED)

    (entry,) = await letters.entries()
    assert (entry.replays, entry.first_s) == (2, int(first) / 1000)


async def test_replayed_task_is_handed_out_as_if_it_was_never_tried(ours, letters):
    """Its attempts are counted from one again (D4)."""
    (held,) = await ours.produce(b"1")
    await said(ours.link, "XCLAIM", ours.stream, "workers", CONSUMER, 0, held.id)
    await letters.replay(await letters.move(replace(held, deliveries=2), FAILED))

    (again,) = await ours.take()

    ((_, _, _, deliveries),) = await said(ours.link, "XPENDING", ours.stream, "workers", again.id, again.id, 1)
    assert deliveries == 1


async def test_what_is_not_there_is_neither_replayed_nor_discarded(ours, letters):
    """The second of two that ask is told so (D4)."""
    first, second = await ours.produce(b"1", b"2")
    entry, kept = await letters.move(first, FAILED), await letters.move(second, FAILED)

    assert await letters.discard(entry) is True
    assert await letters.discard(entry) is False
    assert await letters.replay(entry) is None
    assert [each.id for each in await letters.entries()] == [kept]


async def test_entries_come_in_pages(ours, letters):
    """Each once, the oldest first."""
    for held in await ours.produce(*(b"%d" % number for number in range(5))):
        await letters.move(held, FAILED)
    pages, after = [], ""
    while page := await letters.entries(after=after, limit=2):
        pages.append([entry.payload for entry in page])
        after = page[-1].id

    assert pages == [[b"0", b"1"], [b"2", b"3"], [b"4"]]


async def test_entry_is_kept_for_thirty_days_and_no_longer(ours, letters):
    """By the time of Redis. A minute before it is there, and a second after it is not (D3)."""
    await grown_old(ours, 30 * DAY_MS + 1000, 30 * DAY_MS - 60_000, 1000)

    assert [entry.payload for entry in await letters.entries()] == [b"%d" % (30 * DAY_MS - 60_000), b"1000"]
    seen = await letters.statistics()
    assert (seen.entries, seen.expired, balance(seen)) == (2, 1, 0)
    assert 30 * 86_400 - 61 < seen.oldest_s < 30 * 86_400 - 50


async def test_entry_expires_just_after_its_retention(ours):
    """Neither is one dropped by age that is as old as it may be, nor one kept that is older (D3)."""
    letters = ours.letters(retention_s=0.2)
    (held,) = await ours.produce(b"1")
    entry = await letters.move(held, FAILED)
    died_ms = int(entry.split("-")[0])
    async with asyncio.timeout(10):
        while True:
            before_ms = await now_ms(ours.link)
            there = await letters.entries()
            after_ms = await now_ms(ours.link)
            assert there or after_ms > died_ms + 200
            assert not there or before_ms <= died_ms + 200
            if not there:
                break


@pytest.mark.parametrize("how", ["replay", "discard", "move", "entries", "statistics"])
async def test_every_door_drops_what_is_too_old_before_it_looks(ours, how):
    """No reader ever sees it, and it takes no place: a full queue has room again (D2, D3)."""
    letters = ours.letters(max_entries=1)
    await grown_old(ours, 31 * DAY_MS)
    ((old, _),) = await said(ours.link, "XRANGE", f"dlq:{{{letters.queue}}}:entries", "-", "+")
    (held,) = await ours.produce(b"1")

    if how == "move":
        assert await letters.move(held, FAILED)
    elif how in {"replay", "discard"}:
        assert not await getattr(letters, how)(old.decode())
    elif how == "entries":
        assert await letters.entries() == []
    else:
        assert (await letters.statistics()).entries == 0

    assert (await letters.statistics()).expired == 1


async def test_more_than_one_script_may_drop_is_dropped_all_the_same(ours, letters):
    """Hundreds that are too old: none is seen, each is counted (D3)."""
    entries = await grown_old(ours, *range(31 * DAY_MS + 251, 31 * DAY_MS, -1))
    await grown_old(ours, 1000)
    assert await said(ours.link, "XLEN", entries) == 252

    assert [entry.payload for entry in await letters.entries()] == [b"1000"]
    seen = await letters.statistics()
    assert (seen.entries, seen.expired, seen.by_error, balance(seen)) == (1, 251, {"ValueError": 1}, 0)


async def test_age_alone_drops_nothing_that_is_younger(ours, letters):
    """However many there are, and whatever is dropped beside them (D3)."""
    await grown_old(ours, *range(29 * DAY_MS + 150, 29 * DAY_MS, -1))
    (held,) = await ours.produce(b"1")
    await letters.move(held, FAILED)

    seen = await letters.statistics()
    assert (seen.entries, seen.expired) == (151, 0)


async def test_ten_thousand_and_not_one_more(ours, letters):
    """The cap that holds without a word said about it (D2)."""
    entries = await grown_old(ours, 3_000)
    fill = "local now = redis.call('TIME')[1] for i = 1, 9998 do redis.call('XADD', KEYS[1], '*', 'error', 'ValueError') end return 1"
    await ours.link._send("EVAL", fill, 1, entries)
    last, beyond = await ours.produce(b"last", b"beyond")

    assert await letters.move(last, FAILED)
    with pytest.raises(QueueFull, match=letters.queue):
        await letters.move(beyond, FAILED)

    assert await said(ours.link, "XLEN", entries) == 10_000
    assert await ours.queued() == [b"beyond"]
    assert (await letters.statistics()).refused == 1


async def test_full_queue_counts_each_refusal_and_drops_nothing(ours):
    """An alarm can be put on the count; the task may be moved once there is room (D1, D2)."""
    letters = ours.letters(max_entries=1)
    first, second = await ours.produce(b"1", b"2")
    entry = await letters.move(first, FAILED)
    for _ in range(3):
        with pytest.raises(QueueFull):
            await letters.move(second, FAILED)

    seen = await letters.statistics()
    assert (seen.entries, seen.moved, seen.refused, seen.dropped, balance(seen)) == (1, 1, 3, 0, 0)
    assert (await letters.advice())[1].level is Level.ACT
    await letters.discard(entry)
    assert await letters.move(second, FAILED)


async def test_task_that_is_not_held_is_not_refused(ours):
    """A zombie at a full queue is no alarm."""
    letters = ours.letters(max_entries=1)
    first, second = await ours.produce(b"1", b"2")
    await letters.move(first, FAILED)

    assert await letters.move(replace(second, consumer="another"), FAILED) is None
    assert (await letters.statistics()).refused == 0


async def test_what_is_dropped_goes_to_the_archive_if_there_is_one(ours):
    """With all that was known of it, under its old id; and it is dropped from there by age (D1, D3)."""
    letters = ours.letters(max_entries=2, at_cap=AtCap.DROP_OLDEST, archive=True)
    ids = [await letters.move(held, FAILED) for held in await ours.produce(b"1", b"2", b"3", b"4")]

    archived = await letters.archived()
    assert [(entry.id, entry.payload) for entry in archived] == [(ids[0], b"1"), (ids[1], b"2")]
    assert archived[0].failure == FAILED
    assert [entry.id for entry in await letters.archived(after=ids[0])] == [ids[1]]
    assert (await letters.statistics()).dropped == 2

    archive = f"dlq:{{{letters.queue}}}:archive"
    await said(ours.link, "DEL", archive)
    now = await now_ms(ours.link)
    flat = [
        word
        for pair in [
            ("queue", "q"),
            ("source", "1-0"),
            ("error", "E"),
            ("message", ""),
            ("attempts", 1),
            ("trace", ""),
            ("first", 1),
            ("replays", 0),
        ]
        for word in pair
    ]
    await said(ours.link, "XADD", archive, f"{now - 31 * DAY_MS}-0", *flat)
    await said(ours.link, "XADD", archive, f"{now - 29 * DAY_MS}-0", *flat)
    assert [entry.id for entry in await letters.archived()] == [f"{now - 29 * DAY_MS}-0"]


async def test_nothing_is_archived_unless_asked_for(ours):
    """It would take memory for nobody."""
    letters = ours.letters(max_entries=1, at_cap=AtCap.DROP_OLDEST)
    for held in await ours.produce(b"1", b"2"):
        await letters.move(held, FAILED)

    assert await letters.archived() == []


async def test_statistics_add_up_whatever_happens(ours):
    """Each way in and out is counted once, by error too (D1)."""
    letters = ours.letters(max_entries=3, at_cap=AtCap.DROP_OLDEST)
    other = replace(FAILED, error="OSError")
    held = await ours.produce(*(b"%d" % number for number in range(6)))
    ids = [await letters.move(each, other if number % 2 else FAILED) for number, each in enumerate(held)]
    await letters.replay(ids[4])
    await letters.discard(ids[3])

    seen = await letters.statistics()

    assert (seen.moved, seen.entries, seen.dropped, seen.replayed, seen.discarded) == (6, 1, 3, 1, 1)
    assert seen.by_error == {"OSError": 1}
    assert balance(seen) == 0


async def test_statistics_of_a_queue_that_never_was(letters):
    """Nothing, without an error, and nothing to do."""
    seen, advice = await letters.advice()

    assert seen == Statistics(entries=0, oldest_s=0.0)
    assert (advice.level, advice.recommendations) == (Level.CALM, ())


async def test_what_an_error_says_is_cut_and_need_not_be_text(ours, letters):
    """The end of a trace says where it happened. A path with half a character must not keep a task from dying (D1)."""
    first, second = await ours.produce(b"1", b"2")
    await letters.move(first, replace(FAILED, message="m" * 5000, trace="a" * 20_000 + "the end"))
    await letters.move(second, replace(FAILED, message="name \udcff"))

    long, odd = await letters.entries()
    assert long.failure.message == "m" * 1000
    assert len(long.failure.trace) == 8000
    assert long.failure.trace.endswith("the end")
    assert odd.failure.message == "name \\udcff"


@pytest.mark.parametrize("queue", ["", "a b", "a}b", "x" * 101])
def test_queue_with_another_name_is_refused(linked, queue):
    """A brace would put its keys on another node."""
    with pytest.raises(ValueError, match="name is letters"):
        DeadLetters(linked(), queue, Source(stream="s", group="g"), DeadLetterPolicy())


@pytest.mark.parametrize(
    ("entries", "level", "said"),
    [
        (0, Level.CALM, []),
        (9, Level.CALM, []),
        (10, Level.LOOK, ["7 of 10 died of OSError: find its cause, mend it, and replay them."]),
        (49, Level.LOOK, ["46 of 49 died of OSError: find its cause, mend it, and replay them."]),
        (
            50,
            Level.ACT,
            [
                "47 of 50 died of OSError: stop what feeds this queue until its cause is mended. A replay now would bring them back."
            ],
        ),
    ],
)
def test_advice_changes_at_ten_and_at_fifty(entries, level, said):
    """Single ones ask for nothing; ten have a cause to be found; fifty ask for the source to be stopped first."""
    by_error = {"ValueError": min(3, entries), "OSError": max(0, entries - 3)}
    seen = Statistics(
        entries=entries, oldest_s=60.0, by_error={name: count for name, count in by_error.items() if count}
    )

    advice = advise(seen, DeadLetterPolicy())

    assert (advice.level, list(advice.recommendations)) == (level, said)


@pytest.mark.parametrize(
    ("entries", "at_cap", "level", "said"),
    [
        (89, AtCap.REJECT_ALERT, Level.CALM, ""),
        (90, AtCap.REJECT_ALERT, Level.CALM, "room for 10 more, and without room tasks that die stay pending"),
        (100, AtCap.REJECT_ALERT, Level.ACT, "room for 0 more"),
        (90, AtCap.DROP_OLDEST, Level.CALM, "room for 10 more, and without room the oldest is dropped"),
        (100, AtCap.DROP_OLDEST, Level.CALM, "room for 0 more"),
    ],
)
def test_advice_warns_before_there_is_no_room(entries, at_cap, level, said):
    """From nine tenths on; a queue that refuses asks for action whatever its thresholds are (D2)."""
    policy = DeadLetterPolicy(max_entries=100, at_cap=at_cap, look_at=1000, act_at=2000)

    advice = advise(Statistics(entries=entries, oldest_s=1.0), policy)

    assert advice.level is level
    assert said in "".join(advice.recommendations)
    assert bool(advice.recommendations) == bool(said)


@pytest.mark.parametrize(
    ("days", "said"), [(26.9, ""), (27.1, "dropped by age in 2.9 days"), (29.5, "dropped by age in 0.5 days")]
)
def test_advice_warns_before_the_oldest_is_dropped(days, said):
    """In the last tenth of its retention (D3)."""
    advice = advise(Statistics(entries=1, oldest_s=days * 86_400), DeadLetterPolicy())

    assert (advice.level, bool(advice.recommendations)) == (Level.CALM, bool(said))
    assert said in "".join(advice.recommendations)


def test_held_tells_one_delivery_from_the_next():
    """What a worker holds is compared by value."""
    assert Held("1-0", "a", 1) != Held("1-0", "a", 2)
