"""The batch processor in simulated time: the contract, and what is ours alone; Q1 to Q7 are named where they are held."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.reference.core.batch import BatchClosed, BatchFull, BatchMismatch, BatchPolicy, BatchProcessor, WhenFull
from suites.contract.core.batch import BatchContract, Handler
from suites.support.core.batches import OurBatches
from suites.support.core.simulated import clock, in_simulated_time, until_settled


class TestOurBatches(BatchContract):
    """Ours."""

    @pytest.fixture
    def offer(self):
        return OurBatches()


def submitting(processor: BatchProcessor, *items) -> list[asyncio.Task]:
    return [asyncio.create_task(processor.submit(item)) for item in items]


class Away(Exception):  # noqa: N818 - a server's
    """The server that the handler asks is away."""


@in_simulated_time
async def test_batch_of_a_server_that_is_away_fails_as_it_is():
    """An error that no item is the cause of is not tried in halves: it would only ask the server again."""

    async def refuse(items):
        calls.append(len(items))
        raise Away("no answer")

    calls: list[int] = []
    processor = BatchProcessor("any", refuse, BatchPolicy(max_items=8), poison=(ValueError,))

    outcomes = await asyncio.gather(*submitting(processor, *range(8)), return_exceptions=True)

    assert calls == [8]
    assert all(isinstance(outcome, Away) for outcome in outcomes)
    assert (processor.stats().failed, processor.stats().split) == (8, 0)


@in_simulated_time
async def test_batch_finds_one_bad_item_of_a_hundred_in_few_calls():
    """By halves: twice the logarithm, and not a call for each item (Q3)."""
    handler = Handler(poison=[37])
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=128))

    outcomes = await asyncio.gather(*submitting(processor, *range(128)), return_exceptions=True)

    assert sum(isinstance(outcome, ValueError) for outcome in outcomes) == 1
    assert len(handler.calls) == 15
    assert processor.stats().split == 7
    assert handler.order == [item for item in range(128) if item != 37]


@in_simulated_time
async def test_batch_takes_an_exception_among_the_results_for_the_error_of_one_item():
    """A handler that can tell its items apart needs no halves."""

    async def handle(items):
        return [ValueError(f"not {item}") if item == 2 else item for item in items]

    processor = BatchProcessor("any", handle, BatchPolicy(max_items=3))

    first, second, third = submitting(processor, 1, 2, 3)

    with pytest.raises(ValueError, match="not 2"):
        await second
    assert (await first, await third) == (1, 3)
    assert (processor.stats().handled, processor.stats().failed, processor.stats().split) == (2, 1, 0)


@in_simulated_time
@pytest.mark.parametrize("results", [[], [1], [1, 2, 3], None])
async def test_batch_gives_no_item_the_result_of_another(results):
    """Where there are too few or too many, none of them can be told apart (Q1)."""

    async def handle(_items):
        return results

    processor = BatchProcessor("any", handle, BatchPolicy(max_items=2))

    outcomes = await asyncio.gather(*submitting(processor, 1, 2), return_exceptions=True)

    if results is None:
        assert all(isinstance(outcome, TypeError) for outcome in outcomes)
    else:
        assert all(isinstance(outcome, BatchMismatch) for outcome in outcomes)
        assert str(outcomes[0]) == f"any: 2 items were handled, and {len(results)} results came of it"
    assert processor.stats().failed == 2


@in_simulated_time
async def test_batch_leaves_out_the_item_of_a_submitter_that_left_before_it_was_taken():
    """It is not handled, and makes room (Q4)."""
    handler = Handler()
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=3, max_queued=3, max_age_s=1))
    first, second = submitting(processor, 1, 2)
    await until_settled()

    first.cancel()
    await until_settled()

    stats = processor.stats()
    assert (stats.queued, stats.withdrawn, stats.submitted) == (1, 1, 2)
    assert await second == 4
    assert handler.calls == [(1.0, [2])]


@in_simulated_time
async def test_batch_counts_the_age_of_those_who_are_left():
    """Where the oldest has left, the next oldest says when (Q2)."""
    handler = Handler()
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=3, max_age_s=1))
    (first,) = submitting(processor, 1)
    await asyncio.sleep(0.4)
    (second,) = submitting(processor, 2)
    await until_settled()

    first.cancel()
    await second

    assert [(pytest.approx(when_s), items) for when_s, items in handler.calls] == [(1.4, [2])]


@in_simulated_time
async def test_batch_counts_no_submitter_that_has_left_towards_a_full_batch():
    """Three of four have left: the fourth waits its time for others."""
    handler = Handler()
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=4, max_age_s=1))
    submitted = submitting(processor, 1, 2, 3)
    await until_settled()
    for task in submitted:
        task.cancel()
    await until_settled()

    assert await processor.submit(4) == 8

    assert handler.calls == [(1.0, [4])]
    assert (processor.stats().aged, processor.stats().full) == (1, 0)


@in_simulated_time
async def test_batch_of_no_age_holds_what_came_in_one_turn_of_the_loop():
    """Nobody waits, and those that ask at once are handled together."""
    handler = Handler()
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=100, max_age_s=0))

    await asyncio.gather(*submitting(processor, *range(10)))

    assert handler.calls == [(0.0, list(range(10)))]


@in_simulated_time
async def test_batch_lets_others_overtake_a_key_that_is_being_handled():
    """One slow key holds up its own items and no others (Q6)."""

    async def handle(items):
        handled.append(items)
        await asyncio.sleep(10 if items[0] == "slow-1" else 0)
        return items

    handled: list[list[str]] = []
    policy = BatchPolicy(max_items=1, concurrency=2, max_age_s=0)
    processor = BatchProcessor("any", handle, policy, key=lambda item: item.split("-")[0])
    slow = submitting(processor, "slow-1", "slow-2")
    await until_settled()

    await processor.submit("quick-1")

    assert clock().now() == 0
    assert handled == [["slow-1"], ["quick-1"]]
    assert await asyncio.gather(*slow) == ["slow-1", "slow-2"]
    assert handled[-1] == ["slow-2"]
    assert clock().now() == 10


@in_simulated_time
async def test_batch_holds_together_what_has_one_key_and_comes_together():
    """A key costs no batch of its own for each of its items (Q6)."""
    handler = Handler(takes_s=1)
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=4, concurrency=2), key=lambda _: "one")

    await asyncio.gather(*submitting(processor, *range(10)))

    assert [items for _, items in handler.calls] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert handler.most == 1


@in_simulated_time
async def test_batch_of_a_held_item_whose_submitter_left_is_begun_without_it():
    """It is not handled when its key's turn comes (Q4)."""
    handler = Handler(takes_s=1)
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=1, max_queued=2), key=lambda _: "one")
    first, second, third = submitting(processor, 1, 2, 3)
    await until_settled()
    assert processor.stats().queued == 2

    second.cancel()
    await asyncio.gather(first, third)

    assert handler.order == [1, 3]


