"""What runs already, judged by its URL as docs/your-service.md says it: its path is hurt, it is killed, and it stays."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from harness.evidence.experiment import read_experiment
from harness.faults.ledger import read_ledger
from harness.verdict.outcome import Outcome
from suites.support.faultproxy import free_port, is_listening
from suites.support.servers import PROJECT, start_redis

CLOCK = SystemClock()
EXAMPLES = PROJECT / "docs/examples"
STAGED = EXAMPLES / "staged"
PAGE = (PROJECT / "docs/your-service.md").read_text()


@pytest.mark.parametrize(
    "file", ["readiness.toml", "shop.sh", "scenarios/redis-silent.yaml", "scenarios/shop-killed.yaml"]
)
def test_the_page_shows_what_is_run(file):
    """Word for word."""
    assert (STAGED / file).read_text() in PAGE


@pytest.fixture
def staged(tmp_path):
    """The folders of the page, on ports that are free here; the shop runs, and whatever happened, it ends."""
    for name in ("shop", "staged"):
        shutil.copytree(EXAMPLES / name, tmp_path / name)
    with start_redis() as redis:
        ports = {"8000": str(free_port()), "16379": str(free_port()), "6379": str(redis)}
        for file in ("readiness.toml", "shop.sh"):
            path = tmp_path / "staged" / file
            path.write_text(re.sub(r"\b(8000|16379|6379)\b", lambda found: ports[found[0]], path.read_text()))
        yield tmp_path / "staged", ("127.0.0.1", int(ports["8000"]))
        subprocess.run(["sh", "shop.sh", "stop"], cwd=tmp_path / "staged", check=False, capture_output=True)


def theirs(staged):
    """Start the shop, as its owner does; `python` is the one that has its client of Redis."""
    folder, address = staged
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "shop.sh", "start"], cwd=folder, check=True, env={**os.environ, "PATH": path})
    assert is_met_within(lambda: is_listening(address), deadline_s=20, clock=CLOCK)
    return int((folder / "shop.pid").read_text())


def judged(folder, scenario):
    """Run a scenario by the command; return the exit code, what was judged, and the page."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [
        sys.executable,
        "-c",
        "from harness.cli import main; main()",
        "run",
        scenario,
        "--seed",
        "1",
        "--no-allure",
    ]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode in (0, 1, 2), done.stdout + done.stderr
    (run,) = folder.glob(f"reports/runs/*/{scenario}")
    experiment, _ = read_experiment(run)
    return done, experiment, (run / "report.md").read_text()


@pytest.mark.alone  # what tests beside it do to the calibration would end it before its first request
def test_what_runs_already_is_killed_and_comes_back(staged):
    """It is seen to be dead, and needed; another process of its owner serves in the end, and outlives the run."""
    former = theirs(staged)

    done, experiment, page = judged(staged[0], "shop-killed")

    met = {each.name: each for each in experiment.verdict.obligations}
    assert done.returncode in (0, 2), done.stdout + done.stderr
    assert {claim.outcome for claim in experiment.verdict.claims} <= {Outcome.PASS, Outcome.INCONCLUSIVE}
    (mark,) = experiment.history.faults
    assert mark.is_delivered, mark.doses
    assert re.fullmatch(
        r"\d+ answers came from subject before", met["the load needs what is hurt: subject killed"].sentence
    )
    now = int((staged[0] / "shop.pid").read_text())
    assert now != former
    assert psutil.pid_exists(now)
    assert is_listening(staged[1])
    (ledger,) = staged[0].glob("reports/runs/*/ledger.jsonl")
    assert read_ledger(ledger).is_closed
    for unsaid in ("hits", "replica-1", "processor"):
        assert unsaid not in page, "what the service does not say is on no page"


@pytest.mark.alone  # as above
def test_a_client_without_a_time_limit_is_found_on_the_path_of_what_runs_already(staged):
    """The red twin: the same shop waits for a Redis that says nothing for as long as it takes, on as many connections."""
    shop = staged[0].parent / "shop/shop.py"
    patient = shop.read_text().replace("socket_timeout=0.05, socket_connect_timeout=0.05", "max_connections=10_000")
    assert patient != shop.read_text()
    shop.write_text(patient)
    theirs(staged)

    done, experiment, _ = judged(staged[0], "redis-silent")

    assert done.returncode == 1, done.stdout + done.stderr
    broken = {(claim.sli, claim.phase) for claim in experiment.verdict.claims if claim.outcome is Outcome.FAIL}
    assert ("slow", "fault") in broken
    assert "baseline" not in {phase for _, phase in broken}
