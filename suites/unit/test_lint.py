"""`readiness lint`: every mistake of every file at once, each with its line, its key and its cure."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from harness.cli import app

SETTINGS = """\
[system]
name = "made"
[system.subject]
app = "made:create_app"
defects = { never-opens = "it waits" }
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
tiers = ["P0"]
[profiles.release]
stretch = 1.0
confidence = 0.9999
"""
GOOD = """\
scenario: redis-down
story: Redis refuses connections for a while.
load: {arrivals_per_s: 100}
phases:
  - {name: baseline, lasts: 10s}
  - name: fault
    lasts: 10s
    faults:
      - {kind: down, target: redis}
  - {name: recovery, lasts: 8s}
objectives:
  - {sli: errors, max: 1%, during: fault}
  - {sli: recovery, within: 5s}
"""


@pytest.fixture
def lint(tmp_path, monkeypatch):
    """Lint a project of these files; return the exit code and the lines that were said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "readiness.toml").write_text(SETTINGS)

    def lint(*paths, settings=SETTINGS, **files):
        (tmp_path / "readiness.toml").write_text(settings)
        for name, text in files.items():
            (tmp_path / f"scenarios/{name}.yaml").write_text(text)
        told = CliRunner().invoke(app, ["lint", *paths], standalone_mode=False)
        assert told.exception is None, told.exception
        return told.return_value or told.exit_code, told.output.replace(f"{tmp_path}/", "").splitlines()

    return lint


def places(lines):
    """Return where each mistake is said to be; what follows it is its cure."""
    return [line.partition(": ")[0] for line in lines[:-1:2]]


def test_files_without_a_mistake_are_counted(lint):
    """A program that reads nothing would say the same of everything."""
    assert lint(one=GOOD, two=GOOD.replace("redis-down", "two"))[1] == [
        "no mistakes in 2 scenario files and readiness.toml"
    ]


def test_every_mistake_of_every_file_is_told_at_once(lint):
    """Of form, of what hangs together, and of what only readiness.toml knows; file by file, in the order of lines."""
    form = GOOD.replace("story:", "stroy:").replace("lasts: 10s\n    faults", "lasts: 10\n    faults")
    whole = (
        GOOD.replace("redis-down", "whole")
        .replace("during: fault", "during: flaut")
        .replace("within: 5s", "within: 5s, during: nowhere")
        .replace("  - {name: recovery, lasts: 8s}\n", "")
        + "sometimes:\n  - {kind: answered, by: l1, during: never}\n"
    )
    known = GOOD.replace("redis-down", "known").replace("target: redis", "target: reddis")
    known += "catches:\n  - {defect: never-open, by: errors}\n  - {defect: never-opens, by: hits}\n"

    status, lines = lint(a=form, b=whole, c=known, d=GOOD)

    assert status == 1
    assert lines[-1] == "9 mistakes in 4 scenario files and readiness.toml"
    assert [line.rpartition(": ")[0].split(": ")[0] + ": " + line.split(": ")[1] for line in lines[:-1:2]] == [
        "scenarios/a.yaml:2: stroy",
        "scenarios/a.yaml:7: phases[1].lasts",
        "scenarios/b.yaml:6: phases[1]",
        "scenarios/b.yaml:11: objectives[0]",
        "scenarios/b.yaml:12: objectives[1]",
        "scenarios/b.yaml:14: sometimes[0]",
        "scenarios/c.yaml:9: phases[1].faults[0].target",
        "scenarios/c.yaml:15: catches[0].defect",
        "scenarios/c.yaml:16: catches[1].by",
    ]
    assert all(line.startswith("    ") for line in lines[1:-1:2])
    assert "did you mean 'story'?" in lines[1]
    assert "its phases: baseline, fault" in lines[7]
    assert "did you mean 'redis'?" in lines[13]


def test_two_scenarios_of_one_name_are_told_with_both_places(lint):
    """A run refuses them, and their folders would be one."""
    status, lines = lint(a=GOOD, b=f"# again\n{GOOD}")

    assert status == 1
    assert lines[0] == (
        "scenarios/b.yaml:2: scenario: the scenario 'redis-down' is there twice: scenarios/a.yaml:1: scenario"
    )


def test_a_mistake_in_some_profiles_only_is_told_once_with_their_names(lint):
    """What a profile cannot prove; one that does not take a scenario's tier has no say in it."""
    deep = GOOD.replace("redis-down", "deep").replace("story", "tier: P1\nstory", 1)
    short = GOOD.replace("lasts: 10s\n    faults", "lasts: 4s\n    faults")

    status, lines = lint(a=deep.replace("lasts: 10s\n    faults", "lasts: 4s\n    faults"), b=short)

    assert status == 1
    assert [line.partition(": objectives[0]: ")[2] for line in lines[:-1:2]] == [
        "`errors < 1%` during fault needs 917 error-free requests, this profile sends 400",
        "`errors < 1%` during fault needs 917 error-free requests, this profile sends 400 (profile release)",
    ]


def test_a_tier_that_no_profile_takes_is_held_to_all_of_them(lint):
    """It can still be asked for by its name."""
    settings = SETTINGS.replace("confidence", 'tiers = ["P1"]\nconfidence')

    _, lines = lint(settings=settings, a=GOOD.replace("story", "tier: P2\nstory", 1).replace("redis}", "reddis}"))

    assert "has nothing to hit" in lines[0]
    assert len(lines) == 3


def test_mistakes_of_the_settings_are_told_beside_those_of_form(lint):
    """And nothing that only follows from them."""
    settings = SETTINGS.replace('name = "made"', 'nam = "made"').replace('max = "1%"', "max = 1")

    status, lines = lint(
        settings=settings, a=GOOD.replace("redis}", "reddis}"), b=GOOD.replace("kind: down", "kind: dwn")
    )

    assert status == 1
    assert [line.split(": ")[0] for line in lines[:-1:2]] == [
        "readiness.toml:2",
        "readiness.toml:8",
        "scenarios/b.yaml:9",
    ]


def test_files_and_folders_are_chosen_by_path(lint, tmp_path):
    """Each once; one that is not there is a slip of the caller, not a mistake of a file."""
    lint(a=GOOD, b=GOOD.replace("kind: down", "kind: dwn"))

    assert lint("scenarios/a.yaml", "scenarios/a.yaml")[1] == ["no mistakes in 1 scenario files and readiness.toml"]
    assert lint("scenarios", "scenarios/b.yaml")[1][-1] == "1 mistake in 2 scenario files and readiness.toml"
    told = CliRunner().invoke(app, ["lint", "scenarios/c.yaml"])
    assert "there is no such file or folder" in str(told.exception)
    (tmp_path / "empty").mkdir()
    assert "there is no scenario" in str(CliRunner().invoke(app, ["lint", "empty"]).exception)
