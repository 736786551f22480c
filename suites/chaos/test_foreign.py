"""Services that are not like the reference one, judged end to end: another language, another interface, Redis alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from suites.support.servers import PROJECT


@pytest.fixture(params=["node", "wsgi"])
def foreign(request, tmp_path):
    """A project of somebody else, in a folder of its own: readiness.toml, scenarios and a service."""
    return shutil.copytree(PROJECT / "fixtures/foreign" / request.param, tmp_path / request.param)


def judged(project, *arguments):
    """Run its scenarios; return the exit code, and the verdict of each."""
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", "run", "--backend", "embedded", "--no-allure", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    verdicts = [json.loads(path.read_text()) for path in project.glob("reports/runs/*/*/verdict.json")]
    assert verdicts, done.stdout + done.stderr
    return done.returncode, {verdict["scenario"]: verdict for verdict in verdicts}


def told(verdict):
    """Return what is said of each promise and obligation."""
    return json.dumps(verdict, ensure_ascii=False)


def test_a_service_that_can_do_without_redis_is_not_red(foreign):
    """A baseline, and Redis away: no promise is broken, and the fault was there and needed."""
    status, verdicts = judged(foreign)

    assert set(verdicts) == {"calm", "redis-down"}
    assert status in {0, 2}, told(verdicts)  # a busy machine may leave it open, never red
    assert "fault delivered: redis down" in told(verdicts["redis-down"])
    assert {verdict["outcome"] for verdict in verdicts.values()} <= {"pass", "inconclusive"}


@pytest.mark.alone  # tests beside it are strangers that take the processors, and then nothing is red
def test_a_client_without_a_time_limit_is_red_for_what_it_breaks(foreign):
    """Requests wait for as long as Redis is away; the baseline is as good as before."""
    status, verdicts = judged(foreign, "redis-down", "--defect", "redis-no-timeout")

    assert (status, verdicts["redis-down"]["outcome"]) == (1, "fail"), told(verdicts)
    broken = {
        (claim["sli"], claim["phase"]) for claim in verdicts["redis-down"]["claims"] if claim["outcome"] == "fail"
    }
    assert broken & {("slow", "fault"), ("errors", "fault")}
    assert not {phase for _, phase in broken} & {"baseline"}
