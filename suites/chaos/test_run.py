"""`readiness run` as people and pipelines meet it: exit codes, signals, sudden death; on a real stack."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import psutil
import pytest

from fixtures.servers import PROJECT
from harness.clock import SystemClock, is_met_within
from harness.faults.ledger import read_ledger
from harness.stack.process import is_gone

CLOCK = SystemClock()

SETTINGS = """
[system]
name = "dummy"
[system.subject]
app = "dummy:create_app"
ready = "/"
[system.subject.defects]
none-at-all = "for the option's sake"
[[objectives]]
sli = "errors"
max = "5%"
[profiles.quick]
stretch = 1.0
"""

SHORT = """
scenario: short
story: A replica cannot be reached for a second, and nobody minds.
load: {arrivals_per_s: 100, drain: 1s}
phases:
  - {name: baseline, lasts: 2s}
  - {name: fault, lasts: 1s, faults: [{kind: down, target: replica-1}]}
  - {name: after, lasts: 1s}
objectives:
  - {sli: errors, max: 10%, during: fault}
"""


@pytest.fixture
def project(tmp_path):
    """A project of somebody else: its own service, settings and scenarios, and nothing of ours."""
    shutil.copy(PROJECT / "fixtures/dummy.py", tmp_path / "dummy.py")
    (tmp_path / "readiness.toml").write_text(SETTINGS)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios/short.yaml").write_text(SHORT)
    return tmp_path


def command(*arguments):
    return [sys.executable, "-c", "from harness.cli import main; main()", *arguments]


def readiness(project, *arguments):
    return subprocess.run(
        command(*arguments), cwd=project, capture_output=True, text=True, check=False, env=environment(), timeout=120
    )


def environment():
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


def run_folder(project):
    (folder,) = (project / "reports/runs").iterdir()
    return folder


def test_a_scenario_that_holds_exits_0_and_leaves_its_evidence(project):
    """The verdict, the samples and the pages are there; nothing of the run lives on."""
    said = readiness(project, "run", "short", "--no-allure", "--seed", "3", "--junit", "junit.xml")

    assert said.returncode == 0, said.stdout + said.stderr
    assert "pass" in said.stdout
    folder = run_folder(project)
    verdict = json.loads((folder / "short/verdict.json").read_text())
    assert verdict["outcome"] == "pass"
    assert {"samples.parquet", "report.md", "plot.svg", "history.json"} <= {
        p.name for p in (folder / "short").iterdir()
    }
    assert (folder / "index.html").is_file()
    assert read_ledger(folder / "ledger.jsonl").is_closed
    assert readiness(project, "verify", folder.name).returncode == 0
    assert ET.parse(project / "junit.xml").find(".//testcase").get("name") == "short"  # noqa: S314 - our own file


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        pytest.param(("max: 10%", "max: 3%"), 2, "99 would prove it", id="too little evidence"),
        pytest.param(("max: 10%", "max: 0.1%"), 3, "2 995 error-free requests, this profile sends 100", id="hopeless"),
        pytest.param(("{sli: errors, max: 10%", "{sli: hits, min: 70%"), 1, "hits 0.000 %", id="a broken promise"),
        pytest.param(("target: replica-1", "target: memcached"), 3, "nothing to hit", id="a fault that hits nothing"),
    ],
)
def test_the_exit_code_is_the_verdict(project, change, status, said):
    """Every way not to pass has a code of its own."""
    (project / "scenarios/short.yaml").write_text(SHORT.replace(*change))

    ended = readiness(project, "run", "--no-allure", "--seed", "9")  # with it, 80 of some 100 requests are in the fault

    assert ended.returncode == status, ended.stdout + ended.stderr
    assert said in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["run", "--profile", "quik"], "did you mean 'quick'?", id="unknown profile"),
        pytest.param(["run", "shrt"], "did you mean 'short'?", id="unknown scenario"),
        pytest.param(["run", "--defect", "none-at-al"], "did you mean 'none-at-all'?", id="unknown defect"),
        pytest.param(["run", "--backend", "cloud"], "unknown backend 'cloud'", id="unknown backend"),
        pytest.param(["run", "--colour"], "No such option", id="unknown option"),
        pytest.param(["report", "nowhere"], "nowhere", id="unknown run"),
        pytest.param(["load", "http://192.0.2.1"], "on another machine", id="not ours to press"),
    ],
)
def test_a_slip_on_the_command_line_exits_3_and_says_how_to_mend(project, arguments, said):
    """Before anything is started; never with the 2 that means `inconclusive`."""
    ended = readiness(project, *arguments)

    assert (ended.returncode, ended.stdout) == (3, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (project / "reports").exists()


def test_a_scenario_that_cannot_be_read_exits_3(project):
    """With file, line and key, and no folder that looks like evidence."""
    (project / "scenarios/short.yaml").write_text(SHORT.replace("kind: down", "kind: donw"))

    ended = readiness(project, "run", "--no-allure")

    assert ended.returncode == 3
    assert "short.yaml:7: phases[1].faults[0]" in ended.stderr
    assert "did you mean 'down'?" in ended.stderr
    assert not list((project / "reports/runs").glob("*"))


def test_a_service_that_dies_at_start_exits_3_with_its_last_words(project):
    """The component, its log's tail, and everything else stopped."""
    (project / "dummy.py").write_text("raise RuntimeError('no licence')")

    ended = readiness(project, "run", "--no-allure")

    assert ended.returncode == 3
    verdict = json.loads((run_folder(project) / "short/verdict.json").read_text())
    assert verdict["outcome"] == "error"
    assert re.search("replica-[12] died while starting", verdict["sentence"])  # both do; either may be seen first
    assert "no licence" in verdict["sentence"]