@in_simulated_time
async def test_batch_gives_room_to_those_who_wait_for_it_in_their_order():
    """One that left while it waited takes none, and neither does one that left as it was let in (Q6)."""
    handler = Handler(takes_s=1)
    policy = BatchPolicy(max_items=1, concurrency=1, max_queued=1)
    processor = BatchProcessor("any", handler, policy)
    submitted = submitting(processor, *range(6))
    await until_settled()
    assert processor.stats().waiting_for_room == 4

    submitted[2].cancel()
    await until_settled()
    assert processor.stats().waiting_for_room == 3
    await asyncio.sleep(0.999)
    clock().call_at(1.0, lambda: clock().call_soon(clock().call_soon, submitted[3].cancel))
    await asyncio.wait(submitted)

    assert submitted[3].cancelled()
    assert [task.result() for task in submitted if not task.cancelled()] == [0, 2, 8, 10]
    assert handler.order == [0, 1, 4, 5]


@in_simulated_time
async def test_batch_lets_no_newcomer_overtake_those_who_wait_for_room():
    """Room that was made belongs to the first of them, even if another asks in that very moment (Q6)."""
    handler = Handler(takes_s=1)
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=1, concurrency=1, max_queued=1))

    async def submit_and_again() -> None:
        await processor.submit(0)
        await processor.submit(9)

    first = asyncio.create_task(submit_and_again())
    await asyncio.gather(first, *submitting(processor, 1, 2))

    assert handler.order == [0, 1, 2, 9]


@in_simulated_time
async def test_batch_gives_the_room_of_one_that_left_to_one_that_waits():
    """At once, and not when the next batch begins (Q4)."""
    policy = BatchPolicy(max_items=2, concurrency=1, max_queued=2)
    processor = BatchProcessor("any", Handler(takes_s=1), policy)
    submitted = submitting(processor, *range(5))
    await until_settled()
    assert (processor.stats().queued, processor.stats().waiting_for_room) == (2, 1)

    submitted[2].cancel()
    await until_settled()

    assert (processor.stats().queued, processor.stats().waiting_for_room) == (2, 0)
    assert await asyncio.gather(*submitted[3:]) == [6, 8]
    await asyncio.gather(*submitted[:2])


