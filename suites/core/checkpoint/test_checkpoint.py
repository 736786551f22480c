"""Checkpoints against a real Redis: their contract (K1 to K4), and what is ours alone."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from fixtures.reference.core.breaker import Unavailable
from fixtures.reference.core.checkpoint import (
    CheckpointPolicy,
    Checkpoints,
    Fenced,
    StepChanged,
    UncertainStep,
    idempotency_key,
)
from suites.contract.core.checkpoint import CheckpointContract
from suites.support.core.checkpoint import OurCheckpoints
from suites.support.core.fates import FatedLink


@pytest.fixture
def task():
    """A task that no other test knows."""
    return f"task-{secrets.token_hex(4)}"


class TestContract(CheckpointContract):
    """Ours keep what all must keep."""

    @pytest.fixture
    def checkpoints(self, linked, task):
        return OurCheckpoints(linked, task)


@pytest.fixture
def link(linked):
    return linked(kind=FatedLink)


@pytest.fixture
def checkpoints(link):
    return Checkpoints(link, CheckpointPolicy())


class Effect:
    """An effect that notes the keys that it was given."""

    def __init__(self, result: bytes = b"result") -> None:
        self.keys: list[str] = []
        self.result = result

    async def __call__(self, key: str) -> bytes:
        self.keys.append(key)
        return self.result


async def broken(_key: str) -> bytes:
    """An effect that may have happened, or not."""
    raise ConnectionResetError


async def left_uncertain(checkpoints, task, step="charge", **options):
    """Begin a step and leave it so; return a later claim of its run."""
    claim = await checkpoints.claim(task, "1")
    with pytest.raises(ConnectionResetError):
        await claim.step(step, broken, **options)
    return await checkpoints.claim(task, "1")


async def test_each_claim_has_a_higher_fence(checkpoints, task):
    """Concurrent ones too: no two claims of a run are of one age (K2)."""
    claims = await asyncio.gather(*(checkpoints.claim(task, "1") for _ in range(20)))

    assert sorted(claim.fence for claim in claims) == list(range(1, 21))


async def test_effect_sees_its_step_started_and_not_done(checkpoints, task):
    """The order is started, effect, done: at the moment of the effect only the first is written (K1)."""
    seen = {}

    async def look(_key: str) -> bytes:
        seen.update(await checkpoints.steps(task, "1"))
        return b"result"

    claim = await checkpoints.claim(task, "1")
    await claim.step("charge", look)

    assert (seen["charge"].is_done, seen["charge"].fence, seen["charge"].result) == (False, claim.fence, b"")
    (step,) = (await checkpoints.steps(task, "1")).values()
    assert (step.is_done, step.fence, step.result) == (True, claim.fence, b"result")
    assert step.key == idempotency_key(task, "1", "charge", "")


async def test_step_says_when_it_was_written_by_the_time_of_redis(checkpoints, link, task):
    """The clock of this process has no part in it."""
    before_s = int((await link._send("TIME"))[0])
    await (await checkpoints.claim(task, "1")).step("charge", Effect())
    after_s = int((await link._send("TIME"))[0]) + 1

    assert before_s <= (await checkpoints.steps(task, "1"))["charge"].written_s <= after_s


async def test_uncertain_step_says_what_to_look_for(checkpoints, task):
    """With the key that the receiver was given, and since when (K1)."""
    later = await left_uncertain(checkpoints, task, business_key="invoice-7")
    effect = Effect()

    with pytest.raises(UncertainStep) as uncertain:
        await later.step("charge", effect, business_key="invoice-7")

    assert effect.keys == []
    assert uncertain.value.key == idempotency_key(task, "1", "charge", "invoice-7")
    assert uncertain.value.started_s == (await checkpoints.steps(task, "1"))["charge"].written_s
    assert (uncertain.value.task, uncertain.value.run, uncertain.value.step) == (task, "1", "charge")


async def test_failed_effect_is_uncertain_to_its_own_claim_too(checkpoints, task):
    """A connection that was reset says nothing of whether the request arrived (K1)."""
    claim = await checkpoints.claim(task, "1")
    with pytest.raises(ConnectionResetError):
        await claim.step("charge", broken)

    with pytest.raises(UncertainStep):
        await claim.step("charge", Effect())
    assert await claim.step("charge", Effect(b"second"), idempotent=True) == b"second"


@pytest.mark.parametrize(
    ("seen", "result", "calls"),
    [pytest.param(b"found", b"found", 0, id="it happened"), pytest.param(None, b"result", 1, id="it did not")],
)
async def test_uncertain_step_asks_its_receiver(checkpoints, task, seen, result, calls):
    """The receiver's answer is the result, or the effect happens now; either way the step is done after it (K1)."""
    later, effect, asked = await left_uncertain(checkpoints, task), Effect(), []

    async def verify(key: str) -> bytes | None:
        asked.append(key)
        return seen

    assert await later.step("charge", effect, verify=verify) == result
    assert (len(effect.keys), asked) == (calls, [idempotency_key(task, "1", "charge", "")])
    assert (await checkpoints.steps(task, "1"))["charge"].result == result


