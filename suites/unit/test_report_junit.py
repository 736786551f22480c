"""JUnit XML from a real pytest session through our plugin: failures, errors, claims, and nothing that is no XML."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness.evidence import NO_SECRETS, Secrets
from harness.report.ctrf import Unjudged
from harness.report.junit import junit_text
from suites.support.servers import ALLURE_ALONE

ROOT = Path(__file__).parents[2]
NAMES = ("broke_off", "breaker_never_opens", "nothing_seen", "redis_latency", "unready")
PLUGIN = """
    import pytest
    from pathlib import Path
    from suites.support import histories
    from harness import plugin
    from harness.errors import StackError
    from types import SimpleNamespace

    from harness.evidence import Experiment
    from harness.verdict.judge import judge

    class MadeRun:  # stands where a run of real servers would be: its histories are made, all else is the plugin's own
        def experiment(self, plan):
            path = plan.path
            if path.stem == "unready":
                raise StackError("redis is not ready", where="redis \\x1b[31m\\x07\\u202e", fix="start it")
            scenario, history = getattr(histories, path.stem)()
            return Experiment(scenario, history, judge(scenario, history, confidence=0.95), path.parent)

    class Item(plugin.ScenarioItem):
        def reportinfo(self):
            return self.path, 0, self.name

    class File(pytest.File):
        def collect(self):
            item = Item.from_parent(self, name=self.path.stem)
            item.plan = SimpleNamespace(path=self.path, claims=0)
            yield item

    def pytest_collect_file(file_path, parent):
        return File.from_parent(parent, path=file_path) if file_path.suffix == ".made" else None

    def pytest_collection_finish(session):
        session.config.stash[plugin.OPEN_RUN].get = MadeRun
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The XML of one session with every kind of end."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "conftest.py").write_text(textwrap.dedent(PLUGIN))
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name in NAMES:
        (folder / f"{name}.made").touch()
    command = [sys.executable, "-m", "pytest", "-p", "no:locust", "-p", "harness.plugin", "--junitxml=junit.xml", "-q", str(folder)]  # fmt: skip
    ended = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", **ALLURE_ALONE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "1 failed, 1 passed" in ended.stdout
    assert "3 errors" in ended.stdout
    return (folder / "junit.xml").read_text()


def cases(text):
    return {case.get("name"): case for case in ET.fromstring(text).iter("testcase")}  # noqa: S314 - our own


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("redis_latency", set()),
        ("breaker_never_opens", {"failure"}),
        ("nothing_seen", {"error"}),
        ("broke_off", {"error"}),
        ("unready", {"error"}),
    ],
)
def test_a_broken_promise_is_a_failure_and_a_lack_of_proof_an_error(written, name, tags):
    case = cases(junit_text(written, [], NO_SECRETS))[name]

    assert {child.tag for child in case} - {"properties", "system-out", "system-err"} == tags


def test_the_sentence_is_the_message(written):
    found = cases(junit_text(written, [], NO_SECRETS))

    assert found["nothing_seen"].find("error").get("message").startswith("INCONCLUSIVE: inconclusive: ")
    assert found["breaker_never_opens"].find("failure").get("message").startswith("fail: errors ")


def test_properties_hold_the_claims(written):
    properties = {
        each.get("name"): each.get("value") for each in cases(written)["breaker_never_opens"].iter("property")
    }

    assert properties["verdict"] == "fail"
    assert properties["slow during fault"].startswith("fail: slow ")


def test_counts_are_those_of_the_cases(written):
    suite = ET.fromstring(junit_text(written, [], NO_SECRETS)).find("testsuite")  # noqa: S314 - our own

    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["5", "1", "3", "0"]


def test_what_no_reader_sees_is_gone(written):
    text = junit_text(written, [], NO_SECRETS)

    assert "redis is not ready" in text
    for form in ("\x1b", "\x07", "\u202e", "#x1B", "#x07", "[31m"):
        assert form not in text


def test_what_was_not_run_is_an_error(written):
    text = junit_text(
        written, [Unjudged("redis-down", "it was not run: SIGTERM"), Unjudged("unready", "told already")], NO_SECRETS
    )
    suite = ET.fromstring(text).find("testsuite")  # noqa: S314 - our own

    assert [suite.get(name) for name in ("tests", "errors")] == ["6", "4"]
    assert cases(text)["redis-down"].find("error").get("message") == "it was not run: SIGTERM"
    assert "told already" not in text


@pytest.mark.parametrize(
    "written_by_pytest",
    [
        pytest.param("", id="nothing written"),
        pytest.param("<testsuites><testsuite name='pytest' tests='0'/></testsuites>", id="nothing selected"),
        pytest.param(
            "<testsuites><testsuite name='pytest' tests='1'><testcase time='0.1'/></testsuite></testsuites>",
            id="the shell of what was cut short",
        ),
    ],
)
def test_nothing_run_is_not_green(written_by_pytest):
    suite = ET.fromstring(junit_text(written_by_pytest, [], NO_SECRETS)).find("testsuite")  # noqa: S314 - our own

    assert [suite.get(name) for name in ("tests", "errors")] == ["1", "1"]


def test_a_secret_leaves_in_no_escape():
    hidden = 'it\'s <our> & "only" one'
    text = junit_text("", [Unjudged(f"name {hidden}", f"because of {hidden}")], Secrets([hidden]))

    assert text.count("[redacted]") == 3
    assert "only" not in text
    assert "our" not in text
