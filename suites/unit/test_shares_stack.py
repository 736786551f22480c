"""Whether a run shares stacks: as was asked, or as its profile says, and only where there is something to share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness import run
from harness.experiment import SharedStack
from harness.options import Options, shares_stack
from harness.spec.system import Settings, Subject, System

SETTINGS = Settings.model_validate(
    {
        "system": {"name": "made", "subject": {"app": "made:app"}},
        "objectives": [{"sli": "errors", "max": "1%"}],
        "profiles": {"quick": {"stretch": 1.0, "shared_stack": True}, "full": {"stretch": 1.0}},
    }
)


@pytest.mark.parametrize(
    ("profile", "asked", "is_shared"),
    [
        pytest.param("quick", None, True, id="as the profile says"),
        pytest.param("full", None, False, id="which says nothing"),
        pytest.param("quick", False, False, id="turned off"),
        pytest.param("full", True, True, id="asked for"),
        pytest.param("slow", None, False, id="a profile that there is not, which is refused elsewhere"),
    ],
)
def test_stacks_are_shared_as_was_asked_or_as_the_profile_says(profile, asked, is_shared):
    assert shares_stack(SETTINGS, profile, asked=asked) is is_shared


@pytest.mark.parametrize(
    ("backend", "subject", "scenarios", "said"),
    [
        pytest.param("embedded", {"app": "made:app"}, ("a", "b"), None, id="two"),
        pytest.param("embedded", {"app": "made:app"}, ("a",), [], id="a single one has nothing to share"),
        pytest.param("containers", {"app": "made:app"}, ("a", "b"), ["containers"], id="containers"),
        pytest.param(
            "embedded", {"external": "http://127.0.0.1:1"}, ("a", "b"), ["an external subject"], id="external"
        ),
    ],
)
def test_where_the_state_could_not_be_seen_nothing_is_shared_and_the_run_says_so(backend, subject, scenarios, said):
    messages = []
    context = SimpleNamespace(
        backend=backend, system=System(name="made", subject=Subject(**subject)),
        listener=SimpleNamespace(message=messages.append),
    )  # fmt: skip

    shared = run._shared_stack(context, scenarios)

    if said is None:
        assert isinstance(shared, SharedStack)
    else:
        assert shared is None
        assert messages == [f"stacks are not shared on {where}: each scenario has its own" for where in said]


@pytest.mark.parametrize(
    ("shared", "scenarios", "said"),
    [(True, ["a", "b"], " --shared-stack"), (False, ["a", "b"], " --no-shared-stack"), (True, ["a"], "")],
)
def test_the_command_that_does_the_same_again_says_whether_stacks_were_shared(tmp_path, shared, scenarios, said):
    """Either way: a profile may say otherwise by then."""
    options = Options(
        project=tmp_path, profile="quick", backend="auto", defect=None, seed=7, out=tmp_path, run_id="one",
        shares_stack=shared,
    )  # fmt: skip

    assert options.command(scenarios) == f"readiness run {' '.join(scenarios)} --profile quick --seed 7{said}"
