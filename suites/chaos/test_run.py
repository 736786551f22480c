"""`readiness run` as people and pipelines meet it: exit codes, signals, sudden death; on a real stack."""

from __future__ import annotations

import base64
import html
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
from urllib.parse import quote, quote_plus

import psutil
import pytest
from jsonschema import Draft7Validator, FormatChecker

from fixtures.ctrf import SCHEMA
from fixtures.servers import PROJECT
from harness.clock import SystemClock, is_met_within
from harness.faults.ledger import read_ledger
from harness.history.samples import RECORD
from harness.history.store import read_history
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

HEAD = """from __future__ import annotations

import os
import sys

TOKEN = os.environ["API_TOKEN"]
sys.stderr.write(f"our token is {TOKEN}\\n")
"""

SHORT = """
scenario: short
story: A replica cannot be reached for a second, and nobody minds.
load: {arrivals_per_s: 100, drain: 1s}
phases:
  - {name: baseline, lasts: 2s}
  - {name: fault, lasts: 1s, faults: [{kind: down, target: replica-1}]}
  - {name: after, lasts: 3s}
objectives:
  - {sli: errors, max: 10%, during: fault}
  - {sli: recovery, within: 1s, during: after}
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


def junit_of(project):
    """Return how each test case ended, by its name."""
    cases = ET.parse(project / "junit.xml").iter("testcase")  # noqa: S314 - our own file
    return {case.get("name"): {child.tag for child in case} - {"properties", "system-out"} for case in cases}


def ctrf_of(project):
    """Return each test's status and our own word for it, by its name; the file keeps to its schema."""
    report = json.loads((project / "ctrf.json").read_text())
    Draft7Validator(SCHEMA, format_checker=FormatChecker()).validate(report)
    return {test["name"]: (test["status"], test["rawStatus"]) for test in report["results"]["tests"]}


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
    assert junit_of(project) == {"short": set()}


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

    ended = readiness(
        project, "run", "--no-allure", "--seed", "9",  # with it, 80 of some 100 requests are in the fault
        "--junit", "junit.xml", "--ctrf", "ctrf.json",
    )  # fmt: skip

    assert ended.returncode == status, ended.stdout + ended.stderr
    assert said in ended.stdout + ended.stderr
    kind, told = {
        1: ("failure", ("failed", "fail")),
        2: ("error", ("other", "inconclusive")),
        3: ("error", ("other", "error")),
    }[status]
    assert list(junit_of(project).values()) == [{kind}]
    assert list(ctrf_of(project).values()) == [told]
    assert said in (project / "ctrf.json").read_text()


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


def started(project, *arguments):
    """Start a long run, and wait until its load is on."""
    (project / "scenarios/short.yaml").write_text(SHORT.replace("lasts: 2s", "lasts: 60s"))
    return subprocess.Popen(
        command("run", "--no-allure", *arguments),
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
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


def test_an_interrupted_run_leaves_what_it_saw_marked_as_cut_short(project):
    """Requests, pages and a verdict that is none; and no manifest, so nobody takes it for whole."""
    run = started(project)
    for line in run.stdout:
        if b"baseline" in line:
            break
    raw = run_folder(project) / "short/samples.raw"
    assert is_met_within(
        lambda: raw.is_file() and raw.stat().st_size > 100 * RECORD.itemsize, deadline_s=20, clock=CLOCK
    )
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=30)

    folder = run_folder(project) / "short"
    history = read_history(folder)
    assert len(history.samples) > 100
    assert any("cut short: SIGTERM" in trouble for trouble in history.troubles)
    assert json.loads((folder / "verdict.json").read_text())["outcome"] == "error"
    assert (folder / "index.html").is_file()
    assert not (folder / "manifest.json").exists()
    told = readiness(project, "verify", run_folder(project).name)
    assert told.returncode == 3
    assert "was cut short" in told.stderr


def test_a_cancelled_run_is_told_as_such_to_other_programs(project):
    """One scenario was cut short, the next was never begun: neither file leaves one out, and none is green."""
    (project / "scenarios/tail.yaml").write_text(SHORT.replace("scenario: short", "scenario: tail"))
    run = started(project, "--junit", "junit.xml", "--ctrf", "ctrf.json")
    for line in run.stdout:
        if b"short: baseline" in line:
            break
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=30)

    assert run.returncode == 143
    assert ctrf_of(project) == {"short": ("other", "error"), "tail": ("other", "error")}
    assert junit_of(project) == {"short": {"error"}, "tail": {"error"}}


SENTINEL = "s3ntinel/with+odd=chars & more"


def test_a_secret_is_in_no_file_of_a_run(project):
    """The service gets it, logs it, and answers with it; what is left of the run holds it in no form."""
    (project / "readiness.toml").write_text(SETTINGS.replace('ready = "/"', 'ready = "/"\nsecrets = ["API_TOKEN"]'))
    leaky = (project / "dummy.py").read_text().replace("from __future__ import annotations", HEAD, 1)
    leaky = leaky.replace('[(b"content-length", b"2")]', '[(b"content-length", b"2"), (b"x-replica", TOKEN.encode())]')
    (project / "dummy.py").write_text(leaky)
    told = subprocess.run(
        command("run", "--junit", "junit.xml", "--ctrf", "ctrf.json"), cwd=project, capture_output=True, text=True, check=False, timeout=120,
        env={**environment(), "API_TOKEN": SENTINEL},
    )  # fmt: skip

    assert told.returncode == 0, told.stdout + told.stderr
    folder = run_folder(project)
    assert "[redacted]" in (folder / "short/logs/replica-1.log").read_text(), "the service did not even say it"
    assert "[redacted]" in read_history(folder / "short").samples.replicas
    forms = [
        SENTINEL,
        quote(SENTINEL),
        quote_plus(SENTINEL),
        base64.b64encode(SENTINEL.encode()).decode(),
        html.escape(SENTINEL),
    ]
    files = [path for path in folder.rglob("*") if path.is_file()] + [project / "junit.xml", project / "ctrf.json"]
    assert len(files) > 20
    assert not [(path, form) for path in files for form in forms if form.encode() in path.read_bytes()]
    assert not [form for form in forms if form in told.stdout + told.stderr]
    assert readiness(project, "verify", folder.name).returncode == 0


def test_a_secret_that_is_not_set_is_asked_for(project):
    """Before anything is started, by its name."""
    (project / "readiness.toml").write_text(SETTINGS.replace('ready = "/"', 'ready = "/"\nsecrets = ["API_TOKEN"]'))

    told = readiness(project, "run", "--no-allure")

    assert told.returncode == 3
    assert "the secret API_TOKEN is not set" in told.stdout + told.stderr


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
