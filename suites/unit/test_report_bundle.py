"""Evidence is what it was, or it is said which file is not; and it is judged again to the same bytes."""

from __future__ import annotations

import json
import shutil

import pytest

from fixtures import histories
from harness.errors import ReportError
from harness.report import experiments_in, verified, write_experiment, write_manifest
from harness.report.bundle import EVIDENCE, MANIFEST_FILE
from harness.verdict.judge import judge


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Everything of one experiment."""
    scenario, history = histories.redis_latency()
    place = tmp_path_factory.mktemp("run") / scenario.scenario
    (place / "logs").mkdir(parents=True)
    (place / "logs/redis.log").write_text("ready\n")
    verdict = judge(scenario, history, confidence=0.99)
    write_experiment(place, scenario, history, verdict, scenario_text="scenario: …\n", profile="quick")
    write_manifest(place)
    return place


@pytest.fixture
def folder(original, tmp_path):
    """A copy of it in a run's folder, to be tampered with."""
    return shutil.copytree(original, tmp_path / "run" / original.name)


def test_untouched_evidence_gives_the_same_verdict(folder):
    assert verified(folder).confidence == 0.99
    assert experiments_in(folder.parent) == experiments_in(folder) == [folder]


@pytest.mark.parametrize("name", [*EVIDENCE, "logs/redis.log"])
def test_a_changed_byte_names_its_file(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)

    with pytest.raises(ReportError, match="its hash is another") as refused:
        verified(folder)
    assert refused.value.where.endswith(name)


@pytest.mark.parametrize("name", ["samples.parquet", "history.json"])
def test_a_file_cut_short_or_gone_names_itself(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1])
    with pytest.raises(ReportError, match=f"{len(data) - 1} bytes instead of {len(data)}"):
        verified(folder)

    (folder / name).unlink()
    with pytest.raises(ReportError, match="cannot read the file"):
        verified(folder)


def test_a_verdict_that_does_not_follow_is_named(folder):
    """Somebody improved the verdict, and its hash with it."""
    path = folder / "verdict.json"
    path.write_text(path.read_text().replace('"outcome": "pass"', '"outcome": "fail"', 1))
    write_manifest(folder)

    with pytest.raises(ReportError, match="another verdict: pass"):
        verified(folder)


def test_an_experiment_without_a_manifest_was_cut_short(folder):
    (folder / MANIFEST_FILE).unlink()

    with pytest.raises(ReportError, match="cut short"):
        experiments_in(folder.parent)


@pytest.mark.parametrize("name", ["../verdict.json", "/etc/hostname", "logs/../../x", "a\0b", ""])
def test_a_manifest_cannot_lead_elsewhere(folder, name):
    _noted(folder, {name: {"bytes": 1, "sha256": ""}})

    with pytest.raises(ReportError, match="leads out of the folder"):
        verified(folder)


def test_a_link_is_no_evidence(folder, tmp_path):
    (folder / "system.json").rename(tmp_path / "elsewhere.json")
    (folder / "system.json").symlink_to(tmp_path / "elsewhere.json")

    with pytest.raises(ReportError, match="leads out of the folder"):
        verified(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "cannot read"), ("[]", "no JSON object"), ('{"schema": 9}', "unknown schema 9"), ('{"schema": 1}', "all the evidence")],
)  # fmt: skip
def test_what_is_no_manifest_is_named(folder, text, said):
    (folder / MANIFEST_FILE).write_text(text)

    with pytest.raises(ReportError, match=said):
        verified(folder)


def _noted(folder, more):
    path = folder / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "files": more | manifest["files"]}))
