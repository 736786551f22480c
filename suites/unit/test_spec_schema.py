"""The JSON Schemas in docs/schema: what they say, that they are those of this code, and that our files keep to them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.spec.claim import TIERS
from harness.spec.faults import Fault
from harness.spec.invariant import PROMISES
from harness.spec.schema import MODELS, attributes_of, schema_of
from suites.support.servers import PROJECT

SCENARIO = schema_of(MODELS["scenario"])
FOLDERS = ("scenarios", "docs/examples/shop", "fixtures/foreign")
FILES = sorted(
    path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.yaml") if not path.name.startswith("compose")
)
TABLES = sorted(path for folder in FOLDERS for path in (PROJECT / folder).rglob("readiness.toml"))


@pytest.mark.parametrize("of", MODELS)
def test_the_schema_that_editors_find_is_the_one_of_this_code(of):
    """After a change of a model: `readiness schema NAME > docs/schema/NAME.json`."""
    printed = CliRunner().invoke(app, ["schema", of]).stdout

    assert json.loads(printed) == json.loads((PROJECT / f"docs/schema/{of}.json").read_text())
    assert printed == (PROJECT / f"docs/schema/{of}.json").read_text()


def test_an_unknown_schema_is_refused_with_those_that_there_are():
    """As every slip of a name."""
    told = CliRunner().invoke(app, ["schema", "settins"])

    assert str(told.exception).endswith("did you mean 'settings'? known: scenario, settings")


@pytest.mark.parametrize("path", sorted((PROJECT / "scenarios").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_of_ours_names_its_schema_in_its_first_line(path):
    """By a path from the file itself, so that it is found wherever the project lies."""
    first = path.read_text().partition("\n")[0]
    start, _, relative = first.partition("$schema=")

    assert start == "# yaml-language-server: "
    assert not Path(relative).is_absolute()
    assert (path.parent / relative).resolve() == PROJECT / "docs/schema/scenario.json"


def test_the_settings_name_their_schema_in_their_first_line():
    """The directive that TOML's language servers read."""
    first = (PROJECT / "readiness.toml").read_text().partition("\n")[0]

    assert first == "#:schema docs/schema/settings.json"


@pytest.mark.parametrize(("of", "files"), [("scenario", FILES), ("settings", [*TABLES, PROJECT / "readiness.toml"])])
def test_our_files_keep_to_the_schema_in_another_program(of, files):
    """check-jsonschema has a YAML reader and a validator of its own, as an editor has."""
    schema = PROJECT / f"docs/schema/{of}.json"
    check = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema)]
    told = subprocess.run([*check, *map(str, files)], capture_output=True, text=True, check=False)

    assert len(files) >= 4
    assert told.returncode == 0, told.stdout


def test_the_schema_says_what_the_docstrings_say():
    """Of a model and of each key, by the name that it has in a file, also of those that it inherits."""
    defined = SCENARIO["$defs"]
    latency = defined["Latency"]["properties"]

    assert SCENARIO["title"] == "Scenario"
    assert SCENARIO["description"] == "One YAML file in scenarios/."
    assert SCENARIO["properties"]["story"]["description"].startswith("One sentence for the report")
    assert defined["Latency"]["description"] == "Every answer of the target arrives later."
    assert latency["delay"]["description"] == "Added to each answer, in whole milliseconds."
    assert latency["at"]["description"] == "When it begins, after its phase has."
    assert latency["for"]["description"].startswith("How long it is there")
    assert "for_" not in latency
    assert attributes_of(MODELS["scenario"])["extends_to"].endswith("a profile may say so for all scenarios.")
    assert "Attributes:" not in json.dumps(SCENARIO)


def test_quantities_are_texts_with_their_unit():
    """Also where they have a default, and where they may be left out; a bound on seconds is none on a text."""
    load, latency = (SCENARIO["$defs"][name]["properties"] for name in ("Load", "Latency"))
    (text, nothing) = latency["until"]["anyOf"]

    assert load["drain"]["default"] == "5s"
    assert load["drain"]["type"] == "string"
    assert sorted(text) == ["pattern", "type"]
    assert nothing == {"type": "null"}
    assert load["keys"]["default"] == {"first": 0, "count": 2000, "zipf": 1.0}


def test_every_choice_is_listed():
    """So that an editor completes it: kinds of faults, promises, tiers, how far a phase may be extended."""
    offered = SCENARIO["$defs"]["Phase"]["properties"]["faults"]["items"]["discriminator"]["mapping"]

    kinds = {get_args(fault.model_fields["kind"].annotation)[0] for fault in _members(Fault)}
    assert set(offered) == kinds
    assert len(kinds) >= 6
    assert SCENARIO["$defs"]["Catch"]["properties"]["by"]["enum"] == list(PROMISES)
    assert SCENARIO["properties"]["tier"]["enum"] == list(TIERS)
    assert SCENARIO["properties"]["extends_to"]["enum"] == [1, 2, 4, 8, 16]


def _members(union):
    inside = get_args(union)
    if not inside:
        return [union]
    union_of = inside[0] if hasattr(union, "__metadata__") else union
    return [each for part in get_args(union_of) for each in _members(part)]