async def test_receiver_that_saw_an_empty_answer_is_believed(checkpoints, task):
    """An effect may have nothing to return, which is not the same as never having happened (K1)."""
    later, effect = await left_uncertain(checkpoints, task), Effect()

    async def verify(_key: str) -> bytes:
        return b""

    assert await later.step("charge", effect, verify=verify) == b""
    assert effect.keys == []
    assert (await checkpoints.steps(task, "1"))["charge"].is_done


async def test_certain_steps_ask_no_receiver(checkpoints, task):
    """Neither a first try nor a step that is done (K3)."""

    async def verify(_key: str) -> bytes:
        raise AssertionError("asked")

    for _ in range(2):
        claim = await checkpoints.claim(task, "1")
        assert await claim.step("charge", Effect(), verify=verify) == b"result"


async def test_step_that_is_done_for_something_else_has_no_result(checkpoints, task):
    """The result for one invoice is no answer to another, done or uncertain (K3)."""
    await (await checkpoints.claim(task, "1")).step("charge", Effect(), business_key="invoice-7")
    later, effect = await left_uncertain(checkpoints, task, step="mail", business_key="a@b"), Effect()

    with pytest.raises(StepChanged, match="charge"):
        await later.step("charge", effect, business_key="invoice-8", idempotent=True)
    with pytest.raises(StepChanged, match="mail"):
        await later.step("mail", effect, business_key="b@c", idempotent=True)
    assert effect.keys == []


async def test_keys_say_what_is_done_and_not_more():
    """Each of task, run, step and business key makes another one, wherever one ends and the next begins (K1)."""
    keys = {
        idempotency_key(*each)
        for each in [
            ("a", "b", "c", "d"),
            ("ab", "", "c", "d"),
            ("a", "bc", "", "d"),
            ("a", "b", "cd", ""),
            ("a", "b", "c", ""),
        ]
    }

    assert len(keys) == 5
    assert idempotency_key("settle-order", "17", "charge", "invoice-7") == (
        "7d82710c056cc9ce0b795aacc15d290f489d70f4b332ce430b73ccbe0ca8f71a"
    )


async def test_answer_lost_on_the_way_to_a_start_is_not_uncertain(checkpoints, link, task):
    """The claim knows that it has not called the effect yet; another one could not (K1)."""
    claim, effect = await checkpoints.claim(task, "1"), Effect()
    link.fates.append("lost")
    with pytest.raises(Unavailable):
        await claim.step("charge", effect)
    assert effect.keys == []

    assert await claim.step("charge", effect) == b"result"
    assert len(effect.keys) == 1


async def test_start_whose_answer_was_lost_is_uncertain_to_another_claim(checkpoints, link, task):
    """It cannot know how far the first one came (K1)."""
    claim = await checkpoints.claim(task, "1")
    link.fates.append("lost")
    with pytest.raises(Unavailable):
        await claim.step("charge", Effect())

    with pytest.raises(UncertainStep):
        await (await checkpoints.claim(task, "1")).step("charge", Effect())


async def test_answer_lost_after_the_effect_leaves_the_step_done(checkpoints, link, task):
    """What was written is found by the next try of the same claim, and the effect does not happen again (K1)."""
    claim, effect = await checkpoints.claim(task, "1"), Effect()
    link.fates.extend(["ok", "lost"])
    with pytest.raises(Unavailable):
        await claim.step("charge", effect)

    assert await claim.step("charge", effect) == b"result"
    assert len(effect.keys) == 1


async def test_of_two_that_resume_at_a_time_the_older_claim_is_refused(checkpoints, task):
    """Both find the step uncertain; only the newest claim may begin it again (K2)."""
    older, effect = await left_uncertain(checkpoints, task), Effect()
    newer = await checkpoints.claim(task, "1")

    results = await asyncio.gather(
        older.step("charge", effect, idempotent=True),
        newer.step("charge", effect, idempotent=True),
        return_exceptions=True,
    )

    assert isinstance(results[0], Fenced)
    assert results[1] == b"result"
    assert len(effect.keys) == 1


