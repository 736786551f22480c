"""Faults on what speaks first, on a third party's API, and on a program that is known by what readiness.toml says of it.

What a server says before it is asked is no answer: each look at a fault must know the two apart.
"""

from __future__ import annotations

import pytest

from harness.clock import SystemClock
from harness.errors import MissingError
from harness.spec.faults import (
    Bandwidth,
    Down,
    HalfOpen,
    Latency,
    LimitData,
    Reset,
    Slicer,
    StaleConnections,
)
from harness.spec.system import Part
from harness.stack.backends.choice import EMBEDDED, standing
from harness.stack.blueprint import Blueprint
from harness.stack.components import COMPONENTS, redis
from harness.testing import check_action
from suites.support.servers import workspace_for
from suites.support.stack import DUMMY

CLOCK = SystemClock()
ANSWERS = "fixtures/stubs/rates.toml"
FAULTS = [
    pytest.param(HalfOpen(kind="half-open", target="mysql", stream="downstream"), id="MariaDB answers nothing"),
    pytest.param(Reset(kind="reset", target="mysql", after="120ms"), id="MariaDB resets late"),
    pytest.param(LimitData(kind="limit-data", target="mysql", size="2KB"), id="MariaDB ends in mid-answer"),
    pytest.param(Latency(kind="latency", target="smtp", delay="80ms"), id="mail late"),
    pytest.param(HalfOpen(kind="half-open", target="smtp", stream="upstream"), id="mail hears nothing"),
    pytest.param(StaleConnections(kind="stale-connections", target="smtp"), id="mail forgets its connections"),
    pytest.param(Bandwidth(kind="bandwidth", target="rates", rate="50KB/s"), id="a third party narrow"),
    pytest.param(Slicer(kind="slicer", target="ledger", size="50B", delay="10ms"), id="any program in pieces"),
    pytest.param(Down(kind="down", target="deaf"), id="what is asked nothing is down"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """One replica with what it depends on; MariaDB is there where its program is."""
    program = str(redis.COMPONENT.program.find())
    command = (program, "--bind", "{host}", "--port", "{port}", "--save", "", "--dir", "{data}")
    parts = {
        "smtp": Part(),
        "rates": Part(kind="http-stub", answers=ANSWERS),
        "ledger": Part(kind="tcp", command=command, asks="PING\r\n", says="PONG", ends="QUIT\r\n"),
        "deaf": Part(kind="tcp", command=command),
    }
    try:
        COMPONENTS["mysql"].program.find()
        parts["mysql"] = Part()
    except MissingError:
        pass
    system = DUMMY.model_copy(update={"components": parts, "replicas": 1})
    with (
        workspace_for(tmp_path_factory.mktemp("logs")) as workspace,
        standing(EMBEDDED, Blueprint(system=system, seed=1), workspace=workspace, clock=CLOCK) as running,
    ):
        yield running


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_such_a_component_keeps_the_seam(stack, ledger, fault):
    """Seen while it is there, and not before or after; undone by what was noted."""
    if fault.target not in stack.kinds:
        pytest.skip(f"there is no {fault.target}")
    assert check_action(fault, stack, ledger, CLOCK) is None
