"""CTRF says what the verdict says, in the form that its schema asks for; nothing but a pass is passed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from jsonschema import Draft7Validator, FormatChecker

from harness.errors import ReportError
from harness.evidence import Experiment
from harness.evidence.folder import check_place
from harness.report.ctrf import STATUSES, Span, Unjudged, ctrf_text
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support import histories
from suites.support.ctrf import SCHEMA

CHECK = Draft7Validator(SCHEMA, format_checker=FormatChecker())
FACTS = {"run_id": "20260101-000000-abcd", "app": "reference", "backend": "embedded", "profile": "quick", "seed": 7, "defect": None, "command": "readiness run"}  # fmt: skip


def experiment(name, tmp_path):
    scenario, history = getattr(histories, name)()
    return Experiment(scenario, history, judge(scenario, history, confidence=0.95), tmp_path)


def report(experiments=(), unjudged=(), spans=None):
    text = ctrf_text(
        experiments,
        unjudged,
        spans=spans or {},
        whole=Span(1_700_000_000.0, 1_700_000_100.5),
        facts=FACTS,
        written_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    data = json.loads(text)
    CHECK.validate(data)
    return data


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("redis_latency", Outcome.PASS),
        ("breaker_never_opens", Outcome.FAIL),
        ("nothing_seen", Outcome.INCONCLUSIVE),
        ("broke_off", Outcome.ERROR),
    ],
)
def test_a_verdict_is_told_in_ctrfs_words_and_ours(name, outcome, tmp_path):
    judged = experiment(name, tmp_path)
    if judged.verdict.outcome is not outcome:  # what the history was made for is settled by the judge's own tests
        pytest.fail(judged.verdict.sentence)
    span = Span(1_700_000_001.25, 1_700_000_051.5)
    data = report([judged], spans={judged.scenario.scenario: span})["results"]
    (test,) = data["tests"]

    assert (test["status"], test["rawStatus"]) == (STATUSES[outcome], outcome)
    assert test["message"] in judged.verdict.sentence
    assert (test["start"], test["stop"], test["duration"]) == (1_700_000_001_250, 1_700_000_051_500, 50_250)
    assert [claim["sentence"] for claim in test["extra"]["claims"]] == [each.sentence for each in judged.verdict.claims]
    assert data["summary"]["passed"] == (outcome is Outcome.PASS)
    assert data["summary"][STATUSES[outcome]] == data["summary"]["tests"] == 1


def test_only_a_pass_is_passed_and_nothing_is_skipped():
    assert [outcome for outcome in Outcome if STATUSES[outcome] == "passed"] == [Outcome.PASS]
    assert set(STATUSES.values()) == {"passed", "failed", "other"}


def test_what_came_to_no_verdict_is_counted(tmp_path):
    """One scenario passed, one was never begun: that is not all green."""
    data = report([experiment("redis_latency", tmp_path)], [Unjudged("redis-down", "it was not run: SIGTERM")])
    counts = data["results"]["summary"]

    assert (counts["tests"], counts["passed"], counts["other"]) == (2, 1, 1)
    assert data["results"]["tests"][1] == {
        "name": "redis-down",
        "status": "other",
        "rawStatus": "error",
        "message": "it was not run: SIGTERM",
        "duration": 0,
        "suite": ["readiness"],
    }


def test_nothing_run_is_not_green():
    (test,) = report()["results"]["tests"]

    assert (test["status"], test["rawStatus"]) == ("other", "error")


def test_the_environment_is_named_facts_only(monkeypatch):
    monkeypatch.setenv("API_TOKEN", "s3ntinel")
    data = report()

    assert data["results"]["environment"]["appName"] == "reference"
    assert data["results"]["environment"]["extra"] == {
        name: FACTS[name] for name in ("profile", "seed", "defect", "command")
    }
    assert "s3ntinel" not in json.dumps(data)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("specVersion"),
        lambda data: data.update(specVersion="1"),
        lambda data: data.update(reportId="7"),
        lambda data: data.update(timestamp="yesterday"),
        lambda data: data["results"]["tests"][0].update(status="inconclusive"),
        lambda data: data["results"]["tests"][0].update(duration=0.5),
        lambda data: data["results"]["tests"][0].update(verdict="pass"),
        lambda data: data["results"]["summary"].pop("other"),
    ],
)
def test_the_schema_refuses_what_is_no_ctrf(spoil):
    """Or the tests above would hold nothing."""
    data = report()
    spoil(data)

    assert not CHECK.is_valid(data)


def test_a_place_that_cannot_be_written_is_told_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file/ctrf.json"):
        with pytest.raises(ReportError, match="cannot write") as refused:
            check_place(path, option="--ctrf")
        assert refused.value.where == f"--ctrf {path}"


def test_an_older_report_is_taken_away(tmp_path):
    """A run that dies must not leave yesterday's green."""
    path = tmp_path / "ctrf.json"
    path.write_text("{}")
    check_place(path, option="--ctrf")
    check_place(tmp_path / "new/folder/ctrf.json", option="--ctrf")

    assert list(tmp_path.iterdir()) == []
