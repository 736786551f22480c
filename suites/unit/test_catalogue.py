"""docs/catalogue.md: every scenario is on it, by what gets hurt, and it is the page of the files as they are."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.library.drawing import timeline_of
from harness.plan import as_run, read_source
from harness.spec.parser import read_settings
from suites.support.servers import PROJECT

PAGE = (PROJECT / "docs/catalogue.md").read_text()
FILES = sorted((PROJECT / "scenarios").rglob("*.yaml"))
SETTINGS = read_settings(PROJECT / "readiness.toml")


def test_the_catalogue_is_that_of_the_files(monkeypatch):
    """After a change of a scenario: `readiness catalogue > docs/catalogue.md`."""
    monkeypatch.chdir(PROJECT)

    assert CliRunner().invoke(app, ["catalogue"]).stdout == PAGE


def test_scenarios_stand_below_what_gets_hurt():
    """In the order of folders, each with a heading of its own."""
    headings = [line for line in PAGE.splitlines() if line.startswith("##")]
    scenarios = [(path.parent.name, read_source(path).scenario.scenario) for path in FILES]
    expected = []
    for folder, name in scenarios:
        expected += [f"## {folder}"] * (f"## {folder}" not in expected) + [f"### {name}"]

    assert headings == expected
    assert len(scenarios) >= 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_entry_says_what_its_file_says(path):
    """Its story, its tier, its timeline, all that it promises and catches; its link leads to it."""
    scenario = as_run(read_source(path).scenario, SETTINGS, "quick")
    entry = PAGE.partition(f"### {scenario.scenario}\n")[2].partition("\n##")[0]
    file = path.relative_to(PROJECT).as_posix()

    assert f"{scenario.story} ({scenario.tier}, [{file}](../{file}))" in entry
    assert "\n".join(timeline_of(scenario)) in entry
    assert all(f"\n    {promise}: " in entry for promise in scenario.promises)
    assert all(f"- `{each.defect}` by `{each.by}`: " in entry for each in scenario.catches)
    assert all(row in entry for row in scenario.answers)
    assert "unknown" not in entry
