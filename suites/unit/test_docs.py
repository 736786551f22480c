"""What the pages say is what the program does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from harness.options import settings_of
from harness.spec.document import read_yaml
from harness.spec.faults import (
    Bandwidth,
    Blackhole,
    ConnectBlackhole,
    CrashLoop,
    Down,
    HalfOpen,
    Kill,
    Latency,
    LimitData,
    Pause,
    Reload,
    Reset,
    Restart,
    RollingRestart,
    Slicer,
    SlowStart,
    StaleConnections,
)
from harness.spec.invariant import NoAcknowledgedWriteLost
from harness.spec.objective import Errors, Hits, Late, Processor, Recovery, Slow
from harness.spec.phase import Phase
from harness.spec.quantity import count_text
from harness.spec.requests import PLACEHOLDERS, USER, DeclaredRequest
from harness.spec.scenario import Scenario
from harness.spec.sometimes import Answered, Grows, Metric
from harness.spec.timeline import scheduled
from harness.stack.blueprint import Blueprint
from harness.stack.service import Address
from harness.verdict.bounds import requests_needed
from suites.support.stack import DUMMY

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/scenarios.md").read_text()
README = (PROJECT / "README.md").read_text()
GIVEN = {name: Address("127.0.0.1", 1) for name in DUMMY.components}

SERVICE = """
[system]
name = "shop"
[system.subject]
app = "shop:create_app"
[[objectives]]
sli = "hits"
min = "50%"
[profiles.quick]
stretch = 1.0
"""

BARE = re.compile(r"# (?:noqa(?:: [A-Z0-9, ]+)?|type: ignore(?:\[[a-z, -]+\])?)$", re.MULTILINE)
"""An ignored rule with nothing behind it; a reason follows ` - ` or a `#` of its own."""


def placeholders(text):
    return set(re.findall(r"\{([a-z.]+)\}", text))


def test_the_example_scenario_is_read():
    """Copied from the page, it runs; and it is the one that the command beside it runs."""
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]

    assert Scenario.model_validate(read_yaml(example, name="docs").data).scenario == "redis-down"
    assert example == (PROJECT / "scenarios/redis/down.yaml").read_text()
    assert example.partition("scenario: ")[2] in README


def test_the_example_of_windows_is_what_a_phase_takes():
    """Three faults in one phase, each with its window."""
    (example,) = re.findall(r"```yaml\n(phases:.*?)```", PAGE, re.DOTALL)
    phases = [Phase.model_validate(phase) for phase in read_yaml(example, name="docs").data["phases"]]

    assert [(action.starts_s, action.ends_s) for action in scheduled(phases)] == [(24, 44), (29, 37), (39, 42)]


def test_the_settings_of_somebody_else_are_read(tmp_path):
    """Copied from the page, but for the dots."""
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "readiness.toml").write_text(example)

    assert settings_of(tmp_path).system.name == "shop"
    of_replicas = set(Blueprint(system=DUMMY, seed=1).placeholders("replica-1", GIVEN))
    assert placeholders(example) == of_replicas | set(PLACEHOLDERS) - {USER}


def test_the_requests_and_headers_of_the_page_on_the_load_are_read(tmp_path):
    """All examples together, below a service; and every placeholder and every method stands on the page."""
    page = (PROJECT / "docs/load.md").read_text()
    examples = "\n".join(re.findall(r"```toml\n(.*?)```", page, re.DOTALL))
    (of_system,) = re.findall(r"^\[system\]\n(.*?)\n\n", examples, re.MULTILINE)
    service = SERVICE.replace("[system]\n", f"[system]\n{of_system}\n")
    (tmp_path / "readiness.toml").write_text(examples.replace(f"[system]\n{of_system}\n", "") + service)

    system = settings_of(tmp_path).system

    assert [request.name for request in system.requests] == ["order", "look", "graph"]
    assert system.headers.hits == ("l1", "l2")
    assert (system.login and system.login.users, system.secrets) == (20, ("SHOP_PASSWORD",))
    assert system.locust.secrets == ("SHOP_TOKEN",)
    assert all(f"| `{{{name}}}`" in page for name in PLACEHOLDERS)
    assert all(method in page for method in get_args(DeclaredRequest.model_fields["method"].annotation))


@pytest.mark.parametrize(
    "model",
    [
        Down,
        Latency,
        Blackhole,
        HalfOpen,
        Reset,
        Bandwidth,
        Slicer,
        LimitData,
        ConnectBlackhole,
        StaleConnections,
        Kill,
        Pause,
        SlowStart,
        Restart,
        RollingRestart,
        CrashLoop,
        Reload,
        Answered,
        Metric,
        Grows,
        Slow,
        Errors,
        Late,
        Hits,
        Processor,
        Recovery,
        NoAcknowledgedWriteLost,
    ],
    ids=lambda model: model.__name__,
)
def test_every_kind_has_its_row(model):
    """A new fault or objective comes with a line for its reader."""
    field = model.model_fields.get("kind") or model.model_fields["sli"]
    (word,) = field.annotation.__args__

    assert f"| `{word}` |" in PAGE


@pytest.mark.parametrize(("limit", "cell"), [(0.05, "59"), (0.01, "299"), (0.001, "2 995")])
def test_the_least_evidence_is_what_the_table_says(limit, cell):
    """Computed, not remembered."""
    assert count_text(requests_needed(limit, 0.95)) == cell
    assert f"| {cell} " in PAGE


def test_an_ignored_rule_has_a_reason_beside_it():
    """As CONTRIBUTING promises, in every file of ours."""
    files = [path for room in ("harness", "fixtures", "suites") for path in sorted((PROJECT / room).rglob("*.py"))]
    bare = [f"{path.relative_to(PROJECT)}: {found[0]}" for path in files for found in BARE.finditer(path.read_text())]

    assert len(files) > 200
    assert bare == []


def test_the_example_of_a_component_is_the_one_that_is_here():
    """Its file, whole, and the one line besides; the call is what the suite of the components makes of each."""
    section = (PROJECT / "docs/extending.md").read_text().partition("## A component")[2].partition("\n## ")[0]
    whole, call = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    listed = (PROJECT / "harness/stack/components/__init__.py").read_text()

    assert whole == (PROJECT / "harness/stack/components/memcached.py").read_text()
    assert [line for line in re.findall(r"^\+(.*)$", section, re.MULTILINE) if f"{line}\n" not in listed] == []
    assert "check_component(COMPONENT)" in call
    assert "check_component(COMPONENTS[kind])" in (PROJECT / "suites/contract/test_components.py").read_text()


def test_only_its_own_file_and_the_list_name_a_component():
    """A newcomer touches one file beside its own; Redis and PostgreSQL are also what is meant where nothing is named."""
    naming = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "harness").rglob("*.py")
        if "memcached" in path.read_text()
    }

    assert naming == {"harness/stack/components/__init__.py", "harness/stack/components/memcached.py"}
