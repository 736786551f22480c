"""A work folder goes with its run, also where what a server has left behind writes there for a moment longer."""

from __future__ import annotations

import subprocess
import sys

from harness.clock import FakeClock, SystemClock
from harness.stack.work_folder import remove_work

WRITES = """
import pathlib, sys, time
folder, until_s = pathlib.Path(sys.argv[1]), time.monotonic() + float(sys.argv[2])
print("writing", flush=True)
while time.monotonic() < until_s:
    folder.mkdir(exist_ok=True)
    (folder / "more").touch()
"""


def test_what_writes_for_a_moment_longer_leaves_nothing(tmp_path):
    """It makes the folder again and again for 300 ms; then the folder is gone."""
    folder = tmp_path / "work"
    with subprocess.Popen([sys.executable, "-c", WRITES, folder, "0.3"], stdout=subprocess.PIPE) as writing:
        writing.stdout.readline()
        while writing.poll() is None:
            remove_work(folder, SystemClock())
        assert remove_work(folder, SystemClock())
    assert not folder.exists()


def test_what_goes_on_writing_is_told(tmp_path, monkeypatch):
    """After two seconds it is still there, and so whoever noted it keeps it noted."""
    monkeypatch.setattr("shutil.rmtree", lambda *_args, **_options: None)
    clock = FakeClock()
    assert not remove_work(tmp_path, clock)
    assert 2.0 <= clock.now() < 2.2
