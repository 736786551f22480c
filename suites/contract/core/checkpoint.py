"""What checkpoints must keep (K1 to K4), for any implementation.

A suite derives from `CheckpointContract` and gives it a fixture `checkpoints`, an adapter as `Adapter` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from suites.support.core.fates import Died
from suites.support.dice import dice_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DAY_S = 86_400.0
STEPS = ("reserve", "charge", "ship")


class ClaimAdapter(Protocol):
    """One worker's hold on one run."""

    async def step(self, name: str, effect: Callable[[str], Awaitable[bytes]], *, idempotent: bool) -> bytes:
        """Let an effect happen once; it is given its idempotency key."""


class Adapter(Protocol):
    """An implementation of checkpoints; its runs share nothing with those of other tests.

    Attributes:
        fenced: What a claim that is not the newest raises.
        uncertain: What a step raises that may have happened and must not happen twice.
    """

    fenced: type[Exception]
    uncertain: type[Exception]

    async def claim(self, run: str, *, dies_after: int | None = None) -> ClaimAdapter:
        """Claim a run; the process raises `Died` instead of its next command once it has sent `dies_after`."""

    async def done(self, run: str) -> set[str]:
        """Return the names of the steps that are done."""

    async def left_s(self, run: str) -> float:
        """Return until when the run is known, seconds from now."""


class Receiver:
    """What effects happen to.

    Attributes:
        calls: Effects that arrived, by the name of their step, count.
        seen: Idempotency keys, by the name of their step: an idempotent receiver acts once for each.
    """

    def __init__(self) -> None:
        self.calls = dict.fromkeys(STEPS, 0)
        self.seen: dict[str, set[str]] = {name: set() for name in STEPS}

    def effect(self, name: str, *, dies: str = "") -> Callable[[str], Awaitable[bytes]]:
        """Return an effect in whose process death comes `before` or `after` it arrives, or not."""

        async def arrive(key: str) -> bytes:
            if dies == "before":
                raise Died
            self.calls[name] += 1
            self.seen[name].add(key)
            if dies == "after":
                raise Died
            return name.encode()

        return arrive


