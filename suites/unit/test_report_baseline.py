"""`readiness baseline` on runs' folders: what it keeps, what it refuses, and what it exits with."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from harness.cli import main
from harness.compare.baseline import gathered, read_baseline
from harness.errors import ReportError
from suites.support import histories
from suites.support.runs import run_folder


def write_run(place, number, *, slower=1.0, arrivals_per_s=None, **changes):
    """Write one run of the control scenario, with a run id of its own."""
    scenario, history = histories.control(seed=1)
    if arrivals_per_s:
        load = scenario.load.model_copy(update={"arrivals_per_s": arrivals_per_s})
        scenario = scenario.model_copy(update={"load": load})
    history = dataclasses.replace(history, run_id=f"run-{number}", **changes)
    history.samples.records["latency_s"] *= slower * (1 + number % 5 / 1000)
    return run_folder(place / f"run-{number}", [(scenario, history)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Five runs, five more like them, and five that are a third slower."""
    place = tmp_path_factory.mktemp("runs")
    like = [write_run(place, number) for number in range(10)]
    slower = [write_run(place, number, slower=1.35) for number in range(10, 15)]
    return {"before": like[:5], "like": like[5:], "slower": slower}


@pytest.fixture
def readiness(tmp_path, monkeypatch, capsys):
    """Run the command line in an empty folder; return its exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in ("baseline", *arguments)])
        said = capsys.readouterr()
        return ended.value.code or 0, said.out + said.err

    return run


@pytest.fixture
def saved(readiness, made):
    assert readiness("save", "main", *made["before"])[0] == 0
    return readiness


def test_runs_like_the_baseline_exit_0(saved, made):
    code, said = saved("compare", "main", *made["like"], "--strict")

    assert code == 0, said
    assert "0 worse" in said
    assert "0 not to be told" in said


@pytest.mark.parametrize(("strict", "code", "says"), [([], 0, "warning: worse than the baseline"), (["--strict"], 1, "fail: p95 during baseline")])  # fmt: skip
def test_slower_runs_are_warned_of_or_fail(saved, made, strict, code, says):
    ended, said = saved("compare", "main", *made["slower"], *strict)

    assert ended == code, said
    assert says in said
    assert "worse by" in said


def test_a_wider_floor_lets_a_shift_be(saved, made):
    assert saved("compare", "main", *made["slower"], "--strict", "--floor", "60%")[0] == 0
    assert saved("compare", "main", *made["slower"], "--floor", "wide")[0] == 3


@pytest.mark.parametrize(("count", "needed"), [(1, "4 more runs are needed"), (4, "1 more run is needed")])
@pytest.mark.parametrize("strict", [[], ["--strict"]])
def test_too_few_later_runs_exit_2(saved, made, count, needed, strict):
    code, said = saved("compare", "main", *made["like"][:count], *strict)

    assert code == 2
    assert f"{needed} to compare with it ({count} of 5)" in said
    assert "chance" not in said


def test_too_few_runs_are_no_baseline(readiness, made, tmp_path):
    code, said = readiness("save", "main", *made["before"][:3])

    assert code == 2
    assert "2 more runs are needed (3 of 5)" in said
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_not_as_planned_is_left_out(readiness, made, tmp_path):
    """Its load stood still: whatever it measured, it was not the service."""
    odd = write_run(tmp_path, 99, heartbeats=())
    code, said = readiness("save", "main", odd, *made["before"][:4])

    assert code == 2
    assert f"{odd / 'no-fault'} is left out: generator alive" in said


def test_a_later_run_that_was_left_out_is_never_a_pass(saved, made, tmp_path):
    """It was stopped because it was hopeless: the five that were not are the better ones."""
    phases = tuple(dataclasses.replace(mark, was_stopped=True) for mark in histories.control(seed=1)[1].phases)
    hopeless = write_run(tmp_path, 98, phases=phases)
    code, said = saved("compare", "main", *made["like"], hopeless)

    assert code == 2, said
    assert "run-98/no-fault is left out" in said
    assert "broken beyond doubt" in said


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"profile": "full"}, "profile is 'full' here and 'quick' in the baseline"),
        ({"defect": "redis-no-timeout"}, "defect is 'redis-no-timeout' here and None in the baseline"),
        ({"arrivals_per_s": 77.0}, "load.arrivals_per_s is 77.0 here"),
    ],
)
def test_unlike_runs_are_refused_by_their_key(saved, tmp_path, changes, key):
    later = [write_run(tmp_path / "later", number, **changes) for number in range(20, 25)]
    code, said = saved("compare", "main", *later)

    assert code == 3
    assert key in said


def test_unlike_runs_are_no_side(readiness, made, tmp_path):
    """Not even beside each other."""
    code, said = readiness("save", "main", *made["before"], write_run(tmp_path, 30, defect="x"))

    assert code == 3
    assert "defect is 'x' here and None in the other runs" in said
    assert not (tmp_path / "reports").exists()


def test_a_run_counts_once(saved, made, tmp_path):
    """Not twice under two names, and not on both sides: a copy of the evidence is no evidence."""
    copies = [shutil.copytree(made["like"][0], tmp_path / f"copy-{number}") for number in range(5)]
    code, said = saved("compare", "main", *copies)
    assert (code, "there twice" in said) == (3, True)

    code, said = saved("compare", "main", *made["before"])
    assert (code, "part of the baseline itself" in said) == (3, True)


def test_changed_evidence_is_refused(saved, made, tmp_path):
    copy = shutil.copytree(made["like"][0], tmp_path / "copy")
    (copy / "no-fault/samples.parquet").write_bytes(b"better")
    code, said = saved("compare", "main", copy)

    assert code == 3
    assert "samples.parquet" in said


def test_another_scenario_cannot_be_compared(saved, made, tmp_path):
    path = tmp_path / "reports/baselines/main.json"
    path.write_text(path.read_text().replace('"no-fault": {', '"other": {'))
    code, said = saved("compare", "main", *made["like"])

    assert code == 3
    assert "scenario is no-fault here and other in the baseline" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data.update(format=2), "format"),
        (lambda data: data.update(more=1), "more"),
        (lambda data: data.update(scenarios={}), "scenarios"),
        (lambda data: data["scenarios"]["no-fault"]["blocks"].append(data["scenarios"]["no-fault"]["blocks"][0]), "there twice"),
        (lambda data: data["scenarios"]["no-fault"]["blocks"][0]["figures"][0].update(value=-1), "scenarios.no-fault.blocks.0.figures.0.value"),
        (lambda data: data["scenarios"]["no-fault"]["blocks"][0]["figures"][1].update(value=1.5), "is a share"),
    ],
)  # fmt: skip
def test_a_damaged_baseline_is_named_by_its_key(saved, made, tmp_path, change, says):
    path = tmp_path / "reports/baselines/main.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    code, said = saved("compare", "main", *made["like"])

    assert code == 3
    assert "main.json" in said
    assert says in said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": NaN}'])
def test_what_is_no_baseline_is_refused(tmp_path, text):
    path = tmp_path / "main.json"
    path.write_text(text)

    with pytest.raises(ReportError):
        read_baseline(path)


def test_names_and_places_that_lead_nowhere(readiness, made, tmp_path):
    assert "no such baseline" in readiness("compare", "main", *made["like"])[1]
    assert "cannot name" in readiness("save", "../main", *made["before"])[1]
    assert "no experiment in this folder" in readiness("save", "main", "nowhere")[1]
    (tmp_path / "file").write_text("")
    code, said = readiness("save", "main", *made["before"], "--out", "file/main.json")
    assert (code, "cannot write" in said) == (3, True)


def test_what_was_saved_is_read_again(saved, made, tmp_path):
    """Figures survive the file exactly."""
    assert read_baseline(tmp_path / "reports/baselines/main.json").scenarios == gathered(made["before"]).sides


@pytest.mark.parametrize(
    ("key", "value"), [("architecture", "vax"), ("processor", "another"), ("cores", 64), ("usable_cores", 0.5)]
)
def test_runs_of_unequal_machines_are_not_compared(saved, made, tmp_path, key, value):
    """One processor beside another, or one with fewer of its cores to use: the key is named, with both."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(made["like"][0], folder)
    machine = json.loads((folder / "no-fault/system.json").read_text())["machine"]
    scenario, history = histories.control(seed=1)
    elsewhere = run_folder(
        tmp_path / "other",
        [(scenario, dataclasses.replace(history, run_id="run-elsewhere"))],
        machine={**machine, key: value},
    )

    code, said = saved("compare", "main", elsewhere)

    assert code == 3
    assert f"machine.{key} is {value!r} here and {machine[key]!r} in the baseline" in said
