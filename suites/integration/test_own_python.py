"""A service in an environment of its own: its Python serves it, and is what its commands mean by `python`."""

from __future__ import annotations

import platform
import shutil
import sys
import sysconfig
import venv
from dataclasses import replace
from importlib.metadata import version

import httpx
import psutil
import pytest

from harness.clock import SystemClock
from harness.errors import MissingError
from harness.spec.system import Subject, System
from harness.stack.backends.choice import EMBEDDED
from harness.stack.blueprint import Blueprint
from harness.stack.subjects import check_is_here
from harness.stack.subjects.python import served_by
from suites.support.servers import PROJECT
from suites.support.stack import standing, workspace_for

OWN = ".venv/bin/python"


@pytest.fixture
def project(tmp_path):
    """A project with an environment of its own, which has what is installed beside us and a module that only it has."""
    folder = tmp_path / "shop"
    site = made_environment(folder / ".venv")
    (site / "beside.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (site / "only_there.py").write_text("")
    shutil.copy(PROJECT / "suites/support/dummy.py", folder / "dummy.py")
    (folder / "shop.py").write_text("import only_there\nfrom dummy import create_app\n")
    return folder


def made_environment(place):
    venv.create(place, symlinks=True, with_pip=False)
    (site,) = place.glob("lib/python3*/site-packages")
    return site


def test_it_is_served_by_its_own_python(project, tmp_path):
    """What its environment alone has can be imported; migrations and workers are run by the same."""
    subject = Subject(app="shop:create_app", python=OWN, ready="/", init=(("python", "-c", "import only_there"),))
    system = System(name="shop", replicas=1, subject=subject, components={})
    with workspace_for(tmp_path) as workspace:
        place = replace(workspace, project=project)
        with standing(EMBEDDED, Blueprint(system=system, seed=1), workspace=place, clock=SystemClock()) as stack:
            replica = stack.services["replica-1"]
            assert httpx.get(stack.base_url, trust_env=False).status_code == 200
            assert psutil.Process(replica.identity()["pid"]).cmdline()[0] == str(project / OWN)
            assert (
                replica.version()
                == f"shop:create_app on uvicorn {version('uvicorn')}, Python {platform.python_version()}"
            )


def test_an_environment_without_the_server_is_told_before_anything_starts(tmp_path):
    """With what would install it there."""
    made_environment(tmp_path / ".venv")
    subject = Subject(wsgi="shop:app", python=OWN)
    with pytest.raises(MissingError) as refused:
        check_is_here(subject, tmp_path)

    assert refused.value.what == f"there is no waitress to serve with in {tmp_path / OWN}"
    assert refused.value.fix == f"{tmp_path / OWN} -m pip install waitress, or say how it is served by `command`"


@pytest.mark.parametrize("python", [".venv/bin/python", "/nowhere/python"])
def test_a_python_that_is_not_there_is_told_by_its_key(tmp_path, python):
    """A path from the folder of readiness.toml, or a whole one."""
    with pytest.raises(MissingError) as refused:
        check_is_here(Subject(app="shop:app", python=python), tmp_path)

    assert refused.value.where == "readiness.toml: system.subject.python"


def test_what_does_not_answer_as_a_python_is_told(tmp_path):
    """A program that says something else, or nothing."""
    with pytest.raises(MissingError, match="there is no uvicorn to serve with"):
        served_by("uvicorn", str(shutil.which("false")))


def test_ours_is_asked_without_a_process():
    """It is this one."""
    assert served_by("uvicorn", sys.executable) == f"uvicorn {version('uvicorn')}, Python {platform.python_version()}"