class CheckpointContract:
    """The invariants of checkpoints."""

    @pytest.mark.parametrize("idempotent", [True, False])
    async def test_run_goes_on_after_a_death_at_any_command(self, checkpoints: Adapter, idempotent):
        """An idempotent receiver acts once; another is asked at least once for what is done, and never for it again (K1)."""
        deaths = 0
        for dies_after in range(50):
            run, receiver = f"command-{idempotent}-{dies_after}", Receiver()
            try:
                claim = await checkpoints.claim(run, dies_after=dies_after)
                for name in STEPS:
                    await claim.step(name, receiver.effect(name), idempotent=idempotent)
                break
            except Died:
                deaths += 1
            await self.holds_after_a_death(checkpoints, run, receiver, idempotent=idempotent)

        assert deaths >= 2 * len(STEPS), "each step has a command before its effect and one after it"

    @pytest.mark.parametrize("dies", ["before", "after"])
    @pytest.mark.parametrize("idempotent", [True, False])
    async def test_run_goes_on_after_a_death_within_any_effect(self, checkpoints: Adapter, idempotent, dies):
        """Whether it arrived or not, what is known of the step is the same, and so is what becomes of it (K1)."""
        for last in STEPS:
            run, receiver = f"effect-{idempotent}-{dies}-{last}", Receiver()
            claim = await checkpoints.claim(run)
            for name in STEPS[: STEPS.index(last)]:
                await claim.step(name, receiver.effect(name), idempotent=idempotent)
            with pytest.raises(Died):
                await claim.step(last, receiver.effect(last, dies=dies), idempotent=idempotent)
            assert last not in await checkpoints.done(run)
            await self.holds_after_a_death(checkpoints, run, receiver, idempotent=idempotent)

    async def holds_after_a_death(
        self, checkpoints: Adapter, run: str, receiver: Receiver, *, idempotent: bool
    ) -> None:
        """Let another worker go on, and hold what it finds and leaves against the receiver."""
        before = await checkpoints.done(run)
        assert all(receiver.calls[name] >= 1 for name in before), "done, and it never happened"
        calls = dict(receiver.calls)

        claim = await checkpoints.claim(run)
        for name in STEPS:
            try:
                assert await claim.step(name, receiver.effect(name), idempotent=idempotent) == name.encode()
            except checkpoints.uncertain:
                assert not idempotent
                assert receiver.calls[name] <= 1, "asked again, though nothing says that it did not happen"
                return

        assert await checkpoints.done(run) == set(STEPS)
        assert all(len(keys) == 1 for keys in receiver.seen.values()), "an idempotent receiver would act twice"
        assert all(receiver.calls[name] == calls[name] for name in before), "it was done, and happened again"
        assert idempotent or all(count == 1 for count in receiver.calls.values())

    @pytest.mark.parametrize("seed", range(10))
    async def test_run_ends_after_any_number_of_deaths(self, checkpoints: Adapter, seed):
        """Workers that die at moments drawn by lot, one after the other: each effect happens once in the end (K1, K3)."""
        dice, run, receiver = dice_of(seed), f"lot-{seed}", Receiver()
        for _ in range(30):
            dies_after = dice.randrange(8)
            try:
                claim = await checkpoints.claim(run, dies_after=dies_after)
                for name in STEPS:
                    dies = dice.choice(["before", "after", "", "", ""])
                    await claim.step(name, receiver.effect(name, dies=dies), idempotent=True)
            except Died:
                assert all(receiver.calls[name] for name in await checkpoints.done(run))

        claim = await checkpoints.claim(run)
        results = [await claim.step(name, receiver.effect(name), idempotent=True) for name in STEPS]

        assert results == [name.encode() for name in STEPS]
        assert all(len(keys) == 1 for keys in receiver.seen.values())

    async def test_zombie_writes_nothing(self, checkpoints: Adapter):
        """A worker that was thought dead goes on after another has claimed its run: neither step is its own any more (K2)."""
        receiver = Receiver()
        zombie = await checkpoints.claim("zombie")

        async def is_overtaken(_key: str) -> bytes:
            await checkpoints.claim("zombie")
            return b"of the zombie"

        with pytest.raises(checkpoints.fenced):
            await zombie.step("reserve", is_overtaken, idempotent=True)
        assert await checkpoints.done("zombie") == set()
        with pytest.raises(checkpoints.fenced):
            await zombie.step("charge", receiver.effect("charge"), idempotent=True)
        assert receiver.calls["charge"] == 0

    async def test_same_inputs_resume_the_same(self, checkpoints: Adapter):
        """Whoever resumes is given what the first was, and no effect happens for it (K3)."""
        receiver = Receiver()
        first = await checkpoints.claim("again")
        results = [await first.step(name, receiver.effect(name), idempotent=False) for name in STEPS]

        for _ in range(3):
            later = await checkpoints.claim("again")
            assert [await later.step(name, receiver.effect(name), idempotent=False) for name in STEPS] == results

        assert receiver.calls == dict.fromkeys(STEPS, 1)

    async def test_runs_of_one_task_share_nothing(self, checkpoints: Adapter):
        """What one order has done says nothing of the next, and its receiver can tell them apart (K3)."""
        receiver = Receiver()
        for run in ("order-1", "order-2"):
            claim = await checkpoints.claim(run)
            await claim.step("charge", receiver.effect("charge"), idempotent=True)

        assert receiver.calls["charge"] == len(receiver.seen["charge"]) == 2

    async def test_run_is_known_for_seven_days_after_each_write(self, checkpoints: Adapter):
        """From the claim, from the start of a step and from its end on (K4)."""
        left_s = []

        async def look(_key: str) -> bytes:
            left_s.append(await checkpoints.left_s("kept"))
            return b""

        claim = await checkpoints.claim("kept")
        left_s.append(await checkpoints.left_s("kept"))
        await claim.step("charge", look, idempotent=True)
        left_s.append(await checkpoints.left_s("kept"))

        assert len(left_s) == 3
        assert all(6.99 * DAY_S < each <= 7 * DAY_S for each in left_s)
