"""A small disk for one component, on a real kernel: who sees it, how it is filled, and that none is left behind."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.errors import FaultError, StackError
from harness.faults import filling
from harness.faults.disk_room import fill, free_bytes, is_filled, make_room
from harness.faults.injection import unavailable
from harness.spec.faults import DiskFull
from harness.stack.backends import disk
from harness.stack.backends.choice import EMBEDDED
from harness.stack.backends.process import spawn
from suites.support.servers import workspace_for

CLOCK = SystemClock()


@pytest.fixture
def kept(tmp_path):
    """A disk of one megabyte on a folder that has a file, which is not seen on it."""
    if reason := disk.why_no_disk():
        pytest.skip(reason)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "beneath").touch()
    with workspace_for(tmp_path) as workspace:
        keeper = disk.KeptDisk("postgres", folder, 1_000_000, user=None, workspace=workspace)
        yield keeper, keeper.wait(CLOCK), workspace
        keeper.kill()


def facts_of(found):
    return {**found.keeper, "folder": found.folder, "file": "filler"}


def asked(workspace, program, disk=None):
    """Return what a program says that is started as a server is."""
    log = workspace.logs / "asked.log"
    log.unlink(missing_ok=True)
    child = spawn([sys.executable, "-c", program], workspace=workspace, log=log, disk=disk)
    child.wait(20)
    return log.read_text().strip()


def test_a_disk_is_seen_by_what_joins_it_and_by_nothing_else(kept):
    """The machine has no such mount, so that none can stay; what joins is where it was started."""
    keeper, found, workspace = kept
    look = f"import os; print(os.getcwd(), sorted(os.listdir({found.folder!r})))"

    assert asked(workspace, f"open({found.folder + '/written'!r}, 'w').close(); {look}", keeper.pid).endswith(
        "['written']"
    )
    assert asked(workspace, look, keeper.pid) == f"{workspace.work} ['written']"
    assert asked(workspace, look) == f"{workspace.work} ['beneath']"
    assert found.folder not in Path("/proc/self/mountinfo").read_text()


def test_a_disk_is_no_larger_than_it_says(kept):
    """To the block."""
    _, found, _ = kept

    assert 1_000_000 <= free_bytes(facts_of(found)) < 1_000_000 + 4096


def test_a_disk_is_filled_to_the_block_and_further_and_emptied_once(kept):
    """What fills it is one file, which grows."""
    _, found, workspace = kept
    facts = facts_of(found)

    for leaving_bytes in (500_000, 100_001, 0):
        fill(facts, leaving_bytes)
        assert leaving_bytes <= free_bytes(facts) < leaving_bytes + 4096
    assert is_filled(facts)
    assert asked(workspace, f"import os; print(os.listdir({found.folder!r}))", facts["pid"]) == "['filler']"
    fill(facts, 600_000)
    assert free_bytes(facts) == 0, "room is made by removing the file, not by filling less"
    assert make_room(facts)
    assert not make_room(facts)
    assert not is_filled(facts)
    assert free_bytes(facts) >= 1_000_000


def test_room_that_others_take_meanwhile_is_counted_anew(kept, monkeypatch):
    """What was counted before they wrote is more than there is."""
    _, found, _ = kept
    counted, said = filling.free_bytes, [9_000_000]
    monkeypatch.setattr(filling, "free_bytes", lambda folder: said.pop() if said else counted(folder))

    fill(facts_of(found), 0)

    assert not said
    assert free_bytes(facts_of(found)) == 0


def test_what_cannot_be_written_on_a_disk_is_told(kept):
    """A file that is a folder there is none of a fault's."""
    _, found, workspace = kept
    asked(workspace, f"import os; os.mkdir({found.folder + '/filler'!r})", found.keeper["pid"])

    with pytest.raises(FaultError, match="a disk cannot be filled: Is a directory"):
        fill(facts_of(found), 0)


def test_a_script_in_a_sandbox_says_the_same(tmp_path, capsys, monkeypatch):
    """It is the same text: asked to fill, to look and to clear, it says a number."""
    monkeypatch.setattr(filling, "fill", lambda *asked: Path(asked[0], asked[1]).write_text(str(asked[2])))
    for words in (("look", "0"), ("fill", "7"), ("clear", "0"), ("clear", "0")):
        filling.main([words[0], str(tmp_path), "filler", words[1]])
        if words[0] == "fill":
            assert (tmp_path / "filler").read_text() == "7"
    looked, filled, *cleared = capsys.readouterr().out.split()

    assert abs(int(looked) - filling.free_bytes(str(tmp_path))) < 1 << 30
    assert abs(int(filled) - filling.free_bytes(str(tmp_path))) < 1 << 30
    assert cleared == ["1", "0"]


