"""The files that machines read are the same bytes for the same facts, and come back as they were."""

import csv
import io
import json

import pytest

from harness.errors import ReportError
from harness.evidence import NO_SECRETS, EvidenceFolder
from harness.evidence.documents import read_verdict, run_text, system_of, timeline_text, verdict_text
from harness.evidence.store import read_history, write_history
from harness.verdict.judge import judge
from suites.support import histories

MADE = [
    histories.control,
    histories.redis_latency,
    histories.breaker_never_opens,
    histories.replica_killed,
    histories.nothing_seen,
    histories.broke_off,
]


@pytest.mark.parametrize("make", MADE)
def test_judging_the_same_history_twice_gives_the_same_bytes(make, tmp_path):
    """Also when the history has been on disk in between."""
    scenario, history = make()
    write_history(history, EvidenceFolder(tmp_path, NO_SECRETS))

    first = verdict_text(judge(scenario, history, confidence=0.95))
    second = verdict_text(judge(scenario, read_history(tmp_path), confidence=0.95))

    assert first.encode() == second.encode()
    assert list(json.loads(first)) == sorted(json.loads(first))


@pytest.mark.parametrize("make", MADE)
def test_a_verdict_is_read_back_exactly(make, tmp_path):
    """Pages can be written again without judging again."""
    verdict = judge(*make(), confidence=0.95)
    (tmp_path / "verdict.json").write_text(verdict_text(verdict))

    assert read_verdict(tmp_path / "verdict.json") == verdict


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"outcome": "great", "exit_code": 0, "obligations": [], "claims": []}']
)
def test_what_is_no_verdict_is_named(tmp_path, text):
    """A damaged file is an error that says which."""
    (tmp_path / "verdict.json").write_text(text)

    with pytest.raises(ReportError) as raised:
        read_verdict(tmp_path / "verdict.json")

    assert raised.value.where == str(tmp_path / "verdict.json")


def test_a_run_says_its_exit_code():
    """The worst outcome wins."""
    verdicts = [judge(*make(), confidence=0.95) for make in (histories.control, histories.breaker_never_opens)]

    said = json.loads(run_text(verdicts, {"run_id": "r1", "seed": 7}))

    assert (said["outcome"], said["exit_code"], said["seed"]) == ("fail", 1, 7)
    assert [experiment["outcome"] for experiment in said["experiments"]] == ["pass", "fail"]


def test_a_run_that_did_not_come_to_its_end_is_an_error():
    """Whatever passed until then."""
    passed = judge(*histories.control(), confidence=0.95)

    said = json.loads(run_text([passed], {"run_id": "r1", "never_run": ["redis-down"]}))

    assert (said["outcome"], said["exit_code"], said["never_run"]) == ("error", 3, ["redis-down"])


def test_the_timeline_has_a_row_a_second():
    """Each second knows its phase, and its counts add up to what was issued."""
    scenario, history = histories.redis_latency()

    rows = list(csv.DictReader(io.StringIO(timeline_text(scenario, history))))

    assert len(rows) == 42
    assert [rows[at]["phase"] for at in (0, 4, 24, 34, 41)] == ["warmup", "baseline", "fault", "recovery", "recovery"]
    assert sum(int(row["issued"]) for row in rows) == len(history.samples)
    assert float(rows[24]["p95_s"]) > 0.1 > float(rows[23]["p95_s"])


def test_a_timeline_of_nothing_is_empty_cells():
    """No request is not zero seconds of latency."""
    rows = list(csv.DictReader(io.StringIO(timeline_text(*histories.nothing_seen()))))

    assert {row["p95_s"] for row in rows} == {""}
    assert {row["errors_ratio"] for row in rows} == {""}


def test_the_system_is_named_facts_only(monkeypatch):
    """Nothing of the environment gets into it."""
    monkeypatch.setenv("POSTGRES_PASSWORD", "sentinel-value")

    system = system_of(histories.control()[1])

    assert "sentinel-value" not in json.dumps(system)
    assert set(system["machine"]) == {"architecture", "cores", "kernel", "processor", "python", "usable_cores"}
    assert system["versions"]["redis"] == "Redis 8.2.1"
