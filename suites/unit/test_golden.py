"""A run that was judged elsewhere, some time ago: every machine and every version finds the same verdicts in it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.evidence import NO_SECRETS, EvidenceFolder, read_experiment, verified_run, write_evidence, write_manifest
from harness.layout import EVIDENCE, SAMPLES_FILE, SYSTEM_FILE
from harness.verdict.judge import judge
from harness.verdict.outcome import worst
from suites.support import golden

SCHEMAS = {
    golden.FOLDER: {"broken": "fail", "kept": "pass", "open": "inconclusive"},
    golden.FOLDER_2: {"broke-off": "error", "broken": "fail", "kept": "pass"},
}


@pytest.mark.parametrize("folder", SCHEMAS, ids=lambda folder: folder.name)
def test_a_run_is_judged_to_the_same_bytes_on_every_machine(folder):
    """Bounds, what requests are worth, recovery, and every sentence. See suites/support/golden.py."""
    verdicts = verified_run(folder)
    told = CliRunner().invoke(app, ["verify", str(folder)])

    assert {place.name: str(verdict.outcome) for place, verdict in verdicts.items()} == SCHEMAS[folder]
    assert told.exit_code == worst(verdict.outcome for verdict in verdicts.values()).exit_code
    assert told.output.count("evidence unchanged, judged again the same") == 3


@pytest.mark.parametrize("folder", SCHEMAS, ids=lambda folder: folder.name)
def test_a_run_is_compared_with_itself_without_a_difference(folder):
    """What is read of either schema is all that a comparison asks for."""
    told = CliRunner().invoke(app, ["diff", str(folder), str(folder)])

    assert told.exit_code == 0, told.output
    assert told.output.count("no difference") == 3


def test_the_schemas_are_what_their_names_say():
    """Manifests and histories alike, so that one of them is a run of an earlier harness for good."""
    said = {
        folder: {json.loads(path.read_bytes())["schema"] for path in folder.rglob("*manifest.json")}
        for folder in SCHEMAS
    }
    histories = {
        folder: {json.loads(path.read_bytes()).get("schema") for path in folder.rglob("history.json")}
        for folder in SCHEMAS
    }

    assert said == {golden.FOLDER: {1}, golden.FOLDER_2: {2}}
    assert histories == {golden.FOLDER: {None}, golden.FOLDER_2: {2}}


def test_a_run_of_schema_2_is_read_judged_and_written_to_the_same_bytes(tmp_path):
    """Twice, each time from what the time before wrote: nothing is lost, added or said differently on the way."""
    for place in sorted(path.parent for path in golden.FOLDER_2.glob("*/manifest.json")):
        before = place
        for turn in ("once", "twice"):
            experiment, text = read_experiment(before)
            verdict = experiment.verdict
            again = judge(experiment.scenario, experiment.history, confidence=verdict.confidence, family=verdict.family)
            folder = tmp_path / turn / place.name
            written = EvidenceFolder(folder, NO_SECRETS)
            write_evidence(written, replace(experiment, verdict=again), scenario_text=text)
            (folder / "logs").mkdir()
            write_manifest(written)
            assert json.loads((folder / "manifest.json").read_bytes())["schema"] == 2
            for name in EVIDENCE:
                if name not in {
                    SAMPLES_FILE,
                    SYSTEM_FILE,
                }:  # pyarrow signs the one with its version, the other is of this machine
                    assert (folder / name).read_bytes() == (place / name).read_bytes(), f"{place.name}/{name}"
            again_seen = read_experiment(folder)[0].history
            assert again_seen.samples.records.tobytes() == experiment.history.samples.records.tobytes()
            assert again_seen.operations.records.tobytes() == experiment.history.operations.records.tobytes()
            before = folder


def test_schema_2_tells_faults_apart_and_failures_by_kind():
    """Two faults at once have ids and plans; what broke off is a record."""
    kept, broke_off = (read_experiment(golden.FOLDER_2 / name)[0].history for name in ("kept", "broke-off"))

    assert [(mark.id, mark.fault, mark.planned) for mark in kept.faults] == [
        ("fault-1", "redis down", (15.0, 20.0)),
        ("fault-2", "postgres +50ms", (15.0, 20.0)),
    ]
    assert (kept.profile, len(kept.operations)) == ("quick", 16)
    assert [(failure.kind, failure.where) for failure in broke_off.failures] == [("not-ready", "127.0.0.1:21540")]


def test_what_schema_1_did_not_say_is_read_from_where_it_was():
    """Faults are counted through, their plan is not known, and the profile stands in system.json."""
    experiment, _ = read_experiment(golden.FOLDER / "broken")

    assert experiment.history.profile == "quick"
    assert [(mark.id, mark.planned) for mark in experiment.history.faults] == [("fault-1", None)]
