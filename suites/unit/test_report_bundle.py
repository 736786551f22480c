"""Evidence is what it was, or it is said which file is not; and it is judged again to the same bytes."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import ReportError
from harness.evidence import (
    NO_SECRETS,
    EvidenceFolder,
    experiments_in,
    verified,
    verified_run,
    write_manifest,
    write_run_manifest,
)
from harness.layout import EVIDENCE, LEDGER_FILE, MANIFEST_FILE, RUN_MANIFEST_FILE
from harness.report import rebuild
from suites.support import histories
from suites.support.runs import run_folder
from suites.support.servers import PROJECT


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A run of two experiments."""
    made = [histories.redis_latency(), histories.replica_killed()]
    folder = run_folder(tmp_path_factory.mktemp("original") / "run", made, confidence=0.99)
    (folder / LEDGER_FILE).write_text("{}\n")
    write_run_manifest(EvidenceFolder(folder, NO_SECRETS), [scenario.scenario for scenario, _ in made])
    return folder


@pytest.fixture
def run(original, tmp_path):
    """A copy of it, to be tampered with."""
    return shutil.copytree(original, tmp_path / "run")


@pytest.fixture
def folder(run):
    """One of its experiments."""
    return run / "redis-latency"


def test_untouched_evidence_gives_the_same_verdict(run, folder):
    assert verified(folder).confidence == 0.99
    assert experiments_in(folder) == [folder]
    assert experiments_in(run) == [folder, run / "replica-killed"]
    assert list(verified_run(run)) == experiments_in(run)


def rewritten(folder):
    """Change an experiment's log, and its manifest with it."""
    (folder / "logs/redis.log").write_text("all was well\n")
    write_manifest(EvidenceFolder(folder, NO_SECRETS))


LOST = [
    pytest.param(lambda run: shutil.rmtree(run / "replica-killed"), "replica-killed/manifest.json", id="its folder"),
    pytest.param(lambda run: shutil.rmtree(run / "replica-killed/logs"), "replica-killed/logs/redis.log", id="its logs"),
    pytest.param(lambda run: (run / "replica-killed").rename(run / "aside"), "replica-killed/manifest.json", id="its name"),
    pytest.param(lambda run: (run / "verdict.json").unlink(), "run/verdict.json", id="the run's verdict"),
    pytest.param(lambda run: (run / "ledger.jsonl").unlink(), "run/ledger.jsonl", id="the run's ledger"),
    pytest.param(lambda run: shutil.copytree(run / "replica-killed", run / "another"), "run/another", id="nothing; one is added"),
    pytest.param(lambda run: (run / "run-manifest.json").unlink(), "run", id="the run's manifest"),
    pytest.param(lambda run: rewritten(run / "replica-killed"), "run/replica-killed/manifest.json", id="nothing; one is written anew"),
]  # fmt: skip


@pytest.mark.parametrize(("lose", "where"), LOST)
def test_an_experiment_that_went_missing_is_missed(run, lose, where):
    """By every command that reads a run: a failing experiment must not be able to leave it."""
    lose(run)

    with pytest.raises(ReportError) as refused:
        verified_run(run)
    assert refused.value.where.endswith(where)
    slo, baseline = ["slo", str(PROJECT / "docs/examples/slo.yaml"), "--bundle"], ["baseline", "save", "x"]
    for command in (["verify"], ["diff", str(run)], slo, baseline):
        if "logs" not in where or "diff" not in command:  # what changed is seen in what was judged, not in its logs
            assert isinstance(CliRunner().invoke(app, [*command, str(run)]).exception, ReportError), command


def test_a_run_that_says_another_verdict_than_its_experiments_is_named(run):
    """Somebody improved it, and its hash with it."""
    said = json.loads((run / "verdict.json").read_text())
    (run / "verdict.json").write_text(json.dumps({**said, "outcome": "fail"}))
    write_run_manifest(EvidenceFolder(run, NO_SECRETS), ["redis-latency", "replica-killed"])

    with pytest.raises(ReportError, match="another verdict than its experiments"):
        verified_run(run)


@pytest.mark.parametrize("name", ["../verdict.json", "redis-latency/../../x", "/etc/hostname", "a/b/manifest.json"])
def test_a_runs_manifest_cannot_lead_elsewhere(run, name):
    path = run / "run-manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "files": {name: {"bytes": 1, "sha256": ""}} | manifest["files"]}))

    with pytest.raises(ReportError, match="leads out of the folder"):
        experiments_in(run)


def test_pages_written_again_leave_the_evidence_as_it_is(run, monkeypatch):
    """`readiness report` writes the run's verdict anew, to the same bytes."""
    monkeypatch.setattr("harness.report.run.write_pages", lambda *_, **__: None)  # pictures take seconds
    rebuild(run)

    assert verified_run(run)


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
    write_manifest(EvidenceFolder(folder, NO_SECRETS))

    with pytest.raises(ReportError, match="another verdict: pass"):
        verified(folder)


def test_an_experiment_without_a_manifest_was_cut_short(run, folder):
    (folder / MANIFEST_FILE).unlink()
    (run / RUN_MANIFEST_FILE).unlink()

    with pytest.raises(ReportError, match="this experiment was cut short"):
        experiments_in(run)


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
