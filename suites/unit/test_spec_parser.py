"""Bad files get one clear error: what, where with its line, and how to fix it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.plan import read_source
from harness.spec.parser import read_settings

PROJECT = Path(__file__).parents[2]

GOOD = """\
scenario: redis-down
story: Redis refuses connections for a while.
load: {arrivals_per_s: 100}
phases:
  - {name: baseline, lasts: 30s}
  - name: fault
    lasts: 10s
    faults:
      - {kind: down, target: redis}
  - {name: recovery, lasts: 8s}
objectives:
  - {sli: errors, max: 1%, during: fault}
  - {sli: recovery, within: 5s}
"""


def error_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_source(path)
    return str(caught.value).replace(str(path), "scenario.yaml")


@pytest.mark.parametrize("path", sorted((PROJECT / "scenarios").rglob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_scenarios_are_read(path):
    """Every scenario of ours can be understood, and its promises refer to its phases."""
    settings = read_settings(PROJECT / "readiness.toml")

    scenario = read_source(path).scenario.promising(settings.objectives)

    assert {objective.during for objective in scenario.objectives} <= {phase.name for phase in scenario.phases}


@pytest.mark.parametrize(
    ("old", "new", "what", "where", "fix"),
    [
        pytest.param("kind: down", "kind: dwn", "unknown kind 'dwn'", ":9: phases[1].faults[0]", "mean 'down'?", id="kind"),
        pytest.param("target:", "taget:", "unknown key 'taget'", ":9: phases[1].faults[0].taget", "mean 'target'?", id="key"),
        pytest.param("lasts: 10s", "lasts: 10", "not a duration: 10", ":7: phases[1].lasts", "with its unit", id="unit"),
        pytest.param("max: 1%", "max: 0.01", "not a percentage", ":12: objectives[0]", "with its sign", id="percent"),
        pytest.param("sli: errors", "sli: eror", "unknown sli 'eror'", ":12: objectives[0]", "mean 'errors'?", id="sli"),
        pytest.param("load:", "laod:", "unknown key 'laod'", ":3: laod", "did you mean 'load'?", id="top level key"),
        pytest.param("story: Redis refuses connections for a while.\n", "", "missing key 'story'", ": story", "add it", id="missing"),
        pytest.param("name: fault", "name: baseline", "is there twice", ": phases", "its own name", id="phase twice"),
        pytest.param("during: fault", "during: flaut", "which is not there", "scenario.yaml", "its phases:", id="phase unknown"),
        pytest.param("lasts: 8s", "lasts: 6s", "needs the phase 'recovery' to last 7s", "scenario.yaml", "lengthen", id="short"),
        pytest.param("scenario: redis-down", "scenario: ../x", "String should match", ":1: scenario", "value", id="path"),
        pytest.param("max: 1%", "max: on", "'on' means a boolean", ":12: objectives[0].max", "quote the word", id="yaml 1.1"),
        pytest.param("target: redis", "target: &a redis", "anchors and aliases", ":9", "write the value out", id="anchor"),
        pytest.param("story:", "story: !!python/object:os.system", "tag", ":2: story", "plain value", id="tag"),
        pytest.param("load:", "scenario: again\nload:", "'scenario' is there twice", ":3", "keep one", id="duplicate"),
        pytest.param("phases:", "phases: [", "not YAML", ":", "indentation", id="syntax"),
        pytest.param("arrivals_per_s: 100", "arrivals_per_s: 100, locustfile: ../theirs.py", "leads elsewhere", ": load", "below the folder", id="users of a stranger"),
        pytest.param("arrivals_per_s: 100", "arrivals_per_s: 100, schedule: {kind: replay, file: /etc/passwd}", "leads elsewhere", ": load.schedule.file", "below the folder", id="a file of a stranger"),
        pytest.param("arrivals_per_s: 100", "arrivals_per_s: .inf", "", ": load.arrivals_per_s", "", id="infinite"),
        pytest.param("load:", "tier: P4\nload:", "unknown tier 'P4'", ":3: tier", "known: P0, P1, P2", id="tier"),
        pytest.param("load:", "catches: [slow-start]\nload:", "keys with their values", ":3: catches[0]", "{key: value}", id="a defect without a promise"),
        pytest.param("load:", "catches: [{defect: x, by: eror}]\nload:", "unknown promise eror", ":3: catches[0].by", "mean 'errors'?", id="promise"),
        pytest.param("load:", "catches: [{defect: x, by: slow}, {defect: x, by: errors}]\nload:", "the defect x is there twice", ":3: catches", "meant to catch it", id="defect twice"),
        pytest.param("load:", 'answers: ["a\\nb"]\nload:', "String should match", ":3: answers[0]", "value", id="a row of two lines"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_placed_and_fixed(tmp_path, old, new, what, where, fix):
    """Each mistake says what, where and how to fix."""
    said = error_of(tmp_path, GOOD.replace(old, new, 1))

    first, place, cure = said.split("\n  ")
    assert what in first
    assert where in place
    assert fix in cure


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path):
    """In the order of its lines, each with its place and its cure; a mistyped key is one mistake, not two."""
    mistaken = GOOD.replace("lasts: 10s", "lasts: 10").replace("kind: down", "kind: dwn").replace("max: 1%", "mx: 1%")

    said = error_of(tmp_path, mistaken.replace("story:", "stroy:"))

    head, *mistakes = said.split("\n- ")
    assert head == "4 mistakes"
    assert [mistake.splitlines()[0].partition(";")[0] for mistake in mistakes] == [
        "unknown key 'stroy'",
        "not a duration: 10",
        "unknown kind 'dwn'",
        "unknown key 'mx'",
    ]
    assert [mistake.splitlines()[1].strip() for mistake in mistakes] == [
        "where: scenario.yaml:2: stroy",
        "where: scenario.yaml:7: phases[1].lasts",
        "where: scenario.yaml:9: phases[1].faults[0].kind",
        "where: scenario.yaml:12: objectives[0].mx",
    ]


def test_a_key_that_is_missing_beside_an_unknown_one_is_told_too(tmp_path):
    """An unknown key hides a missing one only where it may have been meant for it."""
    said = error_of(tmp_path, GOOD.replace("load: {arrivals_per_s: 100}", "weather: fair"))

    assert said.startswith("2 mistakes\n")
    assert "unknown key 'weather'" in said
    assert "missing key 'load'" in said


def test_a_wrong_value_is_told_beside_a_key_that_looks_like_its_own(tmp_path):
    """Only a key that is missing may have been meant by an unknown one."""
    said = error_of(tmp_path, GOOD.replace("    lasts: 10s\n", "    lasts: 10\n    last: 5s\n"))

    assert said.startswith("2 mistakes\n- not a duration: 10")
    assert "unknown key 'last'" in said


def test_a_fault_in_the_last_phase_is_refused(tmp_path):
    """Nobody would see whether it healed."""
    said = error_of(tmp_path, GOOD.split("  - {name: recovery", maxsplit=1)[0])

    assert "the last phase injects a fault" in said
    assert "add a phase after it" in said


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("", "file is empty", id="empty"),
        pytest.param("- 1\n- 2\n", "Input should be", id="a list"),
        pytest.param("[" * 100, "nested deeper than 32", id="deep"),
        pytest.param("[" * 100_000, "nest", id="deeper than the parser itself goes"),
        pytest.param("a: " + "x" * (1 << 20), "larger than 1 MiB", id="large"),
        pytest.param("a: &a [x]\nb: *a\n", "anchors and aliases", id="alias"),
        pytest.param("a: " + "9" * 5000, "no number that can be read", id="more digits than Python reads"),
        pytest.param("a: 0x_", "no number that can be read", id="no digits"),
    ],
)
def test_hostile_files_are_refused(tmp_path, text, what):
    """Neither a bomb nor a ladder gets far."""
    assert what in error_of(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """A missing file, and one that is no text."""
    with pytest.raises(SpecError, match="cannot read the file: No such file"):
        read_source(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"story: caf\xe9\n")
    with pytest.raises(SpecError, match="it is not UTF-8"):
        read_source(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("replicas = 2", "replicass = 2", "unknown key 'replicass'"),
        ("replicas = 2", "replicas = 0", "greater than or equal to 1"),
        ('max = "5%"', "max = 5", "not a percentage: 5"),
        ("[system]", "[system", "not TOML"),
        ("stretch = 1.0", "stretsh = 1.0", "unknown key 'stretsh'"),
        ("extends_to = 2", "extends_to = 3", "3 is none of 1, 2, 4, 8, 16"),
        ('max = "5%"', 'max = "5%"\nduring = "basline"', "about the phase 'basline'"),
    ],
)
def test_a_mistake_in_the_settings_is_named(tmp_path, old, new, what):
    """readiness.toml is held to the same standard."""
    path = tmp_path / "readiness.toml"
    path.write_text((PROJECT / "readiness.toml").read_text().replace(old, new, 1))

    with pytest.raises(SpecError, match=what):
        read_settings(path)


def test_a_scenario_that_says_no_tier_is_in_every_run(tmp_path):
    """To be left out of a gate is what must be said."""
    path = tmp_path / "scenario.yaml"
    path.write_text(GOOD)

    assert read_source(path).scenario.tier == "P0"
