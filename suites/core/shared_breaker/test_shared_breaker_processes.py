"""One outage, seen by four processes in real time through one Redis."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import pytest

from harness.clock import SystemClock
from suites.support.servers import PROJECT

PROCESSES, RECOVERY_S, LOOK_EVERY_S, DOWN_S, LASTS_S = 4, 1.0, 0.1, 0.6, 1.8
ERROR_S = 0.05
"""What the rest may be off by, beside the pauses of the processes themselves, which a busy machine makes longer."""


@dataclass(frozen=True)
class Seen:
    """What one process saw; times in seconds of the machine's clock."""

    told: list[tuple[float, str, str]]
    calls: list[tuple[float, float]]
    longest_pause_s: float
    was_alone: bool
    state: str

    def first(self, state: str) -> float:
        """When it was first told that the circuit is in this state."""
        return next(at for at, _, new in self.told if new == state)


@pytest.fixture(scope="module")
def seen(redis_port) -> list[Seen]:
    """Let them live through it, once for all tests."""
    part = {
        "port": redis_port,
        "name": f"processes-{uuid4().hex}",
        "recovery_s": RECOVERY_S,
        "look_every_s": LOOK_EVERY_S,
        "down_s": DOWN_S,
        "takes_s": 0.05,
        "lasts_s": LASTS_S,
    }
    with ExitStack() as ending:
        children = []
        for seed in range(PROCESSES):
            argv = [sys.executable, "-m", "suites.support.core.breaker_process", json.dumps({**part, "seed": seed})]
            child = subprocess.Popen(argv, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            ending.enter_context(child)
            ending.callback(child.kill)
            children.append(child)
        assert [child.stdout.readline() for child in children] == ["ready\n"] * PROCESSES
        start_s = SystemClock().now() + 0.1
        for child in children:
            child.stdin.write(f"{start_s}\n")
            child.stdin.flush()
        return [Seen(**json.loads(child.communicate(timeout=60)[0])) for child in children]


def test_one_trip_is_seen_by_all(seen):
    """Each is told of one opening, within the time that what is known is believed, and all end closed (B7)."""
    tripped_s = min(each.first("open") for each in seen)

    for each in seen:
        assert [new for _, _, new in each.told].count("open") == 1
        assert each.told[0][1:] == ["closed", "open"]
        assert each.first("open") <= tripped_s + LOOK_EVERY_S + ERROR_S + each.longest_pause_s
        assert (each.state, each.was_alone) == ("closed", False)


def test_nothing_is_asked_while_it_rests(seen):
    """From when a process was told to the end of the rest (B2)."""
    tripped_s = min(each.first("open") for each in seen)

    for each in seen:
        resting = [began for began, _ in each.calls if each.first("open") < began < tripped_s + RECOVERY_S - ERROR_S]
        assert resting == []


def test_it_is_tried_when_its_rest_is_over(seen):
    """By one clock for all: no process adds its own beginning, or whole seconds."""
    tripped_s = min(each.first("open") for each in seen)
    tried_s = min(began for each in seen for began, _ in each.calls if began > tripped_s + RECOVERY_S / 2)
    pause_s = min(each.longest_pause_s for each in seen)

    assert -ERROR_S <= tried_s - (tripped_s + RECOVERY_S) <= ERROR_S + pause_s


def test_three_probes_get_in_over_all_processes(seen):
    """Of four processes that ask two hundred times a second until it is closed again (B1)."""
    tripped_s = min(each.first("open") for each in seen)
    closed_s = min(at for each in seen for at, _, new in each.told if new == "closed")

    probes = [began for each in seen for began, _ in each.calls if tripped_s + RECOVERY_S / 2 < began < closed_s]

    assert len(probes) == 3
