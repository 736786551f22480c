"""Parts of the core taken out of the project, as one would take them into another."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.reference import core

CORE = Path(core.__file__).parent
BENEATH = {
    "balancer": [],
    "batch": [],
    "breaker": [],
    "cache": ["breaker", "redis_link"],
    "checkpoint": ["breaker", "redis_link"],
    "deadletter": ["breaker", "redis_link"],
    "limiter": ["breaker", "redis_link"],
    "pool": [],
    "query": [],
    "redis_access": [],
    "redis_link": ["breaker"],
    "shared_breaker": ["breaker", "redis_link"],
    "store": ["breaker", "pool"],
    "worker": ["breaker", "checkpoint", "deadletter", "redis_link"],
}
ENTER = """
import sys
sys.path.insert(0, {folder!r})
from taken.{part} import *
print(*sorted(name.removeprefix("taken.") for name in sys.modules if name.startswith("taken.") and "._" not in name))
"""
USE_THE_BREAKER = """
import sys, time
from random import Random
sys.path.insert(0, {folder!r})
from breaker import Breaker, BreakerPolicy, CircuitOpen

class Machine:
    now = staticmethod(time.monotonic)

breaker = Breaker("any", BreakerPolicy(failures=2), clock=Machine(), random=Random(1))
for _ in range(2):
    breaker.failed(breaker.admit())
try:
    breaker.admit()
except CircuitOpen as refusal:
    print(refusal.reason)
"""


def said_by(program: str, *flags: str) -> str:
    """Run a program in a Python that knows nothing of this project; return what it printed."""
    ran = subprocess.run([sys.executable, "-I", *flags, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_table_has_every_part():
    """A new part says here what must be taken along with it."""
    assert BENEATH.keys() == {each.parent.name for each in CORE.glob("*/__init__.py")}


@pytest.mark.parametrize("part", sorted(BENEATH))
def test_a_part_needs_only_what_stands_beneath_it(part, tmp_path):
    """Its folder and those beneath it can be imported wherever they land, and all of those are needed."""
    along = sorted([part, *BENEATH[part]])
    for each in along:
        shutil.copytree(CORE / each, tmp_path / "taken" / each)

    entered = said_by(ENTER.format(folder=str(tmp_path), part=part))

    assert entered.split() == along


def test_the_breaker_needs_nothing_but_the_standard_library(tmp_path):
    """Its folder alone, in a Python without any library: two failures open it."""
    shutil.copytree(CORE / "breaker", tmp_path / "breaker")

    assert said_by(USE_THE_BREAKER.format(folder=str(tmp_path)), "-S") == "open"
