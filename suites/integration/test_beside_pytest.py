"""Scenarios beside a project's own pytest: its options, plugins and conftest.py are for its tests, and change no run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from suites.support.servers import PROJECT

SETTINGS = """\
[system]
name = "made"
[system.components.redis]
[system.subject]
app = "made:create_app"
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
"""
SCENARIO = """\
scenario: calm
story: Nothing is broken.
load: {arrivals_per_s: 100}
phases:
  - {name: baseline, lasts: 10s}
"""
LOADED = {"conftest.py": 'pytest_plugins = ["harness.plugin"]\n'}


@pytest.fixture
def project(tmp_path):
    """Return a function that makes a project, with more files."""

    def make(files, folder=""):
        top = tmp_path / folder
        for name, text in {"readiness.toml": SETTINGS, "scenarios/calm.yaml": SCENARIO, **files}.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
        return top

    return make


def called(folder, program, *arguments, **variables):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **variables},
    )  # fmt: skip


def readiness(folder, *arguments, **variables):
    return called(folder, "from harness.cli import main; main()", *arguments, **variables)


def run_by_pytest(folder, *arguments):
    program = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    return called(folder, program, "-p", "no:locust", "-p", "no:schemathesis", *arguments)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"pytest.ini": "[pytest]\naddopts = --cov --nonsense\n"}, id="options that are not here"),
        pytest.param({"pytest.ini": "[pytest]\nrequired_plugins = pytest-nonsense\n"}, id="a plugin that is not here"),
        pytest.param({"pytest.ini": "[pytest]\nminversion = 99\n"}, id="another version"),
        pytest.param(
            {"pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-p no:allure_pytest"\n'}, id="no Allure"
        ),
        pytest.param({"pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-k nothing"\n'}, id="a selection"),
        pytest.param({"tox.ini": "[pytest]\naddopts = -n 2\n"}, id="several at a time"),
        pytest.param({"conftest.py": "import nonsense\n"}, id="a conftest that cannot be imported"),
    ],
)
def test_what_a_project_says_to_its_pytest_is_not_said_to_a_run(project, files):
    """Each of them would end `readiness run` before anything, or change what it runs."""
    told = readiness(project(files), "run", "--collect-only")

    assert told.returncode == 0, told.stdout + told.stderr
    assert "scenarios/calm.yaml::calm" in told.stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTEST_ADDOPTS": "--nonsense"},
        {"PYTEST_PLUGINS": "nonsense"},
        {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_what_the_environment_says_to_pytest_is_not_said_to_a_run(project, variables):
    """It is there for days before somebody remembers."""
    told = readiness(project({}), "run", "--collect-only", **variables)

    assert told.returncode == 0, told.stdout + told.stderr
    assert "scenarios/calm.yaml::calm" in told.stdout


def test_pytest_with_several_workers_is_refused_by_name(project):
    """Two scenarios beside each other measure each other; nothing of the evidence is touched."""
    folder = project({**LOADED, "reports/runs/old/evidence": "kept"})
    told = run_by_pytest(folder, "scenarios", "-n", "2")

    assert told.returncode != 0
    assert "pytest-xdist would run scenarios beside each other" in told.stdout
    assert [path.name for path in (folder / "reports/runs").iterdir()] == ["old"]
    assert (folder / "reports/runs/old/evidence").read_text() == "kept"


RERUNS = """\
pytest_plugins = ["harness.plugin"]

def pytest_addoption(parser):
    parser.addoption("--reruns", type=int, default=0)
"""


def test_reruns_are_refused_by_name(project):
    """A gate that is asked until it passes proves nothing; none is asked for where the number is 0."""
    folder = project({"conftest.py": RERUNS})
    refused, taken = (run_by_pytest(folder, "scenarios", "--collect-only", "--reruns", count) for count in "10")

    assert refused.returncode != 0
    assert "pytest would run a scenario again until it passes" in refused.stdout
    assert taken.returncode == 0, taken.stdout


def test_a_time_limit_for_tests_is_none_for_a_scenario(project):
    """It takes as long as its profile says; a limit in mid-run would end it as if it had hung."""
    limits = """
def pytest_collection_modifyitems(items):
    print("limits", [item.get_closest_marker("timeout").args for item in items])
"""
    told = run_by_pytest(
        project({"conftest.py": LOADED["conftest.py"] + limits}), "scenarios", "--co", "--timeout", "1"
    )

    assert "limits [(0,)]" in told.stdout


def test_scenarios_can_be_left_out_by_their_marker(project):
    """Of an ordinary `pytest` of the project, which is to be over in a second."""
    told = run_by_pytest(project(LOADED), "--collect-only", "-q", "--strict-markers", "-m", "not scenario")

    assert "1 deselected" in told.stdout


def test_a_project_below_a_folder_called_scenarios_keeps_its_other_files(project):
    """Only those of its own folder are scenarios: a checkout may lie anywhere."""
    folder = project({**LOADED, "data/menu.yaml": "soup: 3\n"}, folder="scenarios/shop")
    told = run_by_pytest(folder, "--collect-only", "-q", f"--rootdir={folder}")

    assert told.returncode == 0, told.stdout
    assert "scenarios/calm.yaml::calm" in told.stdout
    assert "menu" not in told.stdout


def test_a_project_in_a_monorepo_is_found_by_its_own_file(project, tmp_path):
    """The nearest readiness.toml above a scenario is its project's, whatever stands at the top."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text(LOADED["conftest.py"])
    project({}, folder="services/shop")
    told = run_by_pytest(tmp_path, "services", "--collect-only", "-q")

    assert told.returncode == 0, told.stdout
    assert "services/shop/scenarios/calm.yaml::calm" in told.stdout


def test_scenarios_of_two_projects_are_two_runs(project, tmp_path):
    """One run has one readiness.toml; that both would be judged by the first is refused."""
    (tmp_path / "conftest.py").write_text(LOADED["conftest.py"])
    project({}, folder="services/shop")
    project({}, folder="services/stock")
    told = run_by_pytest(tmp_path, "services", "--collect-only", "-q")

    assert told.returncode != 0
    assert "these scenarios are of two projects" in told.stdout


def test_hidden_files_are_passed_over(project):
    """An editor's lock is a link that leads nowhere, and a draft is nobody's scenario yet."""
    folder = project({"scenarios/.draft.yaml": "scenario"})
    (folder / "scenarios/.#calm.yaml").symlink_to("nobody@nowhere.1:2")

    assert readiness(folder, "run", "--collect-only").returncode == 0
    assert readiness(folder, "lint").stdout == "no mistakes in 1 scenario files and readiness.toml\n"
    (folder / "conftest.py").write_text(LOADED["conftest.py"])
    assert run_by_pytest(folder, "scenarios", "--collect-only").returncode == 0
