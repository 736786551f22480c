"""Waiting for a service that starts: whose time it is that strangers took, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from harness.clock import FakeClock
from harness.errors import NotReadyError, StarvedError, SubjectError
from harness.stack.machine import Counters
from harness.stack.ready import StartAlibi, wait_until_ready
from harness.stack.service import Address

WITHIN_S = 10.0


@dataclass
class Starting:
    """A service that is ready, or dies, at a time of its own."""

    clock: FakeClock
    ready_s: float = 1e9
    dies_s: float = 1e9
    name: str = "replica-1"
    direct: Address = field(default_factory=lambda: Address("127.0.0.1", 1))
    ready_within_s: float = WITHIN_S

    def is_ready(self):
        return self.clock.now() >= self.ready_s

    def is_alive(self):
        return self.clock.now() < self.dies_s

    def why_not_ready(self):
        return "it listens nowhere"

    def logs(self, _tail):
        return "computing"


@dataclass
class Busy:
    """A machine of two processors that strangers keep busy until a time; half of it the service waits, if it `lacks`."""

    clock: FakeClock
    until_s: float
    lacks: bool

    def read(self):
        now_s, beside_s = self.clock.now(), min(self.clock.now(), self.until_s)
        waited_s = beside_s / 2 if self.lacks else 0.0
        threads = {(7, 7): (now_s - waited_s, waited_s)}
        return Counters(at_s=now_s, cores=2, busy_s=2 * beside_s, stolen_s=0.0, own={}, threads=threads)


def waited(until_s, *, lacks=True, is_refusing=False, is_its_own=True, is_watched=True, **told):
    """Wait for a service beside strangers that go at a time; return when that ended, and by which error."""
    clock = FakeClock()
    service = Starting(clock, **told)
    alibi = StartAlibi(Busy(clock, until_s, lacks), clock, lambda _: is_refusing)
    try:
        wait_until_ready(
            [service], clock=clock, is_its_own_doing=lambda _: is_its_own, alibi=alibi if is_watched else None
        )
    except NotReadyError as error:
        return clock.now(), error
    return clock.now(), None


ALWAYS_S = 1e9


@pytest.mark.parametrize(
    ("until_s", "told", "ends_s", "error"),
    [
        pytest.param(0, {}, 10, SubjectError, id="a quiet machine"),
        pytest.param(4, {}, 14, SubjectError, id="it had its time when strangers were gone"),
        pytest.param(ALWAYS_S, {}, 20, StarvedError, id="it never had its time"),
        pytest.param(12, {}, 20, StarvedError, id="nor when they were gone for half of it"),
        pytest.param(ALWAYS_S, {"ready_within_s": 1.0}, 6, StarvedError, id="a short time of its own"),
        pytest.param(ALWAYS_S, {"lacks": False}, 10, SubjectError, id="it lacked nothing"),
        pytest.param(ALWAYS_S, {"is_refusing": True}, 10, SubjectError, id="it answers 500"),
        pytest.param(ALWAYS_S, {"dies_s": 3.0}, 3, SubjectError, id="it dies"),
        pytest.param(15, {"dies_s": 17.0}, 17, SubjectError, id="it dies when it is late"),
        pytest.param(ALWAYS_S, {"is_its_own": False}, 10, NotReadyError, id="not the judged service"),
        pytest.param(ALWAYS_S, {"is_watched": False}, 10, SubjectError, id="a machine that tells nothing"),
        pytest.param(ALWAYS_S, {"ready_s": 9.0}, 9, None, id="ready in time"),
        pytest.param(ALWAYS_S, {"ready_s": 19.0}, 19, None, id="ready in time but for strangers"),
    ],
)
def test_a_service_has_its_time_without_strangers(until_s, told, ends_s, error):
    """Or what is left of twice its time, and then nothing is known; looks are a second apart."""
    ended_s, raised = waited(until_s, **told)

    assert ends_s <= ended_s <= ends_s + 1.1
    assert (type(raised) if raised else None) is error


def test_what_strangers_took_is_told_with_numbers():
    """Where they decide, and where they were there and do not."""
    starved, late = (waited(until_s)[1] for until_s in (ALWAYS_S, 4))

    assert starved.what == (
        "replica-1 gave no healthy answer within 20 s, but strangers had 2.0 of 2 processors in 20 of 20 s, in which the"
        " service waited for one 50% of its time"
    )
    assert "ready_within" in starved.fix
    assert late.what == (
        "replica-1 gave no healthy answer within 10 s: it listens nowhere; 4 s that strangers took are not counted"
    )
    assert "| computing" in late.fix
    assert waited(0)[1].what == "replica-1 gave no healthy answer within 10 s: it listens nowhere"
