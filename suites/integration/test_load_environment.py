"""What a locustfile gets of its caller's environment: what is named, as it is, and secrets that are told to nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.clock import SystemClock
from harness.errors import LoadError, SpecError
from harness.experiment import run_experiment
from harness.load.engine import LoadPlan, apply_load
from harness.options import Options, settings_of
from harness.report.terminal import Progress
from harness.run import opened
from harness.spec.scenario import Scenario
from harness.spec.system import Locust
from suites.support.httpserver import http_server
from suites.support.items import item_load
from suites.support.made import plan_for as planned
from suites.support.servers import PROJECT

CLOCK = SystemClock()
SECRET = "hunter2-of-the-shop"  # noqa: S105 - of nothing
SHOP = """
import os
from locust import FastHttpUser, task
import pricelist

token, tenant = os.environ["SHOP_TOKEN"], os.environ.get("SHOP_TENANT")

class Visitor(FastHttpUser):
    @task
    def look(self):
        self.client.get(f"/items/{pricelist.ITEM}", name=f"{tenant} {os.environ.get('SHOP_UNNAMED')}",
                        headers={"authorization": f"Bearer {token}"})
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a locustfile, a module that it needs from elsewhere, and what it reads of the environment."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/pricelist.py").write_text("ITEM = 1\n")
    told = {"SHOP_TOKEN": SECRET, "SHOP_TENANT": "blue", "SHOP_UNNAMED": "x", "PYTHONPATH": str(tmp_path / "elsewhere")}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def plan_for(project, base_url, *variables):
    load = item_load(arrivals_per_s=100, locustfile="shop.py", max_in_flight=5)
    return LoadPlan(
        base_url=base_url, load=load, lasts_s=0.5, seed=7, project=str(project), calibration_s=0.0, variables=variables
    )


def test_what_is_named_reaches_the_locustfile_and_nothing_else(project):
    """A token, a tenant, and a path to import from; what nobody named is not there."""
    with http_server("fast") as server:
        plan = plan_for(project, server.base_url, "SHOP_TOKEN", "SHOP_TENANT", "PYTHONPATH")
        with apply_load(plan, folder=project, clock=CLOCK) as load:
            result = load.finish()
        heard = b"".join(server.heard()).decode()

    assert result.tally.ok == result.tally.issued > 20
    assert {*result.samples.operations} - {"", "(no request)"} == {"blue None"}
    assert heard.count(f"Bearer {SECRET}") == result.tally.issued
    assert SECRET not in plan.to_json()


def test_a_variable_that_was_not_named_is_told_with_how_to_name_it(project):
    """It is set where the run is started: that the file runs there is no help."""
    with http_server("fast") as server:
        plan = plan_for(project, server.base_url, "PYTHONPATH")
        with pytest.raises(LoadError, match="KeyError: 'SHOP_TOKEN'") as told:
            with apply_load(plan, folder=project, clock=CLOCK):
                pass

    assert '[system.locust] variables = ["SHOP_TOKEN"], or --variable SHOP_TOKEN' in told.value.fix
    assert told.value.where.endswith("shop.py:6")


def test_a_variable_that_is_named_and_not_set_is_refused_before_anything_starts(project):
    """By its name; a load that brings no locustfile does not miss it."""
    plan = plan_for(project, "http://127.0.0.1:9", "SHOP_TOKEN", "SHOP_COLOUR")
    spawned = []

    with pytest.raises(LoadError, match="is to get SHOP_COLOUR, which is not set here"):
        with apply_load(plan, folder=project, clock=CLOCK, on_spawn=spawned.append):
            pass

    assert spawned == []
    assert plan.environment({"SHOP_TOKEN": "a", "SHOP_COLOUR": "b", "other": "c"}) == {
        "SHOP_TOKEN": "a",
        "SHOP_COLOUR": "b",
    }


SETTINGS = """
[system]
name = "shop"
[system.subject]
external = "http://127.0.0.1:9"
[system.locust]
variables = ["PYTHONPATH"]
secrets = ["SHOP_TOKEN"]
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
"""


@pytest.mark.parametrize(
    "task", ["raise ValueError(token)", "import sys; print(token); sys.stdout.flush(); import os; os._exit(3)"]
)
def test_a_secret_that_a_locustfile_tells_is_told_no_further(project, task):
    """In an error, or in the last words of a generator that died: it is cut out of what is printed."""
    (project / "readiness.toml").write_text(SETTINGS)
    (project / "shop.py").write_text(
        SHOP.replace("        self.client.get", f"        {task}\n        self.client.get")
    )
    command = [sys.executable, "-P", "-c", "from harness.cli import main; main()", "load"]
    with http_server("fast") as server:
        told = subprocess.run(
            [*command, server.base_url, "--rate", "50", "--for", "1s", "--locustfile", "shop.py", "--variable", "SHOP_TENANT"],
            cwd=project, capture_output=True, text=True, check=False, timeout=60,
            env={**os.environ, "PYTHONPATH": f"{project / 'elsewhere'}{os.pathsep}{PROJECT}"},
        )  # fmt: skip

    assert told.returncode == 3, told.stderr
    assert SECRET not in told.stdout + told.stderr
    assert "[redacted]" in told.stderr


def run_of(project, run_id="a-run"):
    """Open a run of a service whose locustfile is to get a variable and a secret."""
    settings = settings_of(PROJECT)
    locust = Locust(variables=("SHOP_TENANT",), secrets=("SHOP_TOKEN",))
    settings = settings.model_copy(update={"system": settings.system.model_copy(update={"locust": locust})})
    options = Options(
        project=project, profile="quick", backend="embedded", defect=None, seed=1, out=project / "runs", run_id=run_id
    )
    return opened(options, settings, clock=CLOCK, listener=Progress())


STORY = {
    "scenario": "theirs",
    "story": "The locustfile of a project presses.",
    "load": {"arrivals_per_s": 50, "locustfile": "shop.py"},
    "phases": [{"name": "baseline", "lasts": "5s"}],
    "objectives": [{"sli": "errors", "max": "5%"}],
}


def test_a_run_knows_what_its_locustfile_gets_and_what_of_it_is_secret(project, monkeypatch):
    """A variable that is not set ends an experiment before anything starts; a secret is in no evidence of it."""
    with run_of(project) as run:
        assert run.context.given == {"SHOP_TENANT": "blue", "SHOP_TOKEN": SECRET}
        assert run.folder.secrets.redacted(f"it is {SECRET}, {'blue'}") == "it is [redacted], blue"
        assert run.context.hidden == {}
    monkeypatch.delenv("SHOP_TENANT")
    with run_of(project, "another") as run:
        history = run_experiment(planned(Scenario.model_validate(STORY)), run.context, project)

    assert [failure.what for failure in history.failures] == [
        "the locustfile is to get SHOP_TENANT, which is not set here"
    ]
    assert "process" not in (project / "runs/another/ledger.jsonl").read_text()


def test_a_secret_of_a_locustfile_that_is_too_short_to_be_cut_out_is_refused(project, monkeypatch):
    """It would be in half of all words."""
    monkeypatch.setenv("SHOP_TOKEN", "short")

    with pytest.raises(SpecError, match="the secret SHOP_TOKEN is shorter than 6"):
        with run_of(project):
            pass
