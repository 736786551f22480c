"""Who may change the limits of a process that is another user's, read from what the kernel says of us."""

from __future__ import annotations

import mmap
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness.faults.process_limits import data_bytes, has_sys_resource, why_not

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux'")


@pytest.mark.parametrize(
    ("effective", "may"),
    [
        ("000001ffffffffff", True),
        ("000001fffeffffff", False),
        ("0000000001000000", True),
        ("0000000000800000", False),
        ("0000000002000000", False),
        ("0000000000000000", False),
    ],
)
def test_it_is_the_25th_right(effective, may):
    assert has_sys_resource(f"Name:\troot\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective}\n") is may


def test_what_says_nothing_has_none():
    assert not has_sys_resource("Name:\troot\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start another user's process")
def test_the_kernel_agrees():
    """A limit of another user's process can be changed where the status says so, and nowhere else."""
    with subprocess.Popen(["sleep", "60"], user=65534) as other:
        try:
            resource.prlimit(other.pid, resource.RLIMIT_NOFILE)
            is_allowed = True
        except PermissionError:
            is_allowed = False
        finally:
            other.kill()

    assert is_allowed == has_sys_resource(Path("/proc/self/status").read_text())
    assert (why_not(is_contained=True) is None) == is_allowed


def test_our_own_processes_are_limited_without_that_right():
    """Those of a container are the engine's."""
    assert why_not(is_contained=False) is None


def test_memory_is_counted_in_bytes():
    """The kernel tells KiB of it."""
    before_bytes = data_bytes(os.getpid())
    with mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        assert data_bytes(os.getpid()) - before_bytes >= 64 << 20
