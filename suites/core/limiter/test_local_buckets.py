"""The buckets of one process; invariants L1 to L8 are named in the tests. Any rate and burst: suites/property."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

import pytest

from fixtures.reference.core.limiter import LocalBuckets
from harness.clock import FakeClock
from suites.support.dice import dice_of


def buckets(rate_per_s=1.0, burst=5.0, *, clock=None, max_keys=100) -> LocalBuckets:
    return LocalBuckets(rate_per_s, burst, clock=clock or FakeClock(), max_keys=max_keys)


class Slow(OrderedDict):
    """Lets other threads run after each look, where they would do most harm."""

    def get(self, *arguments):
        held = super().get(*arguments)
        time.sleep(0)
        return held


def test_local_buckets_hold_their_bound_with_eight_threads():
    """Eight threads on one bucket take exactly its tokens, though each is interrupted between look and taking (L1)."""
    shared, taken, gate = buckets(burst=1000), [], threading.Barrier(8)
    shared._buckets = Slow()

    def ask() -> None:
        gate.wait(10)
        taken.append(sum(shared.take("one") == 0 for _ in range(300)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sum(taken) == 1000


@pytest.mark.parametrize("rate_per_s", [0.7, 3, 7, 10, 30])
@pytest.mark.parametrize("begin_s", [0.1, 1000.3, 1e6 + 0.7])
def test_local_buckets_admit_a_caller_who_waits_exactly_as_long_as_was_said(rate_per_s, begin_s):
    """However times and rates round: a wait that is too short by a billionth would be refused, and told again (L6)."""
    clock = FakeClock(begin_s)
    five = buckets(rate_per_s=rate_per_s, clock=clock)
    five.take("one", 5)

    for n in (1, 2, 3, 4, 5):
        clock.advance(five.take("one", n))
        assert five.take("one", n) == 0


def test_local_buckets_give_more_than_they_hold_on_credit():
    """Eight of five: given by a full bucket only, then earned before anything else is given, and never for ever."""
    clock = FakeClock()
    five = buckets(rate_per_s=2.0, burst=5, clock=clock)
    assert five.take("one", 1) == 0

    assert five.take("one", 8) == pytest.approx(0.5, abs=2e-6)  # until it is full
    clock.advance(0.5)
    assert five.take("one", 8) == 0

    assert five.take("one", 1) == pytest.approx(2.0, abs=2e-6)  # three of debt and one
    clock.advance(1.9)
    assert five.take("one", 1) > 0
    clock.advance(0.1 + 1e-9)
    assert five.take("one", 1) == 0


def test_local_buckets_give_no_fresh_bucket_to_a_client_hidden_by_others():
    """However many other clients come by, an empty bucket stays empty, and memory stays bounded (L1)."""
    hidden = buckets(rate_per_s=0.001)
    for _ in range(5):
        assert hidden.take("attacker") == 0

    for other in range(5000):
        hidden.take(f"other-{other}")

    assert hidden.take("attacker") > 0
    assert len(hidden) <= 101


def test_local_buckets_share_one_where_there_is_no_room():
    """Clients beyond the bound are limited together: they get the tokens of one bucket, not of one each."""
    crowded = buckets(rate_per_s=0.001, burst=3, max_keys=10)
    for known in range(10):
        crowded.take(f"known-{known}")

    assert sum(crowded.take(f"new-{new}") == 0 for new in range(50)) == 3
    assert crowded.take("known-9") == 0
    assert len(crowded) == 11


def test_local_buckets_forget_the_full_ones():
    """Clients that have not asked for long make room, some at each new one (L7)."""
    clock = FakeClock()
    old = buckets(clock=clock)
    for other in range(100):
        old.take(f"other-{other}")
    clock.advance(1.0)

    for new in range(20):
        assert old.take(f"new-{new}") == 0

    assert len(old) == 20


def test_local_buckets_keep_one_that_is_all_but_full():
    """A bucket that lacks a thousandth of a token is not forgotten: it would be full a moment early (L5)."""
    clock = FakeClock()
    kept = buckets(burst=1, clock=clock)
    kept.take("one")
    clock.advance(0.999)

    kept.take("new")

    assert kept.take("one") == pytest.approx(0.001, abs=2e-6)
    assert len(kept) == 2


def test_local_buckets_look_at_a_few_for_each_new_client():
    """A new client never costs a look at all others: the clock of a hundred thousand is asked once, and eight are moved."""
    many = buckets(rate_per_s=0.001, burst=2, max_keys=100_000)
    for other in range(1000):
        many.take(f"other-{other}")
    before = list(many._buckets)

    many.take("new")

    assert list(many._buckets) == [*before[8:], *before[:8], "new"]


def test_local_buckets_never_admit_more_for_being_swept():
    """Random clients and times: each stays within burst + rate * t although buckets come and go (L1, L7)."""
    clock, dice = FakeClock(), dice_of(11)
    few = buckets(rate_per_s=2.0, burst=3, clock=clock, max_keys=5)
    taken = dict.fromkeys(range(12), 0)

    for _ in range(5000):
        client = dice.randrange(12)
        taken[client] += few.take(str(client)) == 0
        clock.advance(dice.random() * 0.05)

    assert max(taken.values()) <= 3 + 2.0 * clock.now() + 1


def test_local_buckets_keep_clients_apart():
    """An empty bucket takes nothing from another, and a full one gives it nothing (L7)."""
    two = buckets(burst=3)

    assert [two.take("greedy") == 0 for _ in range(5)] == [True, True, True, False, False]
    assert [two.take("modest") == 0 for _ in range(5)] == [True, True, True, False, False]
