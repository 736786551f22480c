"""Odd places and odd users: temporary files among blanks or without exec, a user without a name, a root that is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psycopg
import pytest

from harness.clock import SystemClock
from harness.errors import StackError
from harness.stack.backends.choice import EMBEDDED
from harness.stack.backends.process import _LAUNCHER
from harness.stack.components import COMPONENTS
from harness.stack.components.postgres import _may_enter, connection_to
from suites.support.servers import PROJECT
from suites.support.stack import OF_DUMMIES, standing, workspace_for

WITHOUT_A_NAME = 54321
"""The number of no user."""


@contextmanager
def temporary_files_in(name, *, mode=0o755, umask=0o022):
    """Make a folder the machine's one for temporary files, where everybody may pass: pytest's own are for us alone."""
    top, before, usual = Path(tempfile.mkdtemp()), os.umask(umask), tempfile.tempdir
    top.chmod(0o755)
    folder = top / name
    folder.mkdir()
    folder.chmod(mode)
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = usual
        os.umask(before)
        shutil.rmtree(top)


@pytest.mark.parametrize(
    ("name", "umask"), [("a folder; with {blanks} 'and' quotes", 0o022), ("plain", 0o077)], ids=["blanks", "umask"]
)
def test_a_whole_stack_stands_there(tmp_path, name, umask):
    """nginx, Redis, PostgreSQL, which runs as somebody else where we are root, the fault proxy, and the service."""
    with (
        temporary_files_in(name, umask=umask) as place,
        workspace_for(tmp_path) as workspace,
        standing(EMBEDDED, OF_DUMMIES, workspace=workspace, clock=SystemClock()) as stack,
    ):
        assert workspace.work.is_relative_to(place)
        assert httpx.get(stack.base_url, trust_env=False).status_code == 200
        with connection_to(stack.services["postgres"].direct) as connection:
            assert connection.info.status is psycopg.pq.ConnStatus.OK


def test_programs_that_are_copied_can_be_entered_whatever_the_umask(tmp_path):
    """As where the checkout lies below /root: PostgreSQL runs as somebody else, from a copy."""
    if os.geteuid():
        pytest.skip("only root becomes somebody else")
    component = COMPONENTS["postgres"]
    home = component.program.find().resolve().parent.parent
    private = Path(shutil.copytree(home, tmp_path / "private" / home.name, symlinks=True))
    (tmp_path / "private").chmod(0o700)
    with temporary_files_in("plain", umask=0o077), workspace_for(tmp_path) as workspace:
        recipe = component.local("postgres", private / "bin/postgres", workspace)
        assert Path(recipe.argv[0]).is_relative_to(workspace.work)
        assert _may_enter(Path(recipe.argv[0]).parent, recipe.user)


def test_a_folder_that_postgres_may_not_enter_is_told_by_name(tmp_path):
    """Before anything starts, with what would help: initdb says that access was denied, and not to whom."""
    if os.geteuid():
        pytest.skip("only root becomes somebody else")
    with (
        temporary_files_in("private", mode=0o700) as place,
        workspace_for(tmp_path) as workspace,
        pytest.raises(StackError, match="cannot enter its folder") as refused,
        standing(EMBEDDED, OF_DUMMIES, workspace=workspace, clock=SystemClock()),
    ):
        pytest.fail("it stands")
    assert refused.value.where.startswith(str(place))
    assert "TMPDIR" in refused.value.fix


def test_a_folder_from_which_nothing_can_be_run_is_told_by_name(tmp_path, monkeypatch):
    """Where PostgreSQL would be copied there: the kernel says "permission denied", of a file that everybody may run."""
    if os.geteuid():
        pytest.skip("only root becomes somebody else")
    component = COMPONENTS["postgres"]
    private = tmp_path / "private"
    shutil.copytree(component.program.find().resolve().parent, private / "pginstall/bin", symlinks=True)
    private.chmod(0o700)
    usual = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: NoExec(usual(path).f_flag | os.ST_NOEXEC))
    with (
        temporary_files_in("noexec") as place,
        workspace_for(tmp_path) as workspace,
        pytest.raises(StackError, match="noexec") as refused,
    ):
        component.local("postgres", private / "pginstall/bin/postgres", workspace)

    assert refused.value.where.startswith(str(place))
    assert "TMPDIR" in refused.value.fix


class NoExec(NamedTuple):
    """What `statvfs` says of a mount, as far as it is asked for."""

    f_flag: int


def test_a_user_without_a_name_is_told_where_postgres_needs_one(tmp_path, monkeypatch):
    """As a container's `--user 54321`: its number stands in no /etc/passwd, and initdb ends."""
    monkeypatch.setattr(os, "geteuid", lambda: WITHOUT_A_NAME)
    with workspace_for(tmp_path) as workspace, pytest.raises(StackError, match="54321 has none") as refused:
        COMPONENTS["postgres"].local("postgres", COMPONENTS["postgres"].program.find(), workspace)

    assert "/etc/passwd" in refused.value.fix


def test_initdb_ends_for_a_user_without_a_name():
    """The reason for asking before."""
    if os.geteuid():
        pytest.skip("only root becomes somebody else")
    initdb = COMPONENTS["postgres"].program.find().resolve().with_name("initdb")
    if not _may_enter(initdb.parent, "nobody"):
        pytest.skip("nobody else may enter the folder of the programs")
    said = subprocess.run(
        [str(initdb), "--pgdata", "/nowhere"], user=WITHOUT_A_NAME, capture_output=True, text=True, check=False
    )

    assert said.returncode
    assert f"effective user ID {WITHOUT_A_NAME}: user does not exist" in said.stderr


ROOT_THAT_IS_NONE = """
import tempfile
from pathlib import Path
from harness.errors import StackError
from harness.stack.components import COMPONENTS
from suites.support.servers import workspace_for
component = COMPONENTS["postgres"]
with tempfile.TemporaryDirectory() as folder, workspace_for(Path(folder)) as workspace:
    try:
        component.local("postgres", component.program.find(), workspace)
    except StackError as error:
        print(error.what, "|", error.fix)
"""


def in_a_namespace(*command):
    """Run something as root of a user namespace that knows no other user; skip where none may be made."""
    made = shutil.which("unshare")
    if not made or subprocess.run([made, "-Ur", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace may be made here")
    return subprocess.run(
        [made, "-Ur", sys.executable, *command], cwd=PROJECT, capture_output=True, text=True, check=False
    )


def test_a_root_that_may_become_nobody_is_told_before_anything_starts():
    """`unshare -Ur`, rootless builds: number 0, and the rights of whoever made it."""
    said = in_a_namespace("-c", ROOT_THAT_IS_NONE)

    assert said.stdout.startswith("PostgreSQL refuses to run as root, and this root may not become 'nobody': "), said
    assert "run as an ordinary user" in said.stdout


def test_the_launcher_says_in_one_line_whom_it_may_not_become():
    """Its output is a log, whose last line is quoted."""
    parent = "0"  # never asked: it ends before
    said = in_a_namespace("-I", "-S", _LAUNCHER, parent, "9", "nobody", "-", "-", "/bin/true")

    assert said.returncode == 1
    assert said.stderr.startswith("cannot become nobody: ")
    assert len(said.stderr.splitlines()) == 1


def test_the_launcher_says_that_there_is_no_such_user():
    launcher = [sys.executable, "-I", "-S", _LAUNCHER, "0", "9", "nobody-of-that-name", "-", "-", "/bin/true"]
    said = subprocess.run(launcher, capture_output=True, text=True, check=False)

    assert (said.returncode, said.stderr) == (1, "cannot become nobody-of-that-name: there is no such user\n")
