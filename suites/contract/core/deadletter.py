"""What a queue of dead letters must keep (D1 to D5), for any implementation.

A suite derives from `DeadLetterContract` and gives it a fixture `letters`, an adapter as `Adapter` says.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import pytest

from suites.support.core.fates import Died
from suites.support.dice import dice_of

ODD = [
    b"",
    b"plain",
    b" \t spaced \r\n",
    b"\x00\xff\n\r|=",
    bytes(range(256)),
    "ü€😀".encode(),
    b'{"a": 1.0000000000000001}',
    b"x" * 100_000,
]


class Adapter(Protocol):
    """An implementation of dead letters, with a source that hands tasks out; it shares nothing with other tests.

    Attributes:
        full: What a move raises for which there is no room.
    """

    full: type[Exception]

    async def produce(self, *payloads: bytes) -> list[Any]:
        """Put tasks into the source and hand them to a consumer; return them as it holds them."""

    async def take(self) -> list[Any]:
        """Hand all new tasks of the source to the consumer."""

    async def bury(
        self, held: Any, *, dies_after: int | None = None, max_entries: int = 10_000, at_cap: str = "reject_alert"
    ) -> None:
        """Move a task that failed; the process raises `Died` instead of its next command once it has sent so many."""

    async def replay(self, entry: str, *, dies_after: int | None = None) -> None:
        """Put a dead letter back into its source; likewise."""

    async def dead(self) -> dict[str, bytes]:
        """Return the payloads of the dead letters by their ids, the oldest first."""

    async def queued(self) -> list[bytes]:
        """Return the payloads of the tasks in the source, whether they were handed out or not."""

    async def dropped(self) -> int:
        """Return how many dead letters were dropped for want of room, as told."""


class DeadLetterContract:
    """The invariants of dead letters."""

    async def test_task_is_in_one_place_wherever_its_mover_dies(self, letters: Adapter):
        """Before its first command, after it, and between any two: where it was or where it goes (D1)."""
        deaths = 0
        for dies_after in range(20):
            payload = b"%d" % dies_after
            (held,) = await letters.produce(payload)
            try:
                await letters.bury(held, dies_after=dies_after)
                break
            except Died:
                deaths += 1
                assert [*await letters.queued(), *(await letters.dead()).values()].count(payload) == 1

        assert deaths >= 1, "a move sends something"
        assert payload in (await letters.dead()).values()
        assert payload not in await letters.queued()

    async def test_dead_letter_is_in_one_place_wherever_its_replayer_dies(self, letters: Adapter):
        """Likewise on the way back (D1, D4)."""
        for dies_after in range(20):
            payload = b"%d" % dies_after
            (held,) = await letters.produce(payload)
            await letters.bury(held)
            entry = next(each for each, found in (await letters.dead()).items() if found == payload)
            try:
                await letters.replay(entry, dies_after=dies_after)
                break
            except Died:
                assert [*await letters.queued(), *(await letters.dead()).values()].count(payload) == 1

        assert payload in await letters.queued()
        assert payload not in (await letters.dead()).values()

    @pytest.mark.parametrize("at_cap", ["reject_alert", "drop_oldest"])
    @pytest.mark.parametrize("seed", range(3))
    async def test_no_task_is_lost_in_silence(self, letters: Adapter, seed, at_cap):
        """Moves and replays by several at a time, some of whom die: all that was produced is accounted for (D1, D2)."""
        dice, produced = dice_of(seed), 0

        async def act(held) -> None:
            dies_after = dice.choice([None, None, 0, 1])
            try:
                await letters.bury(held, dies_after=dies_after, max_entries=7, at_cap=at_cap)
                if dice.random() < 0.3 and (dead := await letters.dead()):
                    await letters.replay(dice.choice(sorted(dead)), dies_after=dies_after)
            except (Died, letters.full):
                pass

        for _ in range(6):
            batch = [b"%d" % (produced + number) for number in range(dice.randrange(1, 6))]
            produced += len(batch)
            await asyncio.gather(*(act(held) for held in await letters.produce(*batch)))
            assert len(await letters.dead()) <= 7
        left = [*await letters.queued(), *(await letters.dead()).values()]

        assert len(left) + await letters.dropped() == produced
        assert len(set(left)) == len(left)
        assert at_cap == "drop_oldest" or await letters.dropped() == 0

    async def test_cap_is_exact_and_refuses(self, letters: Adapter):
        """The last place is taken; the next task stays pending at its source (D1, D2)."""
        held = await letters.produce(*(b"%d" % number for number in range(6)))
        for each in held[:5]:
            await letters.bury(each, max_entries=5)

        with pytest.raises(letters.full):
            await letters.bury(held[5], max_entries=5)

        assert list((await letters.dead()).values()) == [b"0", b"1", b"2", b"3", b"4"]
        assert await letters.queued() == [b"5"]

    async def test_cap_is_exact_and_drops_the_oldest_with_a_count(self, letters: Adapter):
        """Never more than there may be, and never a silent loss (D1, D2)."""
        for number, each in enumerate(await letters.produce(*(b"%d" % number for number in range(8)))):
            await letters.bury(each, max_entries=5, at_cap="drop_oldest")
            assert len(await letters.dead()) == min(number + 1, 5)

        assert list((await letters.dead()).values()) == [b"3", b"4", b"5", b"6", b"7"]
        assert await letters.dropped() == 3
        assert await letters.queued() == []

    async def test_task_moved_by_several_at_a_time_is_there_once(self, letters: Adapter):
        """Two workers that both believe to have it (D1)."""
        (held,) = await letters.produce(b"once")

        await asyncio.gather(*(letters.bury(held) for _ in range(10)))

        assert list((await letters.dead()).values()) == [b"once"]
        assert await letters.queued() == []

    async def test_dead_letter_replayed_by_several_at_a_time_is_delivered_once(self, letters: Adapter):
        """Two operators, or one who is impatient (D4)."""
        (held,) = await letters.produce(b"once")
        await letters.bury(held)
        (entry,) = await letters.dead()

        await asyncio.gather(*(letters.replay(entry) for _ in range(10)))

        assert await letters.queued() == [b"once"]
        assert len(await letters.take()) == 1
        assert await letters.dead() == {}

    async def test_poison_returns_once_for_each_replay(self, letters: Adapter):
        """What fails again is one dead letter again, under another id (D4)."""
        (held,) = await letters.produce(b"poison")
        seen = set()
        for _ in range(3):
            await letters.bury(held)
            (entry,) = await letters.dead()
            seen.add(entry)
            await letters.replay(entry)
            (held,) = await letters.take()

        assert len(seen) == 3
        assert await letters.dead() == {}

    @pytest.mark.parametrize("payload", ODD, ids=range(len(ODD)))
    async def test_payload_stays_the_same_byte_for_byte(self, letters: Adapter, payload):
        """There, and back in its source (D5)."""
        (held,) = await letters.produce(payload)
        await letters.bury(held)
        ((entry, there),) = (await letters.dead()).items()
        await letters.replay(entry)

        assert there == payload
        assert await letters.queued() == [payload]
