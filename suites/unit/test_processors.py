"""Which processors a run could use: read off what the kernel says, so that two machines that differ are told apart."""

from __future__ import annotations

import os

import pytest

from harness.stack.processors import processor_model, usable_cores

X86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R)  Xeon(R) CPU\n\nprocessor\t: 1\nmodel name\t: Intel(R)  Xeon(R) CPU\n"
BOARD = "processor\t: 0\nCPU part\t: 0xd08\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n"
CLOUD_ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A machine's /proc and control groups, with eight processors that the scheduler may take."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)

    def written(groups="", cpuinfo="", **files):
        for name, text in {"proc/self/cgroup": groups, "proc/cpuinfo": cpuinfo, **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path / "proc", tmp_path / "cgroup"

    return written


@pytest.mark.parametrize(
    ("cpuinfo", "model"), [(X86, "Intel(R) Xeon(R) CPU"), (BOARD, "Raspberry Pi 4"), (CLOUD_ARM, "0xd0c")]
)
def test_a_processor_is_called_what_it_calls_itself(kernel, cpuinfo, model):
    assert processor_model(kernel(cpuinfo=cpuinfo)[0]) == model


def test_a_system_that_does_not_tell_names_its_kind(tmp_path):
    """Never nothing: two that tell nothing would be alike."""
    assert processor_model(tmp_path)


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        pytest.param("", {}, 8, id="no control group"),
        pytest.param("0::/app\n", {"cgroup/app/cpu.max": "max 100000\n"}, 8, id="no quota"),
        pytest.param("0::/app\n", {"cgroup/app/cpu.max": "150000 100000\n"}, 1.5, id="a quota"),
        pytest.param("0::/app/web\n", {"cgroup/app/cpu.max": "200000 100000\n"}, 2, id="a quota of the group above"),
        pytest.param("0::/\n", {"cgroup/cpu.max": "50000 100000\n"}, 0.5, id="a container's own root"),
        pytest.param("0::/docker/abc\n", {"cgroup/cpu.max": "300000 100000\n"}, 3, id="the engine's path in a container"),
        pytest.param("0::/app\n", {"cgroup/app/cpu.max": "1600000 100000\n"}, 8, id="more than there is"),
        pytest.param("3:cpu,cpuacct:/app\n1:memory:/app\n", {"cgroup/cpu,cpuacct/app/cpu.cfs_quota_us": "250000", "cgroup/cpu,cpuacct/app/cpu.cfs_period_us": "100000"}, 2.5, id="version 1"),
        pytest.param("3:cpu:/app\n", {"cgroup/cpu/app/cpu.cfs_quota_us": "-1", "cgroup/cpu/app/cpu.cfs_period_us": "100000"}, 8, id="version 1 without a quota"),
        pytest.param("1:memory:/app\n", {"cgroup/memory/app/cpu.max": "100000 100000"}, 8, id="another controller's group"),
    ],
)  # fmt: skip
def test_a_quota_leaves_less_than_the_machine_has(kernel, groups, files, cores):
    """As Docker, Kubernetes and systemd set it."""
    assert usable_cores(*kernel(groups, **files)) == cores


def test_the_scheduler_may_take_fewer(kernel, monkeypatch):
    """As `taskset` and a cpuset leave them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 5}, raising=False)

    assert usable_cores(*kernel("0::/app\n", **{"cgroup/app/cpu.max": "400000 100000"})) == 2


def test_this_machine_says_both():
    """Off the real files."""
    assert processor_model().strip()
    assert 0 < usable_cores() <= (os.cpu_count() or 1)
