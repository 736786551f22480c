"""What an engine says of a container's processes, read as who is below whom."""

from __future__ import annotations

import pytest

from harness.stack.backends.container import children_in

DOCKER = {
    "Titles": ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
    "Processes": [
        ["101", "4711", "4690", "0", "15:08", "?", "00:00:00", "nginx: master process nginx -p /tmp"],
        ["101", "4742", "4711", "0", "15:08", "?", "00:00:00", "nginx: worker process is shutting down"],
        ["101", "4790", "4711", "0", "15:09", "?", "00:00:00", "nginx: worker process"],
    ],
}
PODMAN = {
    "Titles": ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"],
    "Processes": [
        ["101", "1", "0", "0.0", "9.1s", "?", "0s", "nginx: master process"],
        ["101", "22", "1", "0.0", "2s", "?", "0s", "nginx: worker process"],
    ],
}


@pytest.mark.parametrize(
    ("said", "children"),
    [
        pytest.param(DOCKER, {4742, 4790}, id="as ps says it on the engine's machine"),
        pytest.param(PODMAN, {22}, id="as the engine says it"),
        pytest.param({**DOCKER, "Processes": DOCKER["Processes"][:1]}, set(), id="a main process alone"),
    ],
)
def test_the_workers_of_a_container_are_what_is_below_its_main_process(said, children):
    """That one is below a process outside, which is not listed."""
    assert children_in(said) == children
