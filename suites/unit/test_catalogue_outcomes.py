"""What scenarios were last measured to be: noted from evidence, told on the catalogue's page, and never of a defect."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import ReportError, SpecError
from harness.library.outcomes import OUTCOMES_FILE, measured_in, newer, read_outcomes
from harness.verdict.outcome import Outcome
from suites.support.golden import FOLDER_2
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.runs import run_folder
from suites.support.servers import PROJECT

SCENARIO = scenario_of(faults=False, objectives=[{"sli": "slow", "over": "100ms", "max": "5%"}])


def run(folder, name, *, at="2026-11-30T12:00:00+00:00", slow=0, **changed):
    """Write a run of one scenario that began at a time."""
    scenario = SCENARIO.model_copy(update={"scenario": name})
    history = history_of(scenario, [Stretch(lasts_s=30, slow=slow)], began_at=at, **changed)
    return run_folder(folder, [(scenario, history)])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with two of this project's scenarios, where commands are run."""
    (tmp_path / "readiness.toml").write_text((PROJECT / "readiness.toml").read_text())
    (tmp_path / "fixtures/reference").mkdir(parents=True)
    for file in ("redis/down.yaml", "control/no-fault.yaml"):
        place = tmp_path / "scenarios" / file
        place.parent.mkdir(parents=True)
        place.write_text((PROJECT / "scenarios" / file).read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def page(*arguments):
    return CliRunner().invoke(app, ["catalogue", *arguments], catch_exceptions=False).stdout


def test_the_page_tells_how_a_scenario_ended_last(project):
    """With its day, its commit and the numbers of each promise; a scenario that was not run has no such line."""
    made = run(project / "reports/one", "redis-down")

    told = page("--from", str(made), "--commit", "670236bb")

    entry = told.partition("### redis-down\n")[2]
    assert "Last measured 2026-11-30 at 670236bb" in entry
    claims = json.loads((made / "redis-down/verdict.json").read_text())["claims"]
    assert claims
    assert all(f"\n- {claim['sentence']}" in entry for claim in claims)
    assert told.count("Last measured") == 1
    assert page() == told, "what was noted stays"


def test_a_later_run_takes_the_place_of_an_earlier_one_in_any_order(project):
    """Also among those that are noted at once; what was noted of other scenarios stays."""
    old = run(project / "a", "redis-down", at="2026-11-28T00:00:00+00:00", slow=4000)
    new = run(project / "b", "redis-down", at="2026-11-29T00:00:00+00:00")
    page("--from", str(run(project / "c", "no-fault")))

    for runs in ([new, old], [old], [old, new]):
        page(*(word for each in runs for word in ("--from", str(each))))
        noted = read_outcomes(project)
        assert list(noted) == ["no-fault", "redis-down"]
        assert noted["redis-down"].at.day == 29
        assert noted["redis-down"].outcome is not Outcome.FAIL

    assert newer({"x": noted["no-fault"]}, {"x": noted["redis-down"]})["x"] == noted["no-fault"]


def test_what_a_run_did_not_prove_is_said():
    """An obligation that was not met stands beside the promises, on one line."""
    found = measured_in([FOLDER_2], "")

    assert {name: each.outcome.value for name, each in found.items()} == {
        "kept": "pass",
        "broken": "fail",
        "broke-off": "error",
    }
    assert found["kept"].unmet == ()
    assert found["broke-off"].unmet[0].startswith("ran to the end: postgres gave no healthy answer within 20 s where:")


def test_a_run_of_a_defect_and_changed_evidence_are_refused(project):
    """Neither is an outcome of the service; nothing is noted then."""
    with pytest.raises(SpecError, match="seeded defect redis-no-timeout"):
        page("--from", str(run(project / "a", "redis-down", defect="redis-no-timeout")))
    changed = run(project / "b", "redis-down")
    verdict = changed / "redis-down/verdict.json"
    verdict.write_text(verdict.read_text().replace("n = 7 500", "n = 7 501"))
    with pytest.raises(ReportError, match="changed"):
        page("--from", str(changed))

    assert not (project / OUTCOMES_FILE).exists()


@pytest.mark.parametrize(
    "said",
    [
        "[]",
        '{"redis-down": {"at": "2026-11-30T12:00:00", "commit": "", "profile": null, "outcome": "pass", "claims": []}}',
        '{"redis-down": {"at": "2026-11-30T12:00:00Z", "commit": "", "profile": null, "outcome": "green", "claims": []}}',
        '{"redis-down": {"at": "2026-11-30T12:00:00Z", "commit": "a b", "profile": null, "outcome": "pass", "claims": []}}',
        '{"redis-down": {"at": "2026-11-30T12:00:00Z", "commit": "", "profile": null, "outcome": "pass", "claims": [], "more": 1}}',
    ],
)  # fmt: skip
def test_a_file_that_is_not_of_this_kind_is_refused(project, said):
    """With its name, and how to have it again."""
    (project / OUTCOMES_FILE).write_text(said)

    with pytest.raises(SpecError) as refused:
        page()
    assert OUTCOMES_FILE in refused.value.where
    assert "--from" in refused.value.fix
