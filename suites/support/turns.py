"""Tests side by side on several workers, and those that measure by themselves: whose turn it is on this machine."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALONE = "alone"
ONE_BY_ONE = {"chaos", "integration"}
"""Folders of long tests that start what they need by themselves; a file of them dealt to one worker would be its last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what must be alone last, when hardly anything else is left to wait."""
    items.sort(key=is_alone)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal tests out by their file, as they share what it starts, and long ones one by one."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - asked for only where it is installed

    class Dealer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if ONE_BY_ONE.isdisjoint(file.split("/")) else nodeid

    return Dealer(config, log)


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
