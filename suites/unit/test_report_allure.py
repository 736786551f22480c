"""What Allure is told, read from the results of a real pytest session; its own program is stood in for."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from fixtures import histories
from harness.report import Experiment, Secrets, attach_experiment, build_allure_report, write_allure_context
from harness.verdict.judge import judge

ROOT = Path(__file__).parents[2]
PLUGIN = """
    import pytest
    from fixtures import histories
    from harness.report import Secrets, attach_experiment, experiment
    from harness.report.documents import json_text, system_of, verdict_text
    from harness.verdict.judge import judge

    class SloViolated(AssertionError): ...
    class InconclusiveVerdict(Exception): ...

    def pytest_collect_file(file_path, parent):
        if file_path.suffix == ".yaml":
            return ScenarioFile.from_parent(parent, path=file_path)

    class ScenarioFile(pytest.File):
        def collect(self):
            yield ScenarioItem.from_parent(self, name=self.path.stem)

    class ScenarioItem(pytest.Item):
        def runtest(self):
            scenario, history = getattr(histories, self.name)()
            verdict = judge(scenario, history, confidence=0.95)
            (self.path.parent / "verdict.json").write_text(verdict_text(verdict))
            (self.path.parent / "system.json").write_text(json_text(system_of(history, "quick")))
            (self.path.parent / "plot.png").write_bytes(b"PNG")
            attach_experiment(scenario, history, verdict, self.path.parent, secrets=Secrets(["replica-2.redis"]))
            if verdict.outcome == "fail":
                raise SloViolated(verdict.sentence)
            if verdict.outcome == "inconclusive":
                raise InconclusiveVerdict("INCONCLUSIVE: " + verdict.sentence)

        def repr_failure(self, excinfo):
            return str(excinfo.value)
"""


def session(folder, *arguments):
    """Run a pytest of its own over three scenario files, as a user's session would."""
    (folder / "conftest.py").write_text(textwrap.dedent(PLUGIN))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    for name in ("redis_latency", "breaker_never_opens", "nothing_seen"):
        (folder / "scenarios" / name).mkdir(parents=True)
        (folder / "scenarios" / name / f"{name}.yaml").touch()
    plugins = ["-p", "no:locust", "-p", "no:asyncio", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *arguments],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=180, check=False,
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


def test_statuses_follow_verdicts(results):
    """A broken promise is failed; missing evidence is broken, and its message says so."""
    assert {name: result["status"] for name, result in results.items()} == {
        "redis_latency": "passed",
        "breaker_never_opens": "failed",
        "nothing_seen": "broken",
    }
    assert "INCONCLUSIVE: " in results["nothing_seen"]["statusDetails"]["message"]


def test_phases_are_steps_at_their_true_times(results):
    """Wall clock from the history, not the moment of telling: 12:00:24 to 12:00:34 that day."""
    fault = step(results["breaker_never_opens"]["steps"], "phase: fault")

    assert (fault["start"], fault["stop"]) == (1795435224000, 1795435234000)
    assert fault["status"] == "failed"
    assert [each["name"] for each in results["redis_latency"]["steps"][:4]] == [
        "phase: warmup", "phase: baseline", "phase: fault", "phase: recovery"
    ]  # fmt: skip


def test_faults_are_steps_with_every_dose(results):
    """Inside their phase, from injected to healed; each look is a step."""
    mark = step(step(results["redis_latency"]["steps"], "phase: fault")["steps"], "fault: redis +400ms")
    unseen = step(step(results["nothing_seen"]["steps"], "phase: fault")["steps"], "fault: redis down")

    assert (mark["status"], mark["stop"] - mark["start"]) == ("passed", 9990)
    assert mark["steps"][0]["name"] == "replica-1.redis: PING answered after 402 ms (asked: +400 ms)"
    assert unseen["status"] == "broken"
    assert unseen["statusDetails"]["message"] == "its dose was not seen"


def test_claims_are_steps_with_their_numbers(results):
    """Passed or failed by themselves, with the sentence that stands alone."""
    steps = results["breaker_never_opens"]["steps"]
    failed = step(steps, "errors < 1% during fault")
    passed = step(steps, "hits > 70% during baseline")

    assert failed["status"] == "failed"
    assert failed["statusDetails"]["message"].startswith("fail: errors 3.5 % [2.7, 4.4] > 1 %")
    assert passed["status"] == "passed"
    assert passed["parameters"][0]["value"].startswith("pass: hits 85.7 %")


def test_parameters_and_labels(results):
    """The seed is told, but is no part of a test's identity."""
    result = results["breaker_never_opens"]
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
    result = results["nothing_seen"]
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


def test_secrets_are_not_told(results):
    """Neither in steps nor in attachments that we make."""
    said = json.dumps(results["redis_latency"]["steps"])

    assert "replica-2.redis" not in said
    assert "[redacted]: PING answered after 401 ms" in said


def test_nothing_happens_without_alluredir(tmp_path):
    """The same session without the option passes and fails alike, and leaves no results."""
    ended = session(tmp_path)

    assert "2 failed, 1 passed" in ended.stdout
    assert not (tmp_path / "results").exists()


def test_nothing_happens_outside_a_session(tmp_path):
    """Whoever calls it without pytest is not disturbed."""
    scenario, history = histories.control()
    attach_experiment(scenario, history, judge(scenario, history, confidence=0.95), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_context_is_named_facts_only(tmp_path, monkeypatch):
    """Versions, platform, seed; never the environment, never a secret, never a second line in one value."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sentinel-value")
    scenario, history = histories.control()
    experiment = Experiment(scenario, history, judge(scenario, history, confidence=0.95), tmp_path)
    write_allure_context(tmp_path / "results", [experiment], secrets=Secrets(["PostgreSQL 18.0"]))

    said = (tmp_path / "results" / "environment.properties").read_text()
    categories = json.loads((tmp_path / "results" / "categories.json").read_text())

    assert "sentinel-value" not in said
    assert {"redis=Redis 8.2.1", "postgres=[redacted]", "Seed=1", "Backend=embedded"} <= set(said.splitlines())
    assert [each["name"] for each in categories][:2] == ["SLO violated", "Inconclusive (evidence)"]
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
    assert sorted(path.name for path in results.parent.iterdir()) == ["allure", "allure-results"]
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
    monkeypatch.setattr("harness.report.allure_site._npx_of_wheel", lambda: None)
    results = stand_in(tmp_path, monkeypatch, script, node)

    said = build_allure_report(results, tmp_path / "run" / "allure")

    assert isinstance(said, str)
    assert said.startswith("No Allure report: ")
    assert expected in said
    assert [path.name for path in results.parent.iterdir()] == ["allure-results"]


def test_npx_is_ended_with_its_children(tmp_path, monkeypatch):
    """A download that hangs is cut off, and so is the Node that npx started."""
    results = stand_in(tmp_path, monkeypatch, f"sleep 60 & echo $! > {tmp_path}/child; wait")

    said = build_allure_report(results, tmp_path / "run" / "allure", deadline_s=0.5)

    assert "did not finish within 0.5 s" in str(said)
    assert is_gone(int((tmp_path / "child").read_text()))


def is_gone(pid, within_s=5.0):
    """Tell whether a process ends in time; one that nobody has waited for counts as ended."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return False


def test_no_results_are_no_report(tmp_path):
    """The sentence says how to get some."""
    assert "--alluredir" in str(build_allure_report(tmp_path, tmp_path / "allure"))
