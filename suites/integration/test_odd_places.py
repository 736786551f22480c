"""Folders for temporary files as machines have them: with blanks in their names, private, and under a strict umask."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from harness.clock import SystemClock
from harness.errors import StackError
from harness.stack.backends.choice import EMBEDDED
from harness.stack.components import COMPONENTS
from harness.stack.components.postgres import _may_enter, connection_to
from suites.support.stack import OF_DUMMIES, standing, workspace_for


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
