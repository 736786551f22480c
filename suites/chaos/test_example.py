"""The service of docs/your-service.md, judged as the page says: copied into a folder of its own, by the command."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.evidence.experiment import read_experiment
from harness.verdict.outcome import Outcome

DOCS = Path(__file__).parents[2] / "docs"
SHOP = DOCS / "examples/shop"


@pytest.mark.parametrize(
    ("language", "file"),
    [("python", "shop.py"), ("toml", "readiness.toml"), ("yaml", "scenarios/redis-down.yaml")],
)
def test_the_page_shows_what_is_run(language, file):
    """Word for word."""
    shown = re.findall(rf"```{language}\n(.*?)```", (DOCS / "your-service.md").read_text(), re.DOTALL)

    assert shown.count((SHOP / file).read_text()) == 1


@pytest.mark.alone  # what tests beside it do to the calibration would end it before its first request
def test_a_service_without_a_locustfile_is_judged(tmp_path):
    """It is asked what is declared of it, and its answers are read off its own headers."""
    shutil.copytree(SHOP, tmp_path / "shop")
    command = [sys.executable, "-c", "from harness.cli import main; main()", "run", "--seed", "1", "--out", "runs"]

    done = subprocess.run(command, cwd=tmp_path / "shop", capture_output=True, text=True, check=False, timeout=240)

    (folder,) = (tmp_path / "shop/runs").glob("*/redis-down")
    experiment, _ = read_experiment(folder)
    samples, verdict = experiment.history.samples, experiment.verdict
    # A machine that is busy makes it inconclusive, and never an error or a broken promise.
    assert done.returncode in (0, 2), done.stdout + done.stderr
    assert {claim.outcome for claim in verdict.claims} <= {Outcome.PASS, Outcome.INCONCLUSIVE}, verdict.sentence
    assert {name for name in samples.operations if name} == {"look", "order"}
    assert {name for name in samples.replicas if name} == {"replica-1", "replica-2"}
    looks, orders = samples.of("look"), samples.of("order")
    assert len(looks) / len(orders) == pytest.approx(9, rel=0.25)
    assert set(looks.records["key"]) <= set(range(1, 201))
    assert set(orders.records["key"]) == {-1}
    during = experiment.history.during("fault").of("look")
    assert during.came_from("miss").sum() > 0.9 * len(during)
    assert samples.between(3, 13).of("look").came_from("hit").mean() > 0.5