async def test_of_two_that_ask_the_receiver_at_a_time_one_begins(checkpoints, task):
    """Both hear that nothing happened; what was looked at is not the same any more for the second (K1)."""
    later, effect, heard = await left_uncertain(checkpoints, task), Effect(), asyncio.Barrier(2)

    async def verify(_key: str) -> None:
        await heard.wait()

    results = await asyncio.gather(
        *(later.step("charge", effect, verify=verify) for _ in range(2)),
        return_exceptions=True,
    )

    assert len(effect.keys) == 1
    assert sorted(type(each) for each in results if each != b"result") == [UncertainStep]


async def test_verified_answer_of_a_zombie_is_not_written(checkpoints, task):
    """Asking took so long that the run was claimed meanwhile (K2)."""
    older = await left_uncertain(checkpoints, task)

    async def slow(_key: str) -> bytes:
        await checkpoints.claim(task, "1")
        return b"of the zombie"

    with pytest.raises(Fenced) as fenced:
        await older.step("charge", Effect(), verify=slow)
    assert fenced.value.fence == older.fence
    assert not (await checkpoints.steps(task, "1"))["charge"].is_done


async def test_run_whose_checkpoints_are_gone_is_fenced(checkpoints, link, task):
    """After seven days, or a Redis that lost them, a claim of before must not write half a run (K2)."""
    claim, effect = await checkpoints.claim(task, "1"), Effect()
    await link._send("DEL", f"ckpt:{task}:1")

    with pytest.raises(Fenced):
        await claim.step("charge", effect)
    assert effect.keys == []
    assert await checkpoints.steps(task, "1") == {}


async def test_result_comes_back_byte_for_byte(checkpoints, task):
    """Bars, zeros, line ends and what is no text (K3)."""
    result = bytes(range(256)) * 3 + b"|done|1|2|||"

    first = await (await checkpoints.claim(task, "1")).step("charge", Effect(result))
    later = await (await checkpoints.claim(task, "1")).step("charge", Effect(b"another"))

    assert first == later == result


async def test_each_write_refreshes_the_time_to_live(link, task):
    """A run that is worked on does not end in the middle, however long it takes in all (K4)."""
    checkpoints, key = Checkpoints(link, CheckpointPolicy(ttl_s=1000)), f"ckpt:{task}:1"
    left = []

    async def shorten() -> None:
        left.append(await link._send("TTL", key))
        await link._send("EXPIRE", key, 10)

    async def effect(_key: str) -> bytes:
        await shorten()
        return b""

    claim = await checkpoints.claim(task, "1")
    await shorten()
    await claim.step("charge", effect)
    await shorten()
    await checkpoints.claim(task, "1")
    await shorten()

    assert len(left) == 4
    assert all(990 < each <= 1000 for each in left)


async def test_looking_at_a_run_neither_claims_nor_keeps_it(checkpoints, link, task):
    """An operator who looks disturbs nothing (K2, K4)."""
    claim = await checkpoints.claim(task, "1")
    await claim.step("charge", Effect())
    await link._send("EXPIRE", f"ckpt:{task}:1", 10)

    await checkpoints.steps(task, "1")

    assert await link._send("TTL", f"ckpt:{task}:1") <= 10
    assert await claim.step("mail", Effect()) == b"result"


@pytest.mark.parametrize(("task", "run"), [("", "1"), ("a", ""), ("a:b", "c")])
async def test_names_that_could_be_confused_are_refused(checkpoints, task, run):
    """`a:b` with run `c` would share its checkpoints with `a` and run `b:c` (K3)."""
    with pytest.raises(ValueError, match="without a colon"):
        await checkpoints.claim(task, run)


async def test_run_may_have_a_colon(checkpoints, task):
    """As in `2026-11-29T10:00`."""
    claim = await checkpoints.claim(task, "2026-11-29T10:00")

    assert await claim.step("charge", Effect()) == b"result"


@pytest.mark.parametrize("name", ["", "#fence"])
async def test_step_cannot_be_called_like_the_fence(checkpoints, task, name):
    """Its mark would be taken for the run's fence (K2)."""
    claim, effect = await checkpoints.claim(task, "1"), Effect()

    with pytest.raises(ValueError, match="begin with #"):
        await claim.step(name, effect)
    assert effect.keys == []