def test_a_disk_is_gone_with_what_keeps_it_and_nothing_can_join_it(kept):
    """To fill it, or to start a server on it, says so; to make room on it is done."""
    keeper, found, workspace = kept
    keeper.kill()
    facts = facts_of(found)

    with pytest.raises(FaultError, match="the disk is gone"):
        free_bytes(facts)
    assert not is_filled(facts)
    assert not make_room(facts)
    assert "cannot join the disk of process" in asked(workspace, "print(1)", keeper.pid)


def test_a_disk_of_another_process_of_that_number_is_left_alone(kept):
    """Numbers are given again; it is told by when it was started."""
    _, found, _ = kept
    fill(facts_of(found), 0)
    another = {**facts_of(found), "started_s": float(found.keeper["started_s"]) - 0.1}

    with pytest.raises(FaultError, match="the disk is gone"):
        free_bytes(another)
    assert not make_room(another)
    assert is_filled(facts_of(found))


def test_where_no_disk_can_be_had_it_is_said_before_anything_starts(monkeypatch, tmp_path):
    """By the last words of what would keep it."""
    refuses = tmp_path / "keeper.py"
    refuses.write_text("import sys; sys.exit('no disk can be mounted for one process alone: Operation not permitted')")
    monkeypatch.setattr(disk, "_KEEPER", str(refuses))
    disk.why_no_disk.cache_clear()
    try:
        reason = unavailable(DiskFull(kind="disk-full", target="postgres"), EMBEDDED)
        with workspace_for(tmp_path) as workspace:
            keeper = disk.KeptDisk("postgres", tmp_path, 1, user=None, workspace=workspace)
            with pytest.raises(StackError, match="no small disk can be had: no disk can be mounted for one process"):
                keeper.wait(CLOCK)
            keeper.kill()
    finally:
        disk.why_no_disk.cache_clear()

    assert reason == "no disk can be mounted for one process alone: Operation not permitted"


AS_NOBODY = """
import ctypes, os, pathlib, sys, time
folder, *scripts = sys.argv[1:]
keeper, launcher = [{"__name__": "read"} for _ in scripts]
for script, names in zip(scripts, (keeper, launcher)):
    exec(pathlib.Path(script).read_text(), names)
libc = ctypes.CDLL(None)
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as one that was never root
tries = os.fork()
if tries == 0:
    os._exit(libc.unshare(0x10000000 | 0x00020000) != 0)
if os.waitpid(tries, 0)[1]:
    sys.exit("no namespace")
pid = os.fork()
if pid == 0:
    keeper["main"]([folder, "1000000", str(os.getuid()), str(os.getgid()), "keep"])
while os.waitpid(pid, os.WNOHANG) == (0, 0):
    if folder in pathlib.Path(f"/proc/{pid}/mountinfo").read_text():
        seen_through = f"/proc/{pid}/root{folder}"
        pathlib.Path(seen_through, "written").touch()
        launcher["_join"](str(pid))
        print(os.getuid() != 0, os.listdir(folder))
        os.kill(pid, 9)
        break
    time.sleep(0.01)
"""
"""Keeps a disk and joins it as a user who is not root, by the functions that the two scripts are made of."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such namespaces")
def test_a_user_who_may_not_mount_has_a_disk_in_a_namespace_of_its_own():
    """What keeps it, what fills it and what joins it are that user."""
    scripts = [str(Path(disk.__file__).with_name(name)) for name in ("disk_keeper.py", "launcher.py")]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, folder, *scripts],
            cwd="/",  # that user may not enter the folder of the project, and who joins a disk goes back to where it was
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    if done.stderr.strip() == "no namespace":
        pytest.skip("this machine gives a user who is not root no namespace")

    assert done.stdout.strip() == "True ['written']", done.stderr


SHARED = """
import ctypes, os, pathlib, subprocess, sys, time
folder, keeper = sys.argv[1:]
libc = ctypes.CDLL(None)
if libc.unshare(0x00020000) or libc.mount(b"none", b"/", b"none", ctypes.c_ulong(1 << 20 | 1 << 14), None):
    sys.exit("no namespace")  # MS_SHARED | MS_REC: what is mounted here appears wherever it is shared with
child = subprocess.Popen([sys.executable, "-I", "-S", keeper, folder, "1000000", "0", "0", "keep"])
while folder not in pathlib.Path(f"/proc/{child.pid}/mountinfo").read_text():
    time.sleep(0.01)
print(folder in pathlib.Path("/proc/self/mountinfo").read_text())
child.kill(), child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such namespaces")
def test_a_disk_stays_where_it_is_kept_also_on_a_machine_that_shares_its_mounts(tmp_path):
    """As systemd sets one up: what is mounted in one namespace appears in those that it was copied from."""
    keeper = str(Path(disk.__file__).with_name("disk_keeper.py"))
    done = subprocess.run(
        [sys.executable, "-c", SHARED, str(tmp_path), keeper], capture_output=True, text=True, check=False, timeout=30
    )
    if done.stderr.strip() == "no namespace":
        pytest.skip("who is not root may not share mounts")

    assert done.stdout.strip() == "False", done.stderr
