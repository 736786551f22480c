"""Tests side by side on several workers, and those that measure by themselves: whose turn it is on this machine."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALONE = "alone"
WHOLE_RUNS = "chaos"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what must be alone last, on one worker; deal whole runs out one by one, and all else by its file.

    The tests of a file share what it starts. A whole run shares nothing, and takes as long as many other tests.
    """
    items.sort(key=is_alone)
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if is_alone(item):
                item.add_marker(pytest.mark.xdist_group(ALONE))
            elif WHOLE_RUNS not in item.path.parts:
                item.add_marker(pytest.mark.xdist_group(str(item.path)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test in its turn; the wait is outside of its time limit."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with turn(item.config.rootpath / ".pytest_cache", alone=is_alone(item)):
        return (yield)


def is_alone(item: pytest.Item) -> bool:
    """Tell whether nothing may run beside a test."""
    return item.get_closest_marker(ALONE) is not None


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait until nothing is alone, or, to be `alone`, until nothing else runs.

    Everything passes the gate before it enters. What wants to be alone holds the gate while it waits, so that the
    others cannot pass it by for ever.
    """
    folder.mkdir(exist_ok=True)
    with (folder / "gate.lock").open("w") as gate, (folder / "room.lock").open("w") as room:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
