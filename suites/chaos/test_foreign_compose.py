"""A compose project that knows nothing of the harness, judged end to end as it is; and its red twin."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing

import pytest

from harness.stack.backends import engine
from harness.stack.backends.images import resolve
from suites.support.servers import PROJECT
from suites.support.stack import DUMMY, need_containers


@pytest.fixture
def prices(tmp_path, monkeypatch):
    """The project in a folder of its own, with images that are at hand in the place of a registry's."""
    need_containers()
    with closing(engine.connect()) as client:
        found = resolve(client, DUMMY, PROJECT)
    for name, role in (("BASE", "service"), ("REDIS_IMAGE", "redis"), ("POSTGRES_IMAGE", "postgres")):
        monkeypatch.setenv(name, found[role])
    return shutil.copytree(PROJECT / "fixtures/foreign/compose", tmp_path / "prices")


def judged(project, *arguments):
    """Run a scenario; return the exit code, its verdict, and what carries a run's label afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", "run", *arguments, "--no-allure", "--run-id", "r"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )  # fmt: skip
    with closing(engine.connect()) as client:
        left = engine.names_of("r", client)
    (verdict,) = [json.loads(path.read_text()) for path in project.glob("reports/runs/r/*/verdict.json")]
    return done.returncode, verdict, left


@pytest.mark.alone  # what it measures is no use beside other tests, and may end before its first request
def test_a_compose_project_that_can_do_without_its_cache_is_not_red(prices):
    """The fault was there, seen by the service's own name for its cache, and needed; nothing is left of it."""
    status, verdict, left = judged(prices, "cache-down")

    told = json.dumps(verdict, ensure_ascii=False)
    assert status in {0, 2}, told  # a busy machine may leave it open, never red
    assert "fault delivered: cache down" in told
    assert "replica-1.cache refuses, worker.cache refuses" in told
    assert left == []


@pytest.mark.alone  # tests beside it are strangers that take the processors, and then nothing is red
def test_a_client_without_a_time_limit_is_red_for_what_it_breaks(prices):
    """Requests wait for as long as the cache is away; the baseline is as good as before."""
    status, verdict, _ = judged(prices, "cache-down", "--defect", "redis-no-timeout")

    assert (status, verdict["outcome"]) == (1, "fail"), json.dumps(verdict, ensure_ascii=False)
    broken = {(claim["sli"], claim["phase"]) for claim in verdict["claims"] if claim["outcome"] == "fail"}
    assert broken & {("slow", "fault"), ("errors", "fault")}
    assert not {phase for _, phase in broken} & {"baseline"}