@in_simulated_time
async def test_batch_hands_out_a_future_whose_cancelling_withdraws_the_item():
    """`put` waits for room only."""
    handler = Handler()
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=2, max_age_s=1))

    first, second = await processor.put(1), await processor.put(2)
    third = await processor.put(3)
    third.cancel()

    assert (await first, await second) == (2, 4)
    await asyncio.sleep(2)
    assert handler.order == [1, 2]


@in_simulated_time
async def test_batch_that_refuses_names_itself_and_counts():
    """And takes the next as soon as there is room."""
    handler = Handler(takes_s=1)
    policy = BatchPolicy(max_items=1, concurrency=1, max_queued=1, when_full=WhenFull.REJECT)
    processor = BatchProcessor("mail", handler, policy)
    submitted = submitting(processor, 1, 2)
    await until_settled()

    with pytest.raises(BatchFull, match=r"^mail: the queue is full$") as refused:
        await processor.submit(3)
    assert refused.value.processor == "mail"
    assert processor.stats().rejected == 1

    await submitted[0]
    assert await processor.submit(4) == 8
    await submitted[1]


@in_simulated_time
async def test_batch_says_at_its_end_which_items_may_have_been_handled():
    """Those that were taken may, those that waited cannot (Q5)."""
    handler = Handler(takes_s=3600)
    processor = BatchProcessor("any", handler, BatchPolicy(max_items=2, concurrency=1), key=lambda item: item % 2)
    submitted = submitting(processor, *range(5))
    await asyncio.sleep(1)

    await processor.close(within_s=1)

    outcomes = await asyncio.gather(*submitted, return_exceptions=True)
    assert [outcome.may_have_acted for outcome in outcomes] == [True, True, False, False, False]
    assert str(outcomes[0]) == "any: closed while the item was being handled"
    assert str(outcomes[4]) == "any: closed before the item was handled"
    stats = processor.stats()
    assert (stats.failed, stats.queued, stats.in_flight, stats.running) == (5, 0, 0, 0)


@in_simulated_time
async def test_batch_does_not_wait_at_its_end_for_a_handler_that_will_not_be_cancelled():
    """Its submitters have their answer, and closing its end (Q5)."""

    async def stubborn(items):
        while clock().now() < 100:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                continue
        return items

    processor = BatchProcessor("any", stubborn, BatchPolicy(max_items=1))
    (submitted,) = submitting(processor, 1)
    await asyncio.sleep(1)

    await processor.close(within_s=2)

    assert clock().now() == pytest.approx(3.1)
    with pytest.raises(BatchClosed):
        await submitted
    await asyncio.sleep(200)
    assert (processor.stats().failed, processor.stats().handled) == (1, 0)


@in_simulated_time
async def test_batch_that_is_cancelled_while_it_closes_leaves_no_submitter_behind():
    """A second signal: those left have their error there and then (Q5)."""
    processor = BatchProcessor("any", Handler(takes_s=3600), BatchPolicy(max_items=1, concurrency=1))
    submitted = submitting(processor, *range(3))
    await until_settled()
    closing = asyncio.create_task(processor.close(within_s=3600))
    await asyncio.sleep(1)

    closing.cancel()
    await asyncio.wait([closing])

    assert closing.cancelled()
    assert all(isinstance(each, BatchClosed) for each in await asyncio.gather(*submitted, return_exceptions=True))
    await processor.close(within_s=1)
    with pytest.raises(BatchClosed):
        await processor.put(1)


@in_simulated_time
async def test_batch_counts_why_each_batch_began():
    """Enough items, the age of the oldest, the end."""
    processor = BatchProcessor("any", Handler(), BatchPolicy(max_items=2, max_age_s=1))
    await asyncio.gather(*submitting(processor, 1, 2))
    await processor.submit(3)
    submitted = submitting(processor, 4)
    await until_settled()
    await processor.close(within_s=1)
    await asyncio.gather(*submitted)

    stats = processor.stats()
    assert (stats.full, stats.aged, stats.drained) == (1, 1, 1)
    assert (stats.submitted, stats.handled) == (4, 4)
