"""What every token bucket must keep, and a window as far as it is one of the same size: L1 to L8, written once for any of them.

An adapter builds a limiter and says what it offers; what it does not offer is skipped as such and no failure. A suite
of one limiter is a subclass with a fixture `adapter`.

A limiter may have a clock that the suite moves, or live in real time, as one does that goes by its server's. So each
test says what must hold of the time that has passed by the limiter's own clock, and needs at most tenths of a second
of it where it is real.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from math import floor
from typing import TYPE_CHECKING, Literal, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

Outage = Literal["open", "closed", "local"]

NEVER = 1e-3
"""A rate at which nothing is refilled while a test lasts, tokens a second."""


class Limited(Protocol):
    """One limiter under test."""

    def ask(self, key: str, n: int = 1) -> float:
        """Ask once; return 0 if admitted, else the seconds that it said to wait, infinite if it does not say."""

    def ask_at_once(self, key: str, times: int) -> list[float]:
        """Ask so often as much at once as callers of this limiter can; return what each was told."""

    def now(self) -> float:
        """Return the seconds of the clock that it goes by, or of one that runs alike."""

    def wait(self, seconds: float) -> None:
        """Let so much of its time pass."""


class LimiterAdapter(Protocol):
    """How a limiter is built.

    Attributes:
        offers: Of `refills` (token by token, as a bucket does, and not by whole windows), `burst` (any size at any rate,
            and not only what fills in whole seconds), `sizes` (n tokens at once), `refuses_never_fitting` (more than a
            bucket holds is an error), `retry_after`, `many_keys` (thousands at a time, none forgotten early),
            `slow_rates` (less than one a second), `shared` (by hosts, each with a clock of its own), and of
            `outage-open`, `outage-closed`, `outage-local`.
    """

    offers: frozenset[str]

    def build(self, rate_per_s: float, burst: int) -> AbstractContextManager[Limited]:
        """Return a limiter with buckets that nothing has been taken from yet."""

    def build_without_server(self, burst: int, outage: Outage) -> AbstractContextManager[Limited]:
        """Return a limiter of the rate `NEVER` whose server is dead; it has half of the shared bucket for itself."""


class LimiterContract:
    """The suite; give it a fixture `adapter`."""

    @pytest.fixture
    def adapter(self) -> LimiterAdapter:
        raise NotImplementedError

    @contextmanager
    def built(self, adapter: LimiterAdapter, rate_per_s: float, burst: int) -> Iterator[Limited]:
        if rate_per_s < 1:
            need(adapter, "slow_rates")
        if burst % rate_per_s:
            need(adapter, "burst")
        with adapter.build(rate_per_s, burst) as limited:
            yield limited

    @pytest.mark.parametrize(
        ("rate_per_s", "burst"), [(100, 100), (100, 40), (1000, 1), (50, 120), (0.1, 5), (10_000, 7)]
    )
    def test_admits_burst_and_rate_and_no_more(self, adapter, rate_per_s, burst):
        """Asked over and over with pauses: in any interval of t seconds at most burst + rate * t + 1 (L1, L4)."""
        with self.built(adapter, rate_per_s, burst) as limited:
            admitted = []
            for pause_s in (0, 0.02, 0.05):
                limited.wait(pause_s)
                for _ in range(burst + 20):
                    asked_s = limited.now()
                    if limited.ask("demand") == 0:
                        admitted.append((asked_s, limited.now()))

        for first, (begin_s, _) in enumerate(admitted):
            for index in range(first, len(admitted), 7):
                passed_s = admitted[index][1] - begin_s
                assert index - first + 1 <= burst + rate_per_s * passed_s + 1

    @pytest.mark.parametrize(("rate_per_s", "burst"), [(10, 10), (10, 20), (10, 40)])
    def test_loses_no_token_under_demand(self, adapter, rate_per_s, burst):
        """Asked until it refuses after each of some pauses, it has given all that was refilled meanwhile (L2)."""
        need(adapter, "refills")
        with self.built(adapter, rate_per_s, burst) as limited:
            assert self.drain(limited, "demand", burst) >= burst
            empty_s, count = limited.now(), 0
            for _ in range(3):
                limited.wait(0.25)  # far from what fills it, which would lose some
                asked_s = limited.now()
                count += self.drain(limited, "demand", burst)

        assert count >= floor(rate_per_s * (asked_s - empty_s)) - 1

    def test_charges_nothing_for_a_rejection(self, adapter):
        """A hundred rejections, and more while it refills, do not put off what it gives next (L3)."""
        with self.built(adapter, 10, 10) as limited:
            self.drain(limited, "refused", 10)
            admitted_s = limited.now()
            for _ in range(100):
                if limited.ask("refused") == 0:
                    admitted_s = limited.now()
            while limited.now() < admitted_s + 1.2 * next_s(adapter):
                limited.wait(0.4 * next_s(adapter))
                if limited.ask("refused") == 0:
                    return

            assert limited.ask("refused") == 0

    def test_charges_a_large_rejection_nothing(self, adapter):
        """Refused the whole bucket, a client still gets what is in it (L3)."""
        need(adapter, "sizes")
        with self.built(adapter, NEVER, 10) as limited:
            assert limited.ask("large", 4) == 0
            assert limited.ask("large", 7) > 0
            assert limited.ask("large", 6) == 0
            assert limited.ask("large") > 0

    def test_is_full_after_a_rest_and_no_fuller(self, adapter):
        """Rested for four times what it takes to fill, a bucket gives its burst again and not four of them (L1, L5)."""
        with self.built(adapter, 20, 4) as limited:
            self.drain(limited, "rested", 4)
            limited.wait(0.8)
            begin_s = limited.now()
            count = sum(limited.ask("rested") == 0 for _ in range(16))

            assert 4 <= count <= 4 + 20 * (limited.now() - begin_s) + 1

    def test_charges_what_is_asked_for(self, adapter):
        """Three, three and three of ten leave one (L1)."""
        need(adapter, "sizes")
        with self.built(adapter, NEVER, 10) as limited:
            assert [limited.ask("sizes", 3) == 0 for _ in range(4)] == [True, True, True, False]
            assert limited.ask("sizes", 1) == 0
            assert limited.ask("sizes", 1) > 0

    def test_refuses_what_no_bucket_holds(self, adapter):
        """More than the burst is an error and not a wait that never ends (L6)."""
        need(adapter, "sizes", "refuses_never_fitting")
        with self.built(adapter, 10, 10) as limited, pytest.raises(ValueError, match=r"."):
            limited.ask("never", 11)

    def test_says_honestly_when_to_come_back(self, adapter):
        """What it says to wait is enough, and not much more than enough (L6)."""
        need(adapter, "retry_after")
        with self.built(adapter, 10, 5) as limited:
            self.drain(limited, "honest", 5)
            wait_s = limited.ask("honest") or limited.ask("honest")  # a token may have come in between

            assert 0 < wait_s <= 0.1 + 1e-3
            limited.wait(wait_s)
            assert limited.ask("honest") == 0

    def test_says_how_long_for_as_many_as_are_asked_for(self, adapter):
        """Four at ten a second are 0.4 s away, less what has passed (L6)."""
        need(adapter, "retry_after", "sizes")
        with self.built(adapter, 10, 5) as limited:
            begin_s = limited.now()
            limited.ask("honest", 5)
            wait_s = limited.ask("honest", 4)

            assert 0.4 - (limited.now() - begin_s) - 1e-3 <= wait_s <= 0.4 + 1e-3
            limited.wait(wait_s)
            assert limited.ask("honest", 4) == 0

    def test_keeps_clients_apart(self, adapter):
        """What one client takes, another still has (L7)."""
        with self.built(adapter, NEVER, 5) as limited:
            assert self.drain(limited, "greedy", 5) == 5
            assert self.drain(limited, "modest", 5) == 5
            assert limited.ask("greedy") > 0

    def test_hides_no_client_behind_others(self, adapter):
        """Limited stays limited, however many other clients come by (L1, L7)."""
        need(adapter, "many_keys")
        with self.built(adapter, NEVER, 2) as limited:
            self.drain(limited, "hidden", 2)
            for other in range(1100):
                limited.ask(f"other-{other}")

            assert limited.ask("hidden") > 0

    def test_holds_its_bound_for_callers_at_once(self, adapter):
        """Two hundred at once get the burst and what was refilled meanwhile (L1, L2)."""
        with self.built(adapter, 60, 60) as limited:
            interval_s, begin_s = sys.getswitchinterval(), limited.now()
            sys.setswitchinterval(1e-5)
            try:
                told = limited.ask_at_once("crowd", 200)
            finally:
                sys.setswitchinterval(interval_s)

            assert 60 <= told.count(0) <= 60 + 60 * (limited.now() - begin_s) + 1

    @pytest.mark.parametrize("hours", [1, -1])
    def test_does_not_go_by_the_wall_clock(self, adapter, hours):
        """A step of the wall clock neither fills a bucket nor freezes it (T1)."""
        with self.built(adapter, 10, 10) as limited:
            begin_s = limited.now()
            count = self.drain(limited, "stepped", 10)
            with wall_clock_ahead(hours * 3600):
                count += self.drain(limited, "stepped", 10)
                assert count <= 10 + 10 * (limited.now() - begin_s) + 1
                limited.wait(1.2 * next_s(adapter))
                assert limited.ask("stepped") == 0

    def test_does_not_go_by_the_clocks_of_those_that_ask(self, adapter):
        """Hosts of which one is behind and one ahead get together what one of them would (L1)."""
        need(adapter, "shared")
        with self.built(adapter, 10, 10) as limited:
            begin_s, count = limited.now(), 0
            for seconds in (-0.6, 0.6, -0.6, 0.6):
                with wall_clock_ahead(seconds):
                    count += self.drain(limited, "hosts", 10)

            assert count <= 10 + 10 * (limited.now() - begin_s) + 1

    @pytest.mark.parametrize(("outage", "count"), [("open", 20), ("closed", 0), ("local", 5)])
    def test_does_what_was_chosen_for_an_outage(self, adapter, outage, count):
        """Without its server it lets all through, or none, or its half of ten, and takes no long time over it (L8)."""
        need(adapter, f"outage-{outage}")
        with adapter.build_without_server(10, outage) as limited:
            begin_s = time.monotonic()
            assert sum(limited.ask("outage") == 0 for _ in range(20)) == count
            assert time.monotonic() - begin_s < 20 * 0.05 + 1

    def test_keeps_clients_apart_in_an_outage(self, adapter):
        """Each client has its own share of its own bucket (L7, L8)."""
        need(adapter, "outage-local")
        with adapter.build_without_server(10, "local") as limited:
            assert [self.drain(limited, key, 10) for key in ("greedy", "modest")] == [5, 5]

    @staticmethod
    def drain(limited: Limited, key: str, burst: int) -> int:
        """Ask until it refuses; return how often it did not. A limiter that never refuses ends it, too."""
        for count in range(100 * burst + 1000):
            if limited.ask(key) > 0:
                return count
        pytest.fail(f"admitted {count} in a row of a bucket of {burst}")


def need(adapter: LimiterAdapter, *offers: str) -> None:
    """Skip what this limiter does not claim to do."""
    if missing := sorted({*offers} - adapter.offers):
        pytest.skip(f"not offered: {', '.join(missing)}")


def next_s(adapter: LimiterAdapter) -> float:
    """Return when a limiter of ten a second that has given ten gives again, seconds after the last."""
    return 0.1 if "refills" in adapter.offers else 1.0


@contextmanager
def wall_clock_ahead(seconds: float) -> Iterator[None]:
    """Let the wall clock be so far ahead of what it is."""
    wall, wall_ns = time.time, time.time_ns
    time.time, time.time_ns = lambda: wall() + seconds, lambda: wall_ns() + round(seconds * 1e9)
    try:
        yield
    finally:
        time.time, time.time_ns = wall, wall_ns