def test_no_room_exits_3(project, tmp_path_factory):
    """A folder that cannot be made: said at once."""
    blocked = tmp_path_factory.mktemp("blocked") / "file"
    blocked.write_text("")

    ended = readiness(project, "run", "--no-allure", "--out", str(blocked))

    assert ended.returncode == 3
    assert "cannot make the run's folder" in ended.stderr


def started(project):
    """Start a long run, and wait until its load is on."""
    (project / "scenarios/short.yaml").write_text(SHORT.replace("lasts: 2s", "lasts: 60s"))
    return subprocess.Popen(
        command("run", "--no-allure"), cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()
    )


def family(process):
    return psutil.Process(process.pid).children(recursive=True)


def work_folders(project):
    return list(Path(tempfile.gettempdir()).glob(f"readiness-{run_folder(project).name}-*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_heals_stops_and_is_told_by_the_exit_code(project, number, status):
    """Never 0, and nothing left."""
    run = started(project)
    for line in run.stdout:
        if b"baseline" in line:
            break
    children = family(run)

    run.send_signal(number)
    run.communicate(timeout=30)

    assert run.returncode == status
    assert len(children) > 6
    assert all(map(is_gone, children))
    assert not work_folders(project)
    assert read_ledger(run_folder(project) / "ledger.jsonl").left == ()


@pytest.mark.parametrize("moment", range(10))
def test_sudden_death_leaves_nothing(project, moment):
    """SIGKILL at a random moment of a run: within ten seconds no process and no folder is left.

    The moments are drawn from the first eight seconds: before the ledger, while starting, under load.
    """
    wait_s = random.Random(moment).uniform(0.3, 8.0)
    run = started(project)
    until_s = CLOCK.now() + wait_s
    assert is_met_within(lambda: CLOCK.now() > until_s, deadline_s=wait_s + 1, clock=CLOCK)
    children = family(run)

    run.kill()
    run.communicate()

    assert is_met_within(lambda: all(map(is_gone, children)), deadline_s=10, clock=CLOCK), children
    if (project / "reports/runs").exists():
        assert is_met_within(lambda: not work_folders(project), deadline_s=10, clock=CLOCK)
        assert readiness(project, "heal").stdout == "nothing to undo\n"
