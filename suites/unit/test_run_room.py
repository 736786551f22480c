"""A run that has no room says so before it starts."""

from __future__ import annotations

import pytest

from harness import run
from harness.errors import StackError


def test_a_full_disk_is_told_with_its_figures(tmp_path, monkeypatch):
    """How much is free, how much is needed, where, and what to do."""
    monkeypatch.setattr(run, "FREE_BYTES_NEEDED", 1 << 60)

    with pytest.raises(StackError, match=r"no room: \d+ MiB are free, a run needs \d+ MiB[\s\S]*TMPDIR"):
        run.make_folder(tmp_path / "run")


def test_a_folder_may_be_there_already(tmp_path):
    """Allure's results may have come first."""
    run.make_folder(tmp_path / "run")
    run.make_folder(tmp_path / "run")

    assert (tmp_path / "run").is_dir()
